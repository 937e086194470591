# SPDX-License-Identifier: Apache-2.0
"""What no schema says: whether the manifests fit together. check.py [DIR] names each fault and exits
with 1. Kustomizations list files that exist, names that refer to something find it, every container
is confined, what is probed is listened on, traffic and keys stay where they should, and no secret is
in the tree. Needs PyYAML."""

import os
import re
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
FAULTS = []


# What answers with credentials to whoever asks: no pod needs it.
METADATA = {"169.254.0.0/16", "100.96.0.96/32"}
SELECTORS = {"kubernetes.io/metadata.name", "sigferry/client"}


def fault(where, text):
    FAULTS.append("%s: %s" % (where, text))


class Strict(yaml.SafeLoader):
    """A key that stands twice is a fault, not the last one's win."""


def mapping(loader, node):
    keys = [loader.construct_object(k) for k, _ in node.value]
    for k in keys:
        if keys.count(k) > 1:
            raise yaml.YAMLError("the key %r occurs twice in line %d" % (k, node.start_mark.line))
    return dict(zip(keys, [loader.construct_object(v, deep=True) for _, v in node.value]))


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def load(path):
    with open(path, encoding="utf-8") as f:
        return list(yaml.load_all(f, Strict))


def pod_of(obj):
    return obj.get("spec", {}).get("template", {}).get("spec")


def check_container(where, pod, c, sidecar):
    context = dict(pod.get("securityContext", {}), **c.get("securityContext", {}))
    wanted = {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    for key, value in wanted.items():
        if context.get(key) is not value:
            fault(where, "securityContext.%s is not %s" % (key, value))
    for key in ("runAsUser", "runAsGroup"):
        if not context.get(key):
            fault(where, "no %s" % key)
    if not c.get("image"):
        fault(where, "no image")
    for kind, amounts in c.get("resources", {}).items():
        for name in set(amounts) - {"cpu", "memory", "ephemeral-storage"}:
            fault(where, "resources.%s: there is no %s" % (kind, name))
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        fault(where, "does not drop all capabilities")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        fault(where, "no seccomp profile")
    if "memory" not in c.get("resources", {}).get("limits", {}):
        fault(where, "no memory limit")
    volumes = {v["name"] for v in pod.get("volumes", [])}
    for m in c.get("volumeMounts", []):
        if m["name"] not in volumes:
            fault(where, "mounts %s, which is no volume" % m["name"])
    paths = [m["mountPath"] for m in c.get("volumeMounts", [])]
    if len(paths) != len(set(paths)):
        fault(where, "two volumes at one path")
    for v in c.get("env", []):
        source = v.get("valueFrom") or {}
        inner = next(iter(source.values()), None) or {}
        wanted = {"secretKeyRef": ("name", "key"), "fieldRef": ("fieldPath",)}
        if not v.get("value") and not (source and all(
                inner.get(k) for k in wanted.get(next(iter(source)), ("name",)))):
            fault(where, "%s has no value" % v["name"])
    if c["name"] != "sigferry":
        for m in c.get("volumeMounts", []):
            if m["name"] == "socket" and not m.get("readOnly"):
                fault(where, "could replace the socket")
        return
    check_sigferry(where, pod, c, sidecar, context, paths)


def check_command(where, pod, c):
    """The configuration that it is started with is in the config map that is mounted there."""
    args = c.get("args", [])
    if args[:2] != ["run", "--config"] or len(args) != 3:
        fault(where, "does not run with a --config")
        return
    volume = next((m["name"] for m in c.get("volumeMounts", [])
                   if m["mountPath"] == os.path.dirname(args[2])), None)
    source = next((v for v in pod.get("volumes", []) if v["name"] == volume), {})
    if os.path.basename(args[2]) not in maps_of(source, pod):
        fault(where, "%s is in no config map" % args[2])


def maps_of(volume, pod):
    return pod["maps"].get(volume.get("configMap", {}).get("name"), [])


def check_probe(where, name, probe, ports):
    path = {"readinessProbe": "/readyz", "livenessProbe": "/livez"}.get(name)
    at = probe.get("httpGet")
    if at and at["port"] not in ports:
        fault(where, "%s asks port %s, which is not declared" % (name, at["port"]))
    command = probe.get("exec", {}).get("command") or []
    if not (at and path and at.get("path") == path) and command[:2] != ["/usr/bin/sigferry", "wait"]:
        fault(where, "%s asks neither %s nor `sigferry wait`" % (name, path))


def check_sigferry(where, pod, c, sidecar, context, paths):
    if context.get("runAsUser") != 65532:
        fault(where, "does not run as the image's user 65532")
    if sidecar and c.get("restartPolicy") != "Always":
        fault(where, "a native sidecar has restartPolicy: Always")
    ports = {p["name"] for p in c.get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe not in c:
            fault(where, "no %s" % probe)
        else:
            check_probe(where, probe, c[probe], ports)
    check_command(where, pod, c)
    if not (c.get("lifecycle", {}).get("preStop", {}).get("sleep") or {}).get("seconds"):
        fault(where, "no preStop that waits")
    mounted = set(paths)
    for v in c.get("env", []):
        if v["name"].endswith("_FILE") and os.path.dirname(v.get("value", "")) not in mounted:
            fault(where, "%s names a file in no volume" % v["name"])
        if "value" in v and re.search("(SECRET|TOKEN|PASSWORD)S?$|CLIENTS$", v["name"]):
            fault(where, "%s belongs into a secret" % v["name"])
        used = re.findall(r"\$\((\w+)\)", v.get("value", ""))
        before = [e["name"] for e in c["env"][:c["env"].index(v)]]
        for name in used:
            if name not in before:
                fault(where, "$(%s) is used before it is defined" % name)


def check_kustomization(where, k):
    """No schema of it is published with those of Kubernetes."""
    known = {"apiVersion", "kind", "namespace", "labels", "resources", "configMapGenerator", "images"}
    for key in known ^ set(k):
        fault(where, "%s is %s" % (key, "missing" if key in known else "unknown"))
    if (k.get("apiVersion"), k.get("kind")) != ("kustomize.config.k8s.io/v1beta1", "Kustomization"):
        fault(where, "apiVersion or kind is another one")
    for key, wanted in (("labels", {"pairs"}), ("images", {"name", "newTag"}),
                        ("configMapGenerator", {"name", "files"})):
        for entry in k.get(key) or [{}]:
            if set(entry) != wanted or not all(entry.values()):
                fault(where, "%s: not just %s" % (key, ", ".join(sorted(wanted))))


def check_layout(directory):
    name = os.path.basename(directory)
    kustomization = load(os.path.join(directory, "kustomization.yaml"))[0]
    check_kustomization("%s/kustomization.yaml" % name, kustomization)
    listed = set(kustomization["resources"])
    found = {f for f in os.listdir(directory) if f.endswith(".yaml")} - {"kustomization.yaml"}
    for f in sorted(listed ^ found):
        fault(name, "%s is %s" % (f, "not there" if f in listed else "not in kustomization.yaml"))
    maps = {}
    for g in kustomization.get("configMapGenerator", []):
        maps[g["name"]] = g["files"]
        for f in g["files"]:
            if not os.path.isfile(os.path.join(directory, f)):
                fault(name, "configMapGenerator: no %s" % f)
    objects = [(f, o) for f in sorted(listed & found) for o in load(os.path.join(directory, f))]
    for f, o in objects:
        if not all(k in o for k in ("apiVersion", "kind", "metadata")) or "name" not in o["metadata"]:
            fault("%s/%s" % (name, f), "no apiVersion, kind or name")
        if o.get("kind") == "Secret":
            fault("%s/%s" % (name, f), "a secret in the source tree")
        if o.get("kind") == "Namespace" and o["metadata"].get("labels", {}).get(
                "pod-security.kubernetes.io/enforce") != "restricted":
            fault("%s/%s" % (name, f), "the namespace takes pods that are not restricted")
        if o.get("kind") == "ServiceAccount" and o.get("automountServiceAccountToken") is not False:
            fault("%s/%s" % (name, f), "its token is mounted everywhere")
    kinds = {o["kind"] for _, o in objects}
    for kind in ("Namespace", "ServiceAccount", "NetworkPolicy", "PodMonitor"):
        if kind not in kinds:
            fault(name, "no %s" % kind)
    by_kind = {(o["kind"], o["metadata"]["name"]): o for _, o in objects}
    if kustomization.get("namespace") not in [n for k, n in by_kind if k == "Namespace"]:
        fault(name, "the kustomization's namespace is not the one it makes")
    check_pods(name, objects, by_kind, maps)
    used = {c.get("image") for _, o in objects if pod_of(o)
            for c in pod_of(o).get("initContainers", []) + pod_of(o)["containers"]}
    for image in kustomization.get("images", []):
        if image.get("name") not in used:
            fault(name, "images: nothing runs %s" % image.get("name"))


def check_pods(name, objects, by_kind, maps):
    labels, ports, numbers, tokens = [], set(), set(), []
    for f, o in objects:
        pod = pod_of(o)
        if not pod:
            continue
        pod["maps"] = maps
        where = "%s/%s" % (name, f)
        own = o["spec"]["template"]["metadata"]["labels"]
        labels.append(own)
        if not o["spec"]["selector"]["matchLabels"].items() <= own.items():
            fault(where, "the selector does not match the pods")
        if ("ServiceAccount", pod.get("serviceAccountName")) not in by_kind:
            fault(where, "no service account %s" % pod.get("serviceAccountName"))
        for v in pod.get("volumes", []):
            wanted = v.get("configMap", {}).get("name")
            if wanted and wanted not in maps:
                fault(where, "no config map %s" % wanted)
            for s in v.get("projected", {}).get("sources", []):
                if not all(s.get("serviceAccountToken", {}).get(k) for k in ("path", "audience")):
                    fault(where, "an identity without path or audience")
        if pod.get("automountServiceAccountToken") is not False:
            fault(where, "mounts the token for the cluster")
        sidecars = pod.get("initContainers", [])
        for c in sidecars + pod["containers"]:
            check_container("%s, container %s" % (where, c["name"]), pod, c, c in sidecars)
            tokens += [v.get("valueFrom", {}).get("secretKeyRef") for v in c.get("env", [])
                       if v["name"] == "SIGFERRY_SECURITY_CLIENT_TOKENS"]
            ports |= {p["name"] for p in c.get("ports", [])}
            numbers |= {p["containerPort"] for p in c.get("ports", [])}
        if "sigferry" not in [c["name"] for c in sidecars + pod["containers"]]:
            fault(where, "no container sigferry")
        if pod.get("terminationGracePeriodSeconds", 30) <= 30:
            fault(where, "the grace period is no longer than preStop and drain_timeout together")
        if not own.items() <= o["metadata"].get("labels", own).items():
            fault(where, "its own labels are not those of its pods")
    for f, o in objects:
        where = "%s/%s" % (name, f)
        spec = o.get("spec", {})
        selectors = {"Service": spec.get("selector"),
                     "PodMonitor": (spec.get("selector") or {}).get("matchLabels"),
                     "NetworkPolicy": (spec.get("podSelector") or {}).get("matchLabels")}
        selector = selectors.get(o["kind"]) or {}
        if o["kind"] in selectors and not (selector and any(
                selector.items() <= own.items() for own in labels)):
            fault(where, "selects no pod, or any")
        for p in spec.get("podMetricsEndpoints", []):
            if p["port"] not in ports or p.get("path") != "/metrics":
                fault(where, "no port %s, or not /metrics" % p["port"])
            if p.get("authorization", {}).get("credentials") not in tokens:
                fault(where, "shows another token than the daemon wants")
        if o["kind"] == "Service":
            for p in spec["ports"]:
                if p["targetPort"] not in ports:
                    fault(where, "no port %s" % p["targetPort"])
            # There is no TLS on the way: it must not leave the node.
            if "DaemonSet" in {k for k, _ in by_kind} and spec.get("internalTrafficPolicy") != "Local":
                fault(where, "traffic may go to another node")
        if o["kind"] == "NetworkPolicy":
            check_network(where, spec, numbers)


def check_network(where, spec, numbers):
    if set(spec.get("policyTypes", [])) != {"Ingress", "Egress"}:
        fault(where, "does not hold for both directions")
    for rule in spec["ingress"]:
        for p in rule["ports"]:
            if p["port"] not in numbers:
                fault(where, "lets port %s in, where nothing listens" % p["port"])
    for rule in spec["ingress"] + spec["egress"]:
        for peer in rule.get("from", []) + rule.get("to", []):
            if "ipBlock" in peer:
                if not METADATA <= set(peer["ipBlock"].get("except") or []):
                    fault(where, "lets pods ask the metadata service")
                continue
            wanted = peer.get("namespaceSelector", {}).get("matchLabels") or {}
            if not wanted or not set(wanted) <= SELECTORS:
                fault(where, "selects namespaces by %s" % ", ".join(wanted or ["nothing"]))
        named = {(p["port"], p.get("protocol")) for p in rule["ports"]}
        if {p for p, _ in named} == {53} and {q for _, q in named} != {"UDP", "TCP"}:
            fault(where, "names are looked up by UDP and TCP")


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else HERE
    layouts = sorted(e.path for e in os.scandir(top)
                     if e.is_dir() and os.path.exists(os.path.join(e.path, "kustomization.yaml")))
    if not layouts:
        fault(top, "no kustomization in there")
    for directory in layouts:
        try:
            check_layout(directory)
        except (yaml.YAMLError, OSError, KeyError, TypeError) as e:
            fault(directory, "%s: %s" % (type(e).__name__, e))
    for f in FAULTS:
        print(f, file=sys.stderr)
    print("%d layouts, %d faults" % (len(layouts), len(FAULTS)))
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
