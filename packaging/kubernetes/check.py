# SPDX-License-Identifier: Apache-2.0
"""What no schema says: whether the manifests fit together. check.py [DIR] names each fault and exits
with 1. Kustomizations list files that exist, names that refer to something find it, every container
is confined, what is probed is listened on, and no secret is in the tree. Needs PyYAML."""

import os
import re
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
FAULTS = []


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
    if not context.get("runAsUser"):
        fault(where, "no runAsUser")
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
    if c["name"] != "sigferry":
        return
    if context.get("runAsUser") != 65532:
        fault(where, "does not run as the image's user 65532")
    if sidecar and c.get("restartPolicy") != "Always":
        fault(where, "a native sidecar has restartPolicy: Always")
    ports = {p["name"] for p in c.get("ports", [])}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe not in c:
            fault(where, "no %s" % probe)
        at = c.get(probe, {}).get("httpGet", {})
        if at and at["port"] not in ports:
            fault(where, "%s asks port %s, which is not declared" % (probe, at["port"]))
    if "preStop" not in c.get("lifecycle", {}):
        fault(where, "no preStop")
    mounted = set(paths)
    for v in c.get("env", []):
        if v["name"].endswith("_FILE") and os.path.dirname(v["value"]) not in mounted:
            fault(where, "%s names a file in no volume" % v["name"])
        if "value" in v and re.search("(SECRET|TOKEN|PASSWORD)S?$|CLIENTS$", v["name"]):
            fault(where, "%s belongs into a secret" % v["name"])
        used = re.findall(r"\$\((\w+)\)", v.get("value", ""))
        before = [e["name"] for e in c["env"][:c["env"].index(v)]]
        for name in used:
            if name not in before:
                fault(where, "$(%s) is used before it is defined" % name)


def check_layout(directory):
    name = os.path.basename(directory)
    kustomization = load(os.path.join(directory, "kustomization.yaml"))[0]
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
    kinds = {o["kind"] for _, o in objects}
    for kind in ("Namespace", "ServiceAccount", "NetworkPolicy", "PodMonitor"):
        if kind not in kinds:
            fault(name, "no %s" % kind)
    by_kind = {(o["kind"], o["metadata"]["name"]): o for _, o in objects}
    if kustomization.get("namespace") not in [n for k, n in by_kind if k == "Namespace"]:
        fault(name, "the kustomization's namespace is not the one it makes")
    check_pods(name, objects, by_kind, maps)


def check_pods(name, objects, by_kind, maps):
    labels, ports, numbers = [], set(), set()
    for f, o in objects:
        pod = pod_of(o)
        if not pod:
            continue
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
        sidecars = pod.get("initContainers", [])
        for c in sidecars + pod["containers"]:
            check_container("%s, container %s" % (where, c["name"]), pod, c, c in sidecars)
            ports |= {p["name"] for p in c.get("ports", [])}
            numbers |= {p["containerPort"] for p in c.get("ports", [])}
        if "sigferry" not in [c["name"] for c in sidecars + pod["containers"]]:
            fault(where, "no container sigferry")
        if pod.get("terminationGracePeriodSeconds", 30) <= 30:
            fault(where, "the grace period is no longer than preStop and drain_timeout together")
    for f, o in objects:
        where = "%s/%s" % (name, f)
        spec = o.get("spec", {})
        selector = {"Service": spec.get("selector"),
                    "PodMonitor": spec.get("selector", {}).get("matchLabels"),
                    "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels")}.get(o["kind"])
        if selector is not None and not any(selector.items() <= own.items() for own in labels):
            fault(where, "selects no pod")
        for p in spec.get("podMetricsEndpoints", []):
            if p["port"] not in ports:
                fault(where, "no port %s" % p["port"])
        if o["kind"] == "Service":
            for p in spec["ports"]:
                if p["targetPort"] not in ports:
                    fault(where, "no port %s" % p["targetPort"])
        if o["kind"] == "NetworkPolicy":
            for rule in spec["ingress"]:
                for p in rule["ports"]:
                    if p["port"] not in numbers:
                        fault(where, "lets port %s in, where nothing listens" % p["port"])


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
