# SPDX-License-Identifier: Apache-2.0
"""What the Python drivers share: one operation as JSON in the first argument, its outcome as JSON on
standard output; a stream's bytes are written as they come instead."""

import json
import sys


def operation():
    return json.loads(sys.argv[1])


def answer(status=None, body=b"", error=None):
    print(json.dumps({"status": status, "body": body.decode("utf-8", "replace"), "error": error}))


def failure(e):
    return {"type": type(e).__name__, "message": str(e)}


def body_of(op):
    """(bytes or None, content type or None)"""
    return (op["body"].encode() if op.get("body") is not None else None), op.get("type")


def stream(response):
    while True:
        data = response.read1(65536)
        if not data:
            return
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
