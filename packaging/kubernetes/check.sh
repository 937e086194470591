#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks the manifests without a cluster: that they fit together (check.py; needs PyYAML), that the
# published schemas of Kubernetes and of the Prometheus operator take them (schema.mjs; needs node, and
# npm for the schemas, kept in $SIGFERRY_SCHEMA_CACHE if that is set), and that the checks find the
# faults of a spoilt copy. tests/compat/test_kubernetes.py runs the daemon with the configurations.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
bad=0
python=
for candidate in python3 /usr/bin/python3; do
    if "$candidate" -c 'import yaml' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { echo "skipped: no python3 has PyYAML (Debian: apt-get install python3-yaml)"; exit 77; }
manifests() { find "$1" -mindepth 2 -name '*.yaml' ! -name kustomization.yaml | sort; }

PYTHONDONTWRITEBYTECODE=1 "$python" "$here/check.py" || bad=1

schemas=no
cache=${SIGFERRY_SCHEMA_CACHE:-$work}
if command -v node >/dev/null && command -v npm >/dev/null; then
    mkdir -p "$cache"
    if ! cmp -s "$here/package.json" "$cache/package.json" || [ ! -d "$cache/node_modules" ]; then
        cp "$here/package.json" "$cache/package.json"
        (cd "$cache" && npm install --no-package-lock --ignore-scripts --no-audit --no-fund \
            --loglevel=error >npm.log 2>&1) || rm -rf "$cache/node_modules"
    fi
    [ ! -d "$cache/node_modules" ] || schemas=yes
fi
if [ $schemas = yes ]; then
    mapfile -t files < <(manifests "$here")
    if node "$here/schema.mjs" "$cache/node_modules" "${files[@]}"; then
        echo "${#files[@]} manifests fit their schemas"
    else
        bad=1
    fi
else
    echo "the schemas were left out: node, npm or the schemas are not to be had"
fi

# spoil FILE FROM TO [schema]: after that change the checks must complain; with "schema", check.py alone
# need not.
missed=0 tried=0
spoil() {
    rm -rf "$work/spoilt"
    cp -r "$here" "$work/spoilt"
    sed -i "s|$2|$3|" "$work/spoilt/$1"
    if cmp -s "$here/$1" "$work/spoilt/$1"; then
        echo "nothing to spoil: '$2' is not in $1"
        missed=1
    fi
    if PYTHONDONTWRITEBYTECODE=1 "$python" "$here/check.py" "$work/spoilt" >/dev/null 2>&1; then
        if [ "${4:-}" = schema ] && [ $schemas = no ]; then return; fi
        if [ "${4:-}" != schema ] ||
            node "$here/schema.mjs" "$cache/node_modules" "$work/spoilt/$1" >/dev/null 2>&1; then
            echo "nobody noticed in $1: '$3' instead of '$2'"
            missed=1
        fi
    fi
    tried=$((tried + 1))
}
spoil node/daemonset.yaml 'mountPath: /tmp' 'mountPath: /etc/sigferry'
spoil node/daemonset.yaml 'path: /livez' 'pfad: /livez' schema
spoil node/daemonset.yaml 'port: admin' 'port: amdin'
spoil node/daemonset.yaml 'readOnlyRootFilesystem: true' 'readOnlyRootFilesystem: false'
spoil node/daemonset.yaml 'containerPort: 8750' 'containerPort: many' schema
spoil node/service.yaml 'targetPort: http' 'targetPort: https'
spoil node/networkpolicy.yaml 'policyTypes: .*' 'policyTypes: {}' schema
spoil node/podmonitor.yaml 'podMetricsEndpoints' 'podMetricEndpoints' schema
spoil node/podmonitor.yaml 'name: sigferry-metrics' 'nane: sigferry-metrics' schema
spoil node/daemonset.yaml 'path: /livez' 'path: /healthz'
spoil node/daemonset.yaml 'key: clients' 'kay: clients' schema
spoil node/daemonset.yaml 'image: sigferry' 'imagePullPolicy: Always'
spoil node/daemonset.yaml '/etc/sigferry/sigferry.conf"' '/etc/sigferry.conf"'
spoil node/kustomization.yaml 'images:' 'image:'
spoil node/namespace.yaml 'restricted' 'privileged'
spoil node/networkpolicy.yaml '"169.254.0.0/16", ' ''
spoil node/networkpolicy.yaml 'sigferry/client: allowed' 'sigferry/clients: allowed'
spoil node/service.yaml 'Local' 'Cluster'
spoil sidecar/deployment.yaml 'audience: sigferry' 'audiense: sigferry' schema
spoil sidecar/deployment.yaml 'seconds: 2' 'seconds: 0'
spoil sidecar/kustomization.yaml '  - podmonitor.yaml' '  - monitor.yaml'
spoil sidecar/deployment.yaml 'restartPolicy: Always' 'restartPolicy: Never'
spoil sidecar/deployment.yaml 'restartPolicy: Always' 'restartPolcy: Always'
spoil sidecar/deployment.yaml 'serviceAccountName: app' 'serviceAccountName: api'
spoil sidecar/deployment.yaml 'seconds: 2' 'secs: 2' schema
spoil sidecar/deployment.yaml 'failureThreshold: 3' 'failureTreshold: 3' schema
[ $missed = 0 ] && echo "$tried spoilt copies were found out" || bad=1
exit $bad
