# SPDX-License-Identifier: Apache-2.0
"""The status page as people see it, of a daemon with a bit of everything behind it: pictures in light
and dark, as wide as a desk's screen and a phone's, with and without scripts.

    SIGFERRY=build/sigferry python3 tests/it/screenshots.py DIRECTORY"""

import json
import subprocess
import sys
from pathlib import Path

from browser import BROWSER, home
from client import until
from faults import ONCE, gather, metric
from soak import ROLE, rig

DARK = ["--blink-settings=preferredColorScheme=0"]
SHOTS = {"light": (1280, []), "dark": (1280, DARK), "phone": (390, []), "phone-dark": (390, DARK),
         "no-scripts": (1280, [])}
NO_SCRIPTS = {"profile": {"default_content_setting_values": {"javascript": 2}}}


def traffic(d, upstream):
    """Successes, retries, failures of several kinds, on several hosts; some still under way."""
    upstream.on("busy", lambda ex: ex.error(503, "Busy") if ex.attempt % 2 else ex.reply(200, b"{}"))
    upstream.on("down", lambda ex: ex.error(503, "InternalServiceError", [("X-Tt-Logid", "2026112200000001")]))
    upstream.on("dies", lambda ex: ex.reset())
    upstream.on("denied", lambda ex: ex.error(403, "AccessDenied"))
    held = upstream.event()
    upstream.on("slow", lambda ex: (held.wait(60), ex.reply(200, b"{}")))

    def ask(action, service="ecs", headers=(), n=1, region="cn-beijing"):
        for _ in range(n):
            d.request("GET", "/?Action=%s&Version=2020-04-01" % action,
                      [("X-Sigferry-Region", region), *headers], service=service)

    ask("DescribeInstances", n=400)
    ask("ListUsers", "iam", n=120)
    ask("DescribeVpcs", "vpc", n=35, region="cn-shanghai")
    ask("busy", n=12)
    ask("down", headers=[("X-Sigferry-Num-Max-Retries", "1")])
    ask("dies", "vpc", headers=[ONCE])
    ask("denied", "iam")
    ask("DescribeInstances", headers=[("X-Sigferry-Profile", "expired")])
    ask("DescribeInstances", headers=[("Origin", "https://evil.example")], n=3)
    ask("<script>alert(1)</script>", headers=[("X-Sigferry-Read-Timeout", "so long & \"wide\"")])
    d.request("GET", "/?Action=ListUsers&Version=2018-01-01", service=None)
    return [lambda: d.request("GET", "/?Action=slow&Version=2020-04-01", service="ecs", timeout=90)] * 3, held


def shoot(url, directory):
    made = []
    for name, (width, options) in SHOTS.items():
        path = Path(directory, name + ".png")
        with home() as (profile, env):
            if name == "no-scripts":
                Path(profile, "Default").mkdir()
                Path(profile, "Default", "Preferences").write_text(json.dumps(NO_SCRIPTS))
            run = subprocess.run(
                [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                 "--user-data-dir=" + profile, "--window-size=%d,%d" % (width, 2200), "--virtual-time-budget=1500",
                 "--screenshot=%s" % path, *options, url], capture_output=True, text=True, timeout=120,
                env=env)
        assert path.exists(), run.stderr
        made.append(path)
    return made


def main(directory):
    Path(directory).mkdir(parents=True, exist_ok=True)
    profiles = {"expired": dict(ROLE, role_trn="trn:iam::2100000001:role/gone"),
                "near-its-end": dict(ROLE, role_trn="trn:iam::2100000001:role/near")}
    profiles = {k: {kk: vv for kk, vv in v.items() if vv is not None} for k, v in profiles.items()}
    with rig(role=True, workers=2, profiles=profiles) as (d, upstream):
        fake, usual = d.fake, d.fake.usual

        def role(call):
            if "gone" in call.query["RoleTrn"]:
                return 403, {"ResponseMetadata": {"RequestId": "2026112200000002", "Error": {
                    "Code": "AccessDenied", "Message": "the role does not trust this user"}}}
            fake.lifetime = 290 if "near" in call.query["RoleTrn"] else 3600
            return usual(call)
        fake.answer["AssumeRole"] = role
        until(lambda: d.request().status == 200, 20, "the first credential")
        jobs, held = traffic(d, upstream)
        import threading
        asking = threading.Thread(target=gather, args=(jobs, 90), daemon=True)
        asking.start()
        until(lambda: metric(d, "sigferry_inflight_requests") >= 3, 20, "requests under way")
        try:
            for path in shoot("http://127.0.0.1:%d/" % d.admin[1], directory):
                print(path)
        finally:
            held.set()
            asking.join()


if __name__ == "__main__":
    main(sys.argv[1])
