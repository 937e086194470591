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
from upstream import Upstream  # noqa: E402


@contextlib.contextmanager
def rig(env=None, **settings):
    """(daemon, upstream); the daemon must live to the end and go with status 0."""
    with tempfile.TemporaryDirectory(prefix="sigferry-soak-") as directory:
        certs_dir = Path(directory, "certs")
        certs_dir.mkdir()
        certs = Certs(certs_dir)
        upstream = Upstream(daemons.KEYS, certs.pair("good"))
        base = {"listen": ["127.0.0.1:0"], "admin": {"listen": "127.0.0.1:0"},
                "cloud": "volcengine", "region": "cn-beijing", "client_side_validation": False,
                "profiles": daemons.ALL_PROFILES, "tls": {"ca_file": str(certs.ca)},
                "log": {"level": "warn"} if os.environ.get("QUIET") else {"access": False},
                "connect_to": ["::127.0.0.1:%d" % upstream.port]}
        d = daemons.Daemon(directory, daemons.merge(base, settings), env=env)
        try:
            d.wait_ready()
            yield d, upstream
            assert upstream.faults == [], upstream.faults[:5]
            d.stop()
        finally:
            d.kill()
            upstream.stop()
