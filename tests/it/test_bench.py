# SPDX-License-Identifier: Apache-2.0
"""The benchmark measures: a little of everything in a few seconds. What comes out is looked at only
for being there."""

import json
import os
import subprocess
import sys

import pytest
from daemon import BINARY, WRAPPER

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "run.py")


def bench(binary, *argv):
    p = subprocess.run([sys.executable, RUN, "--quick", *argv], capture_output=True, text=True,
                       timeout=300, check=False, env=dict(os.environ, SIGFERRY=binary))
    if p.returncode == 77:
        pytest.skip(p.stdout.strip())
    return p


@pytest.mark.skipif(bool(WRAPPER), reason="it starts the binary itself")
def test_a_quick_run_measures_every_kind_of_load(tmp_path):
    document = tmp_path / "doc.md"
    document.write_text("A\n<!-- aims -->\nold\n<!-- /aims -->\nB\n"
                        "<!-- figures -->\nold\n<!-- /figures -->\nC\n")
    p = bench(os.path.abspath(BINARY), "--json", str(tmp_path / "out.json"),
              "--svg", str(tmp_path / "out.svg"), "--doc", str(document))
    assert p.returncode == 0, p.stdout + p.stderr
    with open(tmp_path / "out.json", encoding="utf-8") as f:
        results = json.load(f)["results"]
    found = {(r["scenario"], r["server"]): r for r in results}
    for server in ("nginx", "sigferry"):
        for name in ("GET 1 KiB, c=16", "POST 16 KiB, c=1"):
            assert found[name, server]["rps"] > 0 and found[name, server]["cpu"] > 0
        assert found["50 idle clients", server]["start"] > 0
        assert found["events to 20 clients", server]["cpu"] > 0
    assert found["20 parked requests, GET 1 KiB, c=1", "sigferry"]["rps"] > 0
    svg = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert svg.count("<rect") >= 2 and "sigferry" in svg
    a, _, rest = document.read_text(encoding="utf-8").partition("<!-- aims -->\n")
    table, _, rest = rest.partition("<!-- /aims -->\nB\n<!-- figures -->\n")
    figures, _, end = rest.partition("<!-- /figures -->\n")
    assert a == "A\n" and end == "C\n" and "old" not in table + figures
    assert "| an idle client, KiB (pool 16 KiB) | ≤ 17 | " in table
    assert "### GET 1 KiB, c=16 (one CPU, 1 rounds)" in figures
    assert "| sigferry | " in p.stdout and "CPU ÷ nginx" in p.stdout


def test_a_run_fails_when_the_daemon_does_not_serve(tmp_path):
    dead = tmp_path / "dead"
    dead.write_text("#!/bin/sh\necho no\nexit 1\n")
    dead.chmod(0o755)
    p = bench(str(dead))
    assert p.returncode == 1 and "sigferry did not start" in p.stderr
