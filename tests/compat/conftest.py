# SPDX-License-Identifier: Apache-2.0
"""The fixtures of tests/it, and the table client x feature that is printed at the end and written
to the file $SIGFERRY_COMPAT_TABLE."""

import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
IT = os.path.join(HERE, "..", "it")
sys.dont_write_bytecode = True
sys.path[:0] = [IT]

spec = importlib.util.spec_from_file_location("it_conftest", os.path.join(IT, "conftest.py"))
shared_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared_conftest)
for name in ("pytest_configure", "pytest_report_header", "pytest_runtest_makereport", "certs",
             "session_upstream", "upstream", "make_upstream", "base_settings", "daemon",
             "module_daemon"):
    globals()[name] = getattr(shared_conftest, name)

from clients import CLIENTS  # noqa: E402

FEATURES = ["plain", "form", "json", "burst", "error", "throttle", "timeout", "stream", "identity"]
RESULTS = {}


def pytest_runtest_logreport(report):
    cell = dict(report.user_properties).get("cell")
    if not cell:
        return
    cell = tuple(cell)
    if report.failed:
        RESULTS[cell] = "**fails**"
    elif report.skipped:
        RESULTS.setdefault(cell, "not run")
    elif report.when == "call":
        if RESULTS.get(cell) != "**fails**":
            RESULTS[cell] = "yes"


def table():
    ran = [c for c in CLIENTS if any((c.name, f) in RESULTS for f in FEATURES)]
    lines = ["| client | version | " + " | ".join(FEATURES) + " |",
             "|---" * (len(FEATURES) + 2) + "|"]
    for c in ran:
        version = "not installed" if c.missing() else c.version().split()[-1]
        cells = [RESULTS.get((c.name, f), "–" if f in c.lacks else " ") for f in FEATURES]
        lines.append("| " + " | ".join([c.name, version] + cells) + " |")
    return lines


def pytest_terminal_summary(terminalreporter):
    lines = table()
    terminalreporter.section("client x feature")
    for line in lines:
        terminalreporter.write_line(line)
    path = os.environ.get("SIGFERRY_COMPAT_TABLE")
    if path:
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
