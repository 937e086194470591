# SPDX-License-Identifier: Apache-2.0
"""What the soak_*.py programs run on: a daemon and an upstream without pytest."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import daemon as daemons  # noqa: E402
from certs import Certs  # noqa: E402
from fake_sts import Fake, Known  # noqa: E402
from upstream import Upstream  # noqa: E402

ROLE = {"provider": "assume_role", "access_key": None, "secret_key": None, "source_profile": "second",
        "role_trn": "trn:iam::2100000001:role/soak"}


@contextlib.contextmanager
def rig(env=None, role=False, **settings):
    """(daemon, upstream); the daemon must live to the end and go with status 0. role: its default
    profile is an assumed role, and d.fake the service that gives out its credentials."""
    with tempfile.TemporaryDirectory(prefix="sigferry-soak-") as directory:
        certs_dir = Path(directory, "certs")
        certs_dir.mkdir()
        certs = Certs(certs_dir)
        upstream = Upstream(daemons.KEYS, certs.pair("good"))
        fake = Fake(certs.pair("good"), daemons.KEYS)
        upstream.keys = Known(upstream.keys, fake)
        base = {"listen": ["127.0.0.1:0"], "admin": {"listen": "127.0.0.1:0"},
                "cloud": "volcengine", "region": "cn-beijing", "client_side_validation": False,
                "profiles": daemons.merge(daemons.ALL_PROFILES, {"default": ROLE} if role else {}),
                "tls": {"ca_file": str(certs.ca)},
                "log": {"level": "warn"} if os.environ.get("QUIET") else {"access": False},
                "connect_to": fake.connect_to(upstream.port) if role else ["::127.0.0.1:%d" % upstream.port]}
        d = daemons.Daemon(directory, daemons.merge(base, settings), env=env)
        d.fake, d.certs = fake, certs
        try:
            d.wait_ready()
            yield d, upstream
            assert upstream.faults == [], upstream.faults[:5]
            d.stop()
        finally:
            d.kill()
            upstream.stop()
            fake.stop()
