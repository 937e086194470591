# SPDX-License-Identifier: Apache-2.0
"""10,000 log lines a second into a pipe that nobody reads any more: do requests get slower, and is every
line that was dropped counted? wrk asks (each client after a pause of 5 ms), nginx answers, `cat` reads
the daemon's log; in some windows it runs, in some it is stopped (SIGSTOP, the pipe full), in some it runs
again, for what chance makes. Every order of the three comes as often.

    SIGFERRY=build/sigferry python3 tests/it/soak_log_pipe.py [ROUNDS [CLIENTS]]"""

import itertools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import daemon as daemons
from certs import Certs
from client import Client, until
from soak_refresh import REPORT, nginx

WINDOW_S = 4
KINDS = ("read", "stopped", "again")
DROPPED = b"sigferry_log_dropped_total "


class Piped:
    """A daemon whose log goes through a pipe into `cat`, which writes it to a file."""

    def __init__(self, directory, settings):
        self.file = Path(directory, "log")
        path = Path(directory, "sigferry.conf")
        path.write_text(daemons.config_text(settings))
        path.chmod(0o600)
        with open(self.file, "wb") as out:
            self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out)
        self.process = subprocess.Popen([daemons.BINARY, "run", "-c", str(path)], stderr=self.cat.stdin,
                                        env=daemons.clean_env(directory))
        self.cat.stdin.close()
        self.admin = "127.0.0.1", int(settings["admin"]["listen"].split(":")[1])

    def dropped(self):
        with Client(self.admin, 15) as c:
            body = c.request("GET", "/metrics").body
        return int(next(x for x in body.splitlines() if x.startswith(DROPPED)).split()[1])

    def ready(self):
        try:
            with Client(self.admin, 15) as c:
                return c.request("GET", "/readyz").status == 200
        except OSError:
            return False

    def stop(self):
        self.cat.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
        self.cat.wait(30)


def window(port, clients, script):
    run = subprocess.run(["wrk", "-t1", "-c%d" % clients, "-d%ds" % WINDOW_S, "--timeout", "10s", "-s", script, "-H",
                          "X-Sigferry-Service: ecs", "http://127.0.0.1:%d/?Action=Echo&Version=2020-04-01" % port],
                         stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout.splitlines()[-1])


def access_lines(d, n):
    """Waits until cat has written what the pipe held; the number of access lines in the file."""
    size = -1
    while size != d.file.stat().st_size:
        size = d.file.stat().st_size
        threading.Event().wait(0.3)
    with open(d.file, "rb") as f:
        f.seek(n)
        return f.read().count(b'msg="access"'), size


def main(rounds, clients):
    with tempfile.TemporaryDirectory(prefix="sigferry-pipe-") as directory:
        Path(directory, "certs").mkdir()
        certs = Certs(Path(directory, "certs"))
        up, upstream = nginx(directory, certs.pair("good"))
        script = Path(directory, "report.lua")
        script.write_text(REPORT + "delay = function() return 5 end\n")
        port, admin = daemons.unused_port(), daemons.unused_port()
        d = Piped(directory, {
            "listen": ["127.0.0.1:%d" % port], "admin": {"listen": "127.0.0.1:%d" % admin}, "region": "cn-beijing",
            "workers": 2, "profiles": daemons.ALL_PROFILES, "tls": {"ca_file": str(certs.ca)},
            "connect_to": ["::127.0.0.1:%d" % upstream]})
        out, lost, read, seen = {k: [] for k in KINDS}, dict.fromkeys(KINDS, 0), 0, 0
        orders = itertools.islice(itertools.cycle(itertools.permutations(KINDS)), rounds)
        try:
            until(d.ready, 20, "the daemon")
            for kind in itertools.chain.from_iterable(orders):
                before = d.dropped()
                if kind == "stopped":
                    d.cat.send_signal(signal.SIGSTOP)
                out[kind].append(window(port, clients, str(script)))
                lost[kind] += d.dropped() - before
                d.cat.send_signal(signal.SIGCONT)
                n, seen = access_lines(d, seen)
                read += n
        finally:
            d.stop()
            up.terminate()
            up.wait()
    with_p99 = {}
    for kind, windows in out.items():
        m = {k: statistics.median(w[k] for w in windows) for k in ("requests", "p50", "p99", "p999")}
        with_p99[kind] = m["p99"]
        print("%-7s %d windows of %d s: %d lines a second, p50 %.2f ms, p99 %.2f ms (%s), p99.9 %.2f ms; dropped %d" % (
            kind, len(windows), WINDOW_S, m["requests"] / WINDOW_S, m["p50"], m["p99"],
            " ".join("%.2f" % w["p99"] for w in windows), m["p999"], lost[kind]))
    total = sum(w["requests"] for v in out.values() for w in v)
    failed = sum(w["failed"] for v in out.values() for w in v)
    counted = read + sum(lost.values())
    usual = max(with_p99["read"], with_p99["again"])  # their difference is chance
    print("%d requests answered, %d failed; %d lines read + %d dropped = %d; p99 %+.1f %%" % (
        total, failed, read, sum(lost.values()), counted, 100 * (with_p99["stopped"] / usual - 1)))
    # wrk leaves requests behind that were under way when it ended: up to one a client and window
    return (failed == 0 and lost["stopped"] > 0 and 0 <= counted - total <= len(KINDS) * rounds * clients
            and with_p99["stopped"] < 1.2 * usual)


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 12, int(sys.argv[2]) if len(sys.argv) > 2 else 80))
