# SPDX-License-Identifier: Apache-2.0
"""Python's urllib.request: its defaults, which take http_proxy from the environment; a burst in
threads."""

import concurrent.futures
import urllib.error
import urllib.request

from protocol import answer, body_of, failure, operation, stream

op = operation()
body, kind = body_of(op)


def request(url):
    r = urllib.request.Request(url, body, dict(op["headers"]), method=op["method"])
    if kind:
        r.add_header("Content-Type", kind)
    return urllib.request.urlopen(r, timeout=op.get("timeout", 20))


def fetch(url):
    with request(url) as response:
        return response.status, response.read()


try:
    if op["op"] == "stream":
        stream(request(op["url"]))
    elif op.get("urls"):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            done = list(pool.map(fetch, op["urls"]))
        statuses = {s for s, _ in done}
        answer(statuses.pop() if len(statuses) == 1 else sorted(statuses))
    else:
        answer(*fetch(op["url"]))
except urllib.error.HTTPError as e:
    answer(e.code, e.read(), {"type": "HTTPError"})
except OSError as e:
    answer(error=failure(e))
