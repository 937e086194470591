# SPDX-License-Identifier: Apache-2.0
"""Python's http.client: one connection, kept for a burst."""

import http.client
import urllib.parse

from protocol import answer, body_of, failure, operation, stream

op = operation()
at = urllib.parse.urlsplit(op["url"])
connection = http.client.HTTPConnection(at.hostname, at.port, timeout=op.get("timeout", 20))
body, kind = body_of(op)
headers = dict(op["headers"])
if kind:
    headers["Content-Type"] = kind
statuses = []
try:
    for target in op.get("targets") or [at.path + "?" + at.query]:
        connection.request(op["method"], target, body, headers)
        response = connection.getresponse()
        if op["op"] == "stream":
            stream(response)
            raise SystemExit
        data = response.read()
        statuses.append(response.status)
    error = {"type": "status"} if response.status >= 400 else None
    answer(response.status if len(set(statuses)) == 1 else statuses, data, error)
except OSError as e:
    answer(error=failure(e))
