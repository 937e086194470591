# SPDX-License-Identifier: Apache-2.0
"""A real browser, where there is one, and what it needs to leave nothing behind."""

import contextlib
import os
import shutil
import tempfile

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
in_a_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium (Debian: apt-get install chromium)")


@contextlib.contextmanager
def home():
    """(directory, environment): settings, caches and sockets go there, and with it. Its name is short,
    unlike pytest's directories: a socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sigferry-browser-", ignore_cleanup_errors=True) as directory:
        env = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        yield directory, dict(env, HOME=directory, TMPDIR=directory)
