# SPDX-License-Identifier: Apache-2.0
"""The official SDK volcengine-python-sdk, unmodified: signs, retries by itself and raises
ApiException."""

import json
import sys

import volcenginesdkcore
from volcenginesdkcore.rest import ApiException

if sys.argv[1] == "version":
    print(volcenginesdkcore.ApiClient().user_agent)
    sys.exit()
op = json.loads(sys.argv[1])
TYPES = {"form": "application/x-www-form-urlencoded", "json": "application/json"}


def client():
    c = volcenginesdkcore.Configuration()
    c.ak, c.sk, c.region = op["keys"][0], op["keys"][1], op["region"]
    c.scheme = "http"
    if op["host"]:
        c.host = op["host"]
    if op["timeout"]:
        c.read_timeout = op["timeout"]
    c.auto_retry = op["retry"]
    c.min_retry_delay_ms = 5
    c.client_side_validation = True
    return volcenginesdkcore.UniversalApi(volcenginesdkcore.ApiClient(c))


def main():
    api = client()
    method, kind = ("POST", TYPES[op["op"]]) if op["op"] in TYPES else ("GET", "text/plain")
    info = volcenginesdkcore.UniversalInfo(method=method, service=op["service"], version=op["version"],
                                           action=op["action"], content_type=kind)
    outcome = {"status": 200, "body": "", "error": None}
    try:
        if op["pages"]:
            calls = [api.do_call(info, {"Id": op["id"], "PageNumber": str(n + 1)}, async_req=True)
                     for n in range(op["pages"])]
            if not all(c.get() for c in calls):
                outcome["status"] = "not all"
        else:
            result = api.do_call(info, op["data"] if method == "POST" else {"Id": op["id"]})
            outcome["body"] = json.dumps({"Result": result})
    except ApiException as e:
        body = e.body.decode() if isinstance(e.body, bytes) else e.body
        outcome.update(status=e.status or None, body=body or "")
        outcome["error"] = {"type": "ApiException", "message": str(e)}
    except Exception as e:  # what the SDK lets through
        outcome.update(status=None, error={"type": type(e).__name__, "message": str(e)})
    print(json.dumps(outcome))


main()
