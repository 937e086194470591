# SPDX-License-Identifier: Apache-2.0
"""Secrets shown on purpose, one way a test, for test_leaks.py: each but the first must fail with
SIGFERRY_LEAKS=1. Not collected by itself."""

import base64

import daemon as daemons
import leaks
from checks import assert_ok, target

WORD = "planted-word-0123456789"


def test_nothing(daemon, upstream):
    assert_ok(daemon().request())


def test_answer(shared, upstream):
    upstream.on("leak", lambda ex: ex.reply(200, ("the key is " + daemons.SECRET_KEY).encode()))
    assert_ok(shared.request("GET", target("leak")))


def test_answer_with_a_signing_key(shared, upstream):
    def reply(ex):
        key = list(leaks.derived(daemons.SECRET_KEY, ex.req.get("X-Date")[:8], "cn-beijing", "ecs"))[-1]
        ex.reply(200, key.hex().encode())
    upstream.on("leak", reply)
    assert_ok(shared.request("GET", target("leak")))


def test_answer_in_base64(shared, upstream):
    upstream.on("leak", lambda ex: ex.reply(200, base64.b64encode(daemons.TOKEN_KEY[2].encode())))
    assert_ok(shared.request("GET", target("leak")))


def test_log(daemon, upstream):
    d = daemon(security={"client_tokens": [WORD]})
    d.request("GET", "/?Version=2020-04-01&Action=" + WORD, [("X-Sigferry-Token", WORD)])


def test_environ(daemon, upstream):
    daemon(_env={"SOME_VARIABLE": daemons.SECRET_KEY})


def test_cmdline_and_pages(daemon, upstream):
    leaks.secret(WORD)
    daemon(_args=["--set", "security.allowed_hosts=" + WORD])


def test_command():
    daemons.command("check", "--explain", WORD, env={"VOLCENGINE_SECRET_KEY": WORD})
