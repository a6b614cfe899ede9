// A service's policy in force, as lines of dotted keys; and, where the gateway takes a
// PATCH, a form of them. What was changed goes as a merge patch (RFC 7396), to be checked
// first if wished.
"use strict";

// Who calls it, and what stands in for it, belong to the file.
const FIXED = new Set(["endpoints", "fallback", "routes", "tls", "depends_on", "shadow", "name"]);

// [{path: ["breaker", "open"], value}] of an object in objects.
function leavesOf(object, path = []) {
  return Object.entries(object).flatMap(([key, value]) => (value !== null && typeof value === "object" && !Array.isArray(value)
    ? leavesOf(value, [...path, key])
    : [{ path: [...path, key], value }]));
}

const policyText = (value) => (value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

// What was typed as the type that was there: a list as JSON, a number, a yes or no.
function policyValue(text, before) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (Array.isArray(before)) {
    try {
      return JSON.parse(trimmed);
    } catch (error) {
      return trimmed.split(/\s*,\s*/);
    }
  }
  if (typeof before === "number" && Number.isFinite(Number(trimmed))) return Number(trimmed);
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  return before === null && /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}

function putAt(object, path, value) {
  const [key, ...rest] = path;
  if (!rest.length) object[key] = value;
  else putAt(object[key] ||= {}, rest, value);
}

function policyInput(leaf) {
  const label = leaf.path.join(".");
  if (typeof leaf.value !== "boolean") return element("input", { value: policyText(leaf.value), "aria-label": label, autocomplete: "off", spellcheck: "false" });
  const select = element("select", { "aria-label": label }, element("option", { value: "true" }, "true"), element("option", { value: "false" }, "false"));
  select.value = String(leaf.value);
  return select;
}

function policyRow(leaf, editable) {
  const row = { leaf, before: policyText(leaf.value) };
  const value = element("dd");
  if (editable && !FIXED.has(leaf.path[0])) {
    row.input = policyInput(leaf);
    row.input.addEventListener("input", () => setData(row.node, "level", row.input.value === row.before ? "" : "half"));
    value.append(row.input);
  } else {
    value.append(row.before || "–");
  }
  row.node = element("div", {}, element("dt", {}, leaf.path.join(".")), value);
  return row;
}

function patchOf(rows) {
  const patch = {};
  for (const { leaf, input, before } of rows) {
    if (input && input.value !== before) putAt(patch, leaf.path, policyValue(input.value, leaf.value));
  }
  return patch;
}

async function sendPatch(name, rows, dry, more) {
  const patch = patchOf(rows);
  if (!Object.keys(patch).length) throw new Error("Nothing is changed.");
  return changeWithToken("PATCH", servicePath(name) + (dry ? "?dry_run=1" : ""), { ...patch, ...more });
}

// What was changed at run time, by whom and why; with a way back to the file.
function makePatched(name, patched, changed) {
  if (!patched || !patched.length) return [];
  const error = element("p", { class: "error", role: "alert" });
  const back = button("Back to the file", { class: "small" }, () => pressed(back, error, async () => {
    await changeWithToken("DELETE", servicePath(name) + "/patch", authored());
    announce("The policy of " + name + " is the file's again");
    changed();
  }));
  const lines = patched.map((one) => element("li", {}, element("code", {}, `${one.key}: ${policyText(one.value)}`), ` since ${clockTime(one.since)}` + (one.author ? ", by " + one.author : "") + (one.reason ? ": " + one.reason : "")));
  return [element("p", { class: "hint" }, "Changed at run time, until the next reload:"), element("ul", { class: "patched" }, ...lines), element("div", {}, back), error];
}

function makePolicyForm(name, rows, list, changed) {
  const why = element("input", { maxlength: "150", autocomplete: "off" });
  const error = element("p", { class: "error", role: "alert" });
  const apply = element("button", { type: "submit", class: "go" }, "Apply until the next reload");
  const more = () => authored({ reason: why.value.trim() });
  const check = button("Check only", {}, () => pressed(check, error, async () => {
    const { changed: changes, warnings } = await sendPatch(name, rows, true, {});
    setText(error, ["It would be taken: " + changes.map((one) => `${one.key} from ${policyText(one.from)} to ${policyText(one.to)}`).join(", ")]
      .concat((warnings || []).map((one) => (typeof one === "string" ? one : one.message || JSON.stringify(one)))).join("\n"));
  }));
  const form = element("form", { novalidate: "" }, list, element("label", {}, "Reason", why), error, element("div", { class: "buttons" }, check, apply));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    pressed(apply, error, async () => {
      await sendPatch(name, rows, false, more());
      announce("The policy of " + name + " is changed");
      changed();
    });
  });
  return form;
}

// The form, or the bare list. `changed` is called when a patch is in force.
function makePolicy({ name, policy, patched }, editable, changed) {
  const rows = leavesOf(policy).map((leaf) => policyRow(leaf, editable));
  const list = element("dl", { class: "policy" }, ...rows.map((row) => row.node));
  return element("details", { class: "part", id: "policy" }, element("summary", {}, editable ? "Policy, and changing it" : "Policy in force"),
    ...makePatched(name, patched, changed), editable ? makePolicyForm(name, rows, list, changed) : list);
}
