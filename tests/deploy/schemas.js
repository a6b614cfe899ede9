// schemas.js - judges Kubernetes objects (a JSON list on standard input) by the schemas
// of the API, and prints what is wrong with each: [["…"], [], …].
//
// The schemas allow fields that they do not know, which the API server would refuse or
// drop. So the objects watch themselves being judged: a field that the schema never
// looked at is one that there is not. Where it goes through all names (labels) any is.
"use strict";
const core = "kubernetes-models";
const where = {
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};

function modelOf(object) {
  const [group, version] = object.apiVersion.includes("/")
    ? object.apiVersion.split("/") : ["", object.apiVersion];
  const folder = where[object.apiVersion] || `${core}/${group ? group + "/" : ""}${version}`;
  return require(`${folder}/${object.kind}`)[object.kind];
}

function watched(value, path, all) {
  if (value === null || typeof value !== "object") return value;
  const seen = new Set();
  const note = { value, path, seen, whole: Array.isArray(value) };
  all.push(note);
  const children = new Map();
  return new Proxy(value, {
    get(target, key) {
      seen.add(key);
      if (!Object.prototype.hasOwnProperty.call(target, key)) return target[key];
      if (!children.has(key)) children.set(key, watched(target[key], `${path}/${String(key)}`, all));
      return children.get(key);
    },
    ownKeys(target) {
      note.whole = true;
      return Reflect.ownKeys(target);
    },
  });
}

function judge(object) {
  const errors = [];
  const all = [];
  try {
    const model = new (modelOf(object))({});
    for (const key of Object.keys(object)) model[key] = watched(object[key], `/${key}`, all);
    model.validate();
  } catch (error) {
    errors.push(error.message);
  }
  for (const { value, path, seen, whole } of all) {
    if (whole) continue;
    for (const key of Object.keys(value))
      if (!seen.has(key)) errors.push(`${path}/${key}: there is no such field`);
  }
  return errors;
}

const objects = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(objects.map(judge)));
