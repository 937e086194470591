// SPDX-License-Identifier: Apache-2.0
// Holds manifests to the published schemas: node schema.mjs MODULES FILE… Types and required fields are
// the schemas' own business; what no schema asks for (a misspelt field) is found by watching which
// fields the validator looks at.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const { parseAllDocuments } = createRequire(join(modules, "x.js"))("yaml");

const PACKAGES = {
  "": "kubernetes-models",
  apps: "kubernetes-models",
  "networking.k8s.io": "kubernetes-models",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

async function model(apiVersion, kind) {
  const [version, group = ""] = apiVersion.split("/").reverse();
  const name = PACKAGES[group];
  if (!name) throw new Error(`no schema for ${apiVersion}`);
  const path = join(modules, name, group, version, `${kind}.js`);
  if (!existsSync(path)) throw new Error(`${apiVersion} has no ${kind}`);
  const source = readFileSync(path, "utf8");
  const schema = /from"((?:\.\.\/)+_schemas\/[^"]+)"/.exec(source)[1];
  return (await import(pathToFileURL(join(path, "..", schema)))).validate;
}

// What was asked for of each object, by path.
function watched(value, path, seen) {
  if (value === null || typeof value !== "object") return value;
  const keys = new Set();
  if (!Array.isArray(value)) seen.set(path, { keys, value });
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === "string") keys.add(key);
      const inner = target[key];
      return typeof inner === "object" ? watched(inner, `${path}.${String(key)}`, seen) : inner;
    },
    has(target, key) {
      keys.add(key);
      return key in target;
    },
    ownKeys(target) {
      // A map of any names: all of them are looked at.
      for (const key of Reflect.ownKeys(target)) keys.add(key);
      return Reflect.ownKeys(target);
    },
  });
}

let bad = 0;
function complain(file, text) {
  console.error(`${file}: ${text}`);
  bad = 1;
}

for (const file of files) {
  for (const document of parseAllDocuments(readFileSync(file, "utf8"), { uniqueKeys: true })) {
    for (const error of document.errors) complain(file, error.message);
    const object = document.toJS();
    const what = `${object.kind} ${object.metadata?.name}`;
    let validate;
    try {
      validate = await model(object.apiVersion, object.kind);
    } catch (e) {
      complain(file, e.message);
      continue;
    }
    const seen = new Map();
    if (!validate(watched(object, "", seen)))
      for (const e of validate.errors ?? [{ message: "invalid" }])
        complain(file, `${what}: ${e.instancePath ?? ""} ${e.message}`);
    for (const [path, { keys, value }] of seen)
      for (const key of Object.keys(value))
        if (!keys.has(key) && keys.size) complain(file, `${what}: ${path}.${key}: no such field`);
  }
}
process.exit(bad);
