# SPDX-License-Identifier: Apache-2.0
"""Load: wrk for requests, and a process of our own that holds many connections, idle or reading a
stream of events."""

import os
import re
import resource
import select
import shutil
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def wrk(url, connections, seconds, cpus, method="GET", body=0, threads=1,
        hosts=(), count=None):
    """One run; a dictionary of what wrk.lua reports. count: asked twice while it runs, "counted" is
    the difference: without the beginning, and without wrk's end, which breaks requests off."""
    env = dict(os.environ, BENCH_METHOD=method, BENCH_BODY=str(body),
               BENCH_HOSTS=",".join(hosts))
    argv = [shutil.which("wrk"), "-t%d" % threads, "-c%d" % connections, "-d%ds" % seconds,
            "--timeout", "20s", "-s", os.path.join(HERE, "wrk.lua"), url]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    before = after = 0
    used = children_us()
    if count:
        time.sleep(0.3 * seconds)
        before = count()
        time.sleep(0.5 * seconds)
        after = count()
    out, _ = p.communicate(timeout=seconds + 60)
    line = re.search(r"^BENCH (.*)$", out, re.M)
    if not line:
        raise SystemExit("wrk failed:\n" + out)
    return {"counted": after - before, "cpu_us": children_us() - used,
            **{k: int(v) for k, v in (f.split("=") for f in line[1].split())}}


def children_us():
    """CPU time of the children that have ended."""
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (r.ru_utime + r.ru_stime) * 1e6


class Holder:
    """A child process with n connections to a port, which answers one command a line."""

    def __init__(self, port, n, path, cpus, host=None):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "load.py"), str(port), str(n), path,
             host or "127.0.0.1:%d" % port],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.expect("connected")

    def ask(self, command, answer):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.expect(answer)

    def expect(self, word):
        line = self.process.stdout.readline().split()
        if not line or line[0] != word:
            raise SystemExit("the holder of connections failed: %s" % line)
        return [float(x) for x in line[1:]]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Held:
    """The child's side."""

    def __init__(self, port, n, path, host):
        self.request = ("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host)).encode()
        self.socks, self.poll = {}, select.epoll()
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", port), 30)
            s.settimeout(30)
            self.socks[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def one_answer_each(self):
        """A request on every connection, its whole answer read, 100 at a time."""
        socks = list(self.socks.values())
        for at in range(0, len(socks), 100):
            for s in socks[at:at + 100]:
                s.sendall(self.request)
            for s in socks[at:at + 100]:
                read_answer(s)
        print("answered", flush=True)

    def answers_together(self):
        """A request on every connection, all of them before any answer is read."""
        for s in self.socks.values():
            s.sendall(self.request)
        for s in self.socks.values():
            read_answer(s)
        print("answered", flush=True)

    def subscribe(self):
        for s in self.socks.values():
            s.sendall(self.request)
        waiting = set(self.socks)
        while waiting:
            for fd, _ in self.poll.poll(30):
                if not self.socks[fd].recv(65536):
                    raise SystemExit("a stream ended")
                waiting.discard(fd)
        print("subscribed", flush=True)

    def send(self):
        """A request on every connection; nobody waits for answers."""
        for s in self.socks.values():
            s.sendall(self.request)
        print("sent", flush=True)

    def read_events(self, seconds):
        """Reads what comes; counts bytes and reads that brought some."""
        reads = size = 0
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for fd, _ in self.poll.poll(left):
                n = len(self.socks[fd].recv(65536))
                if not n:
                    raise SystemExit("a stream ended")
                reads, size = reads + 1, size + n
        print("read", reads, size, flush=True)


def read_answer(s):
    got = b""
    while b"\r\n\r\n" not in got:
        got += some(s)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit("answered with %r" % head[:200])
    while len(body) < length:
        body += some(s)


def some(s):
    part = s.recv(65536)
    if not part:
        raise SystemExit("a connection ended")
    return part


def main():
    held = Held(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
    print("connected", flush=True)
    for line in sys.stdin:
        command, *args = line.split()
        if command == "answers":
            held.one_answer_each()
        elif command == "together":
            held.answers_together()
        elif command == "subscribe":
            held.subscribe()
        elif command == "send":
            held.send()
        elif command == "read":
            held.read_events(float(args[0]))


if __name__ == "__main__":
    main()
