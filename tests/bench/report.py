# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown and a chart in SVG, from the results of run.py. Ratios are made within each
round, between neighbours in time, and their median is shown; so is the median of everything else."""

import statistics

BASE = "nginx"
COLUMNS = [("cpu", "CPU µs", "%.1f"), ("rest", "CPU µs of upstream and wrk", "%.1f"), ("rps", "requests/s", "%.0f"), ("p50", "p50 µs", "%.0f"),
           ("p99", "p99 µs", "%.0f"), ("connects", "new connections", "%.0f"),
           ("rss", "RSS KiB", "%.0f"), ("start", "KiB at start", "%.0f"),
           ("connected", "KiB a client", "%.2f"), ("after", "KiB a client after an answer", "%.2f"),
           ("client", "KiB a client", "%.2f"), ("calls", "system calls a request", "%.1f"),
           ("which", "of these", "%s")]
RATIOS = [("cpu", "CPU"), ("rps", "requests/s"), ("p99", "p99")]


def median(values):
    """Of numbers; of texts the first."""
    return values[0] if isinstance(values[0], str) else statistics.median(values)


def by(results, key):
    """Results grouped by a key, in order of appearance."""
    groups = {}
    for r in results:
        groups.setdefault(key(r), []).append(r)
    return groups


def ratio(group, server, key):
    """The median over the rounds of server's value over nginx's; None without nginx."""
    base = {r["round"]: r[key] for r in group if r["server"] == BASE and key in r}
    found = [r[key] / base[r["round"]] for r in group
             if r["server"] == server and key in r and base.get(r["round"])]
    return median(found) if found else None


def table(title, group):
    columns = [c for c in COLUMNS if any(c[0] in r for r in group)]
    ratios = [c for c in RATIOS if any(r["server"] == BASE and c[0] in r for r in group)]
    lines = ["### %s" % title, "",
             "| | " + " | ".join([c[1] for c in columns] +
                                 ["%s ÷ %s" % (c[1], BASE) for c in ratios]) + " |",
             "|---" + "|--:" * (len(columns) + len(ratios)) + "|"]
    for server, runs in by(group, lambda r: r["server"]).items():
        cells = [c[2] % median([r[c[0]] for r in runs if c[0] in r])
                 if any(c[0] in r for r in runs) else "" for c in columns]
        cells += ["%.2f" % x if (x := ratio(group, server, c[0])) is not None else ""
                  for c in ratios]
        lines.append("| %s | %s |" % (server, " | ".join(cells)))
    return "\n".join(lines) + "\n"


def text(data):
    head = ", ".join("%s %s" % v for v in data["versions"].items())
    groups = by(data["results"], lambda r: (r["scenario"], r["where"]))
    return "%s\n\n" % head + "\n".join(
        table("%s (%s, %d rounds)" % (name, where, 1 + max(r["round"] for r in group)), group)
        for (name, where), group in groups.items())


CHARTED = ["GET 1 KiB, c=1", "GET 1 KiB, c=16", "GET 1 KiB, c=64", "GET 1 KiB, c=256", "POST 1 KiB, c=64",
           "POST 16 KiB, c=64"]
COLOURS = {"nginx": "#8a94a6", "haproxy": "#b9c0cc", "sigferry": "#2f6fed"}
STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #333 } .t { font-weight: 600; font-size: 15px }
@media (prefers-color-scheme: dark) { text { fill: #ddd } }
</style>"""


def svg(data):
    """CPU time per request, a group of bars for each scenario: nobody signs but sigferry."""
    results = [r for r in data["results"] if r["where"] == "one CPU"]
    groups = by(results, lambda r: r["scenario"])
    names = [n for n in CHARTED if n in groups]
    values = {(n, s): median([r["cpu"] for r in runs]) for n in names
              for s, runs in by(groups[n], lambda r: r["server"]).items() if s in COLOURS}
    bar, gap, left, top, width = 16, 14, 160, 64, 720
    scale = (width - left - 80) / max(values.values(), default=1)
    out, y = [], top
    for n in names:
        mine = [s for s in COLOURS if (n, s) in values]
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>'
                   % (left - 10, y + bar * len(mine) / 2 + 5, n))
        for s in mine:
            v = values[n, s]
            out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>'
                       % (left, y, v * scale, bar - 2, COLOURS[s]))
            out.append('<text x="%.1f" y="%d">%.1f</text>' % (left + v * scale + 6, y + 12, v))
            y += bar
        y += gap
    legend, x = [], left
    for s in COLOURS:
        if not any(key[1] == s for key in values):
            continue
        label = s + (", signing" if s == "sigferry" else ", not signing")
        legend.append('<rect x="%d" y="36" width="12" height="12" fill="%s"/>'
                      '<text x="%d" y="47">%s</text>' % (x, COLOURS[s], x + 18, label))
        x += 40 + 8 * len(label)
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">\n'
            '<title>CPU time per request</title>\n%s\n'
            '<text class="t" x="10" y="22">CPU time of the proxy per request, µs (TLS upstream, all '
            'on one CPU; less is better)</text>\n%s\n</svg>\n'
            % (width, y, STYLE, "\n".join(legend + out)))
