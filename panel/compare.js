// A shadow breaker beside the live one: two settings compared on real traffic. A gateway
// that has no shadows shows nothing of it.
"use strict";

// What the two came to, for the table.
const FIGURES = [
  ["State", (side) => stateOf(side.state).word],
  ["Opened", (side) => plural(side.opened, "time", "times")],
  ["Not closed", (side) => span(side.not_closed_ms / 1000)],
  ["Refused", (side) => plural(side.refused, "call", "calls")],
  ["Failures in the window", (side) => `${side.failure_count}/${side.calls}`],
  ["In a row", (side) => String(side.consecutive)],
];

async function readShadow(name) {
  try {
    return await read(servicePath(name) + "/shadow");
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}

function shadowVerdict(shadow) {
  const refused = plural(shadow.would_have_refused, "call", "calls");
  const admitted = shadow.would_have_admitted ? `, and let through ${number(shadow.would_have_admitted)} that were refused` : "";
  return (shadow.agrees ? "Both decide the same now. " : "They differ now. ")
    + `Since ${clockTime(shadow.begun_at)} the shadow would have opened ${plural(shadow.would_have_opened, "time", "times")}, refused ${refused} that went through${admitted}.`;
}

// Settings that are not the same, then what they came to: [{label, live, shadow}].
function shadowRows(shadow) {
  const settings = (shadow.differences || []).map((one) => ({ label: one.key, live: policyText(one.live) || "–", shadow: policyText(one.shadow) || "–", setting: true }));
  const figures = FIGURES.map(([label, show]) => ({ label, live: show(shadow.live), shadow: show(shadow.shadow) }));
  return settings.concat(figures);
}

function makeShadowRow({ label, setting }) {
  const live = element("td");
  const other = element("td");
  return { live, other, node: element("tr", {}, element("th", { scope: "row" }, setting ? element("code", {}, label) : label), live, other) };
}

function updateShadowRow(row, { live, shadow }) {
  setData(row.node, "level", live === shadow ? "" : "half");
  setText(row.live, live);
  setText(row.other, shadow);
}

const authored = (more = {}) => filled({ author: kept.get("author", sessionStorage) || "", ...more });

function makeShadowTable(name, changed) {
  const verdict = element("p", { class: "hint" });
  const body = element("tbody");
  const error = element("p", { class: "error", role: "alert" });
  const end = button("End the comparison", { class: "small" }, () => pressed(end, error, async () => {
    await changeWithToken("DELETE", servicePath(name) + "/shadow", authored());
    changed();
  }));
  const node = part("Comparison", verdict, element("table", { class: "plain" },
    element("thead", {}, element("tr", {}, element("td"), element("th", { scope: "col" }, "Live"), element("th", { scope: "col" }, "Shadow"))), body),
  element("div", {}, end), error);
  const update = (shadow) => {
    setText(verdict, shadowVerdict(shadow));
    updateList(body, shadowRows(shadow), (row) => row.label, makeShadowRow, updateShadowRow);
  };
  return { node, update };
}

// The live breaker's settings, to be changed into those of a shadow.
function makeShadowForm(name, changed) {
  const breaker = element("dl", { class: "policy" });
  const error = element("p", { class: "error", role: "alert" });
  const why = element("input", { maxlength: "150", autocomplete: "off" });
  const go = element("button", { type: "submit", class: "go" }, "Compare");
  const form = element("form", { novalidate: "" }, element("p", { class: "hint" }, "A breaker with other settings runs beside this one and decides nothing. What it would have done is counted."), breaker,
    element("label", {}, "Reason", why), error, element("div", { class: "buttons" }, go));
  let rows = [];
  const details = element("details", { class: "part" }, element("summary", {}, "Compare with other settings"), form);
  details.addEventListener("toggle", async () => {
    if (!details.open || rows.length) return;
    const { service } = await readService(name);
    rows = leavesOf(service.policy.breaker || {}).map((leaf) => policyRow(leaf, true));
    breaker.append(...rows.map((row) => row.node));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    pressed(go, error, async () => {
      const settings = patchOf(rows);
      if (!Object.keys(settings).length) throw new Error("Nothing is different.");
      await changeWithToken("PUT", servicePath(name) + "/shadow", { breaker: settings, ...authored({ reason: why.value.trim() }) });
      changed();
    });
  });
  return { node: details, update: () => {} };
}

// What is shown of a service's shadow, made anew only when it comes or goes.
function showShadow(place, name, shadow, changed) {
  const kind = !shadow ? "none" : shadow.enabled ? "table" : "form";
  if (place.kind !== kind) {
    place.kind = kind;
    place.made = kind === "table" ? makeShadowTable(name, changed) : kind === "form" ? makeShadowForm(name, changed) : null;
    place.node.replaceChildren(...(place.made ? [place.made.node] : []));
  }
  if (place.made) place.made.update(shadow);
}
