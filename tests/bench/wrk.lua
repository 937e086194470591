-- SPDX-License-Identifier: Apache-2.0
-- wrk's script: what is sent comes from the environment (BENCH_METHOD, BENCH_BODY bytes, BENCH_HOSTS
-- names in turn), what was measured goes out as one line that load.py reads. No function runs per
-- request, except with several hosts.
wrk.method = os.getenv("BENCH_METHOD") or "GET"
local size = tonumber(os.getenv("BENCH_BODY") or "0")
if size > 0 then
    wrk.body = string.rep("x", size)
    wrk.headers["Content-Type"] = "application/octet-stream"
end

local hosts, at = {}, 0
for host in string.gmatch(os.getenv("BENCH_HOSTS") or "", "[^,]+") do
    hosts[#hosts + 1] = host
end
if #hosts == 1 then
    wrk.headers["Host"] = hosts[1]
elseif #hosts > 1 then
    local made = {}
    function init()
        for i, host in ipairs(hosts) do
            made[i] = wrk.format(nil, nil, { Host = host })
        end
    end
    function request()
        at = at % #made + 1
        return made[at]
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        "BENCH requests=%d duration_us=%d bytes=%d p50_us=%d p99_us=%d errors=%d timeouts=%d\n",
        summary.requests, summary.duration, summary.bytes, latency:percentile(50),
        latency:percentile(99), e.connect + e.read + e.write + e.status, e.timeout))
end
