# SPDX-License-Identifier: Apache-2.0
"""The search of leaks.py finds what it is there to find: planted_leaks.py shows a secret in each place."""

import os
import re
import subprocess
import sys

import daemon as daemons

HERE = os.path.dirname(os.path.abspath(__file__))
PLANTED = {
    "test_answer": "a key of the tests is in an answer",
    "test_answer_with_a_signing_key": r"step 3 of the signing key for \d{8}/cn-beijing/ecs, from .* is in an answer",
    "test_answer_in_base64": "a key of the tests is in an answer",
    "test_log": r"sigferry\.conf is in the log of",
    "test_environ": r"a key of the tests is in /proc/\d+/environ",
    "test_cmdline_and_pages": r"a secret is in /proc/\d+/cmdline[\s\S]*a secret is in an answer",
    "test_command": "VOLCENGINE_SECRET_KEY is in what sigferry check --explain",
}
if os.geteuid() != 0:
    del PLANTED["test_environ"]  # only root may read the environment of a daemon


def test_what_is_planted_is_found():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--show-capture=no",
         os.path.join(HERE, "planted_leaks.py")], capture_output=True, text=True, cwd=HERE,
        env=dict(os.environ, SIGFERRY_LEAKS="1"), timeout=daemons.seconds(120))
    out = run.stdout
    assert re.search(r"^8 passed, %d errors" % len(PLANTED), out, re.M), out[-3000:]
    reports = dict(re.findall(r"^_+ ERROR at teardown of (\w+) _+\n([\s\S]*?)(?=^_{3}|^={3})", out, re.M))
    assert set(reports) == set(PLANTED), out[-3000:]
    for name, says in PLANTED.items():
        assert re.search(says, reports[name]), (name, reports[name])
