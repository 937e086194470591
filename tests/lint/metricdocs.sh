#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/METRICS.md has a row for every metric there is and no other, the labels of the plain
# ones included; the dashboard and the alerts use no metric or label that does not exist.
# shellcheck disable=SC2016 # the backquotes are Markdown
set -u
export LC_ALL=C.UTF-8
cd "${SIGFERRY_SRC:-$(dirname "$0")/../..}" || exit 99
bad=0
fail() {
    echo "$*"
    bad=1
}
dashboard=etc/grafana-dashboard.json alerts=etc/alerts.yml

# Names stand as string literals, those of the workers' counters in stat.def.
defined() {
    cat src/base/stat.def src/daemon/metrics.c src/daemon/metrics_process.c |
        grep -o -E '"(sigferry|process)_[a-z0-9_]+"' | tr -d '"' | sort -u
}
# The first column, and the labels of the third as one word: NAME LABEL,LABEL
rows() {
    sed -n -E 's/^\| `((sigferry|process)_[a-z0-9_]+)` \| [a-z]+ \| ([^|]*) \|.*/\1 \3/p' docs/METRICS.md |
        tr -d '`,' | sed 's/ –$//'
}
[ "$(defined | wc -l)" -ge 30 ] || fail "the sources' metrics are not found"
diff <(defined) <(rows | cut -d ' ' -f 1 | sort) ||
    fail "the metrics of the sources (<) and of docs/METRICS.md (>) differ"

# Labels of stat.def, and those that metrics.c gives to counted series.
labelled() {
    sed -n -E 's/^X\([^"]*"([a-z_]+)", *"([a-z]+)=.*/\1 \2/p' src/base/stat.def
    tr -d '\n' <src/daemon/metrics.c |
        grep -o -E '"sigferry_[a-z_]+", +"[^"]*", +\{("[a-z]+"|NULL), ("[a-z]+"|NULL), ("[a-z]+"|NULL)\}' |
        sed -E 's/^"([a-z_]+)".*\{(.*)\}$/\1 \2/; s/NULL//g' | tr -d '",' |
        while read -r name labels; do for label in $labels; do echo "$name $label"; done; done
}
[ "$(labelled | wc -l)" -ge 5 ] || fail "the sources' labels are not found"
while read -r name label; do
    rows | grep -q -E "^$name (.* )?$label( |\$)" || fail "docs/METRICS.md: $name has a label $label"
done < <(labelled)

known=$(defined)
labels=$(rows | cut -d ' ' -f 2- | tr ' ' '\n' | sort -u)
# What the server adds, and the words between parentheses after "by" are names of labels.
labels="$labels
job
instance"
for file in $dashboard $alerts docs/METRICS.md; do
    while read -r name; do
        grep -q -x -e "$name" -e "${name%_bucket}" -e "${name%_sum}" -e "${name%_count}" <<<"$known" ||
            fail "$file: there is no metric $name"
    done < <(grep -o -E '\b(sigferry|process)_[a-z0-9_]+\b' "$file" | sort -u)
    while read -r label; do
        grep -q -x -e "$label" <<<"$labels" || fail "$file: no metric has a label $label"
    done < <(
        grep -o -E '\b(by|on) \([a-z, ]+\)' "$file" | sed -e 's/^[a-z]* (//' -e 's/)//' | tr -d ' ' | tr ',' '\n'
        grep -o -E '\{\{ ?\$?[a-z.]+ ?\}\}' "$file" | grep -v value | tr -d '{}$ ' | sed 's/^labels\.//'
        grep -o -E '[{,][a-z]+=~?' "$file" | tr -d '{,=~'
    )
done
for file in $dashboard $alerts; do
    grep -q expr "$file" || fail "$file: there is no expression to check"
done

python=${PYTHON:-python3}
if "$python" -c '' 2>/dev/null; then
    "$python" -c 'import json, sys; json.load(open(sys.argv[1]))' $dashboard || fail "$dashboard is no JSON"
fi
exit $bad
