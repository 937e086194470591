# SPDX-License-Identifier: Apache-2.0
"""Several workers and several listeners: everything works alike on each."""

import os
import threading

import pytest

from checks import ECHO, assert_ok, assert_scope, target
from daemon import seconds

SERVICE = ("X-Sigferry-Service", "ecs")


@pytest.fixture(scope="module")
def pair(module_daemon, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("s") / "sock")
    # Connections are divided over the workers: 40 leaves room for whatever way clients are spread.
    return module_daemon(workers=2, _listeners=3, pool={"connection_pool_maxsize": 40}, listen=[
        {"address": "127.0.0.1:0", "service": "vpc", "region": "ap-southeast-2"},
        {"address": "127.0.0.2:0", "service": "iam"},
        {"address": "unix:" + path, "service": "redis"}])


def test_one_more_thread_a_worker(daemon, upstream):
    counts = []
    for n in (1, 2):
        d = daemon(workers=n)
        assert_ok(d.request())
        counts.append(len(os.listdir("/proc/%d/task" % d.pid)))
    assert counts[1] == counts[0] + 1, counts


def test_each_listener_has_its_own_keys(pair, upstream):
    for address, svc, reg in zip(pair.addresses(), ("vpc", "iam", "redis"),
                                 ("ap-southeast-2", "cn-beijing", "cn-beijing")):
        assert_ok(pair.request("GET", ECHO, service=None, address=address))
        assert_scope(upstream.requests[-1], svc, reg)


def test_many_clients_at_once(pair, upstream):
    """40 connections over three listeners, 10 requests each: every one answered with its own answer."""
    wrong = []

    def run(n):
        try:
            with pair.client(pair.addresses()[n % 3], timeout=30) as c:
                for i in range(10):
                    body = b"%d" % (n * 100 + i)
                    r = c.request("POST", target("m%d-%d" % (n, i)), [SERVICE], body)
                    if r.status != 200 or "Id=m%d-%d&" % (n, i) not in r.result["Target"]:
                        wrong.append((n, i, r))
        except Exception as e:
            wrong.append((n, repr(e)))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(seconds(60))
    assert wrong == []
    assert len(upstream.requests) == 400 and all(r.verdict.ok for r in upstream.requests)


def test_a_held_request_does_not_hold_others(pair, upstream):
    held = upstream.event()
    upstream.on("hold", lambda ex: (held.wait(30), ex.reply(200, b"{}")))
    clients = [pair.client() for _ in range(8)]
    for c in clients:
        c.begin("GET", target("hold"), [SERVICE])
    upstream.wait_request("hold", 8)
    for _ in range(10):
        assert_ok(pair.request("GET", ECHO, address=pair.addresses()[1], service="iam"))
    held.set()
    for c in clients:
        assert_ok(c.response())
        c.close()


def test_connections_per_host_are_bounded_over_all_workers(daemon, upstream):
    d = daemon(workers=2, pool={"connection_pool_maxsize": 4, "pending_timeout": 30.0})
    threads = [threading.Thread(target=lambda: [d.request() for _ in range(5)]) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(seconds(60))
    assert len(upstream.requests) == 80 and upstream.accepted <= 4
