// A shadow breaker beside the live one: two settings compared on real traffic. A service
// without one, or a gateway that has none, shows nothing of it.
"use strict";

const FIGURES = [
  ["state", "State", (value) => (value ? stateOf(value).word : "–")],
  ["failure_count", "Failures in the window", String],
  ["calls", "Calls in the window", String],
  ["failure_rate", "Failure rate", percent],
  ["slow_rate", "Slow", percent],
  ["opened", "Opened, times", number],
  ["refused", "Refused, calls", number],
];

async function readShadow(name) {
  try {
    const shadow = await read(servicePath(name) + "/shadow");
    return shadow.enabled ? shadow : null;
  } catch (error) {
    if (error instanceof Refused && (error.status === 404 || error.status === 405)) return null;
    throw error;
  }
}

function shadowVerdict(shadow) {
  const parts = [];
  parts.push(shadow.agrees ? "Both would decide the same now." : "They differ now.");
  if (shadow.would_have_opened !== undefined) parts.push(`The shadow would have opened ${plural(shadow.would_have_opened, "time", "times")}`
    + (shadow.would_have_refused !== undefined ? ` and refused ${plural(shadow.would_have_refused, "call", "calls")} that were let through.` : "."));
  return parts.join(" ");
}

const differing = (one) => (typeof one === "string" ? one : [one.key || one.what || one.name, one.live, one.shadow].filter((part) => part !== undefined).join(" · "));

// Settings that are not the same in both, then what they came to.
function shadowRows(shadow) {
  const rows = [];
  const live = shadow.live || {};
  const other = shadow.shadow || {};
  for (const [key, label, show] of FIGURES) {
    if (live[key] === undefined && other[key] === undefined) continue;
    const text = (figures) => (figures[key] === undefined ? "–" : show(figures[key]));
    rows.push([label, text(live), text(other)]);
  }
  return rows;
}

// A table: what, live, shadow.
function makeShadow(shadow) {
  const rows = shadowRows(shadow).map(([label, live, other]) => element("tr", { "data-level": live === other ? "" : "half" },
    element("th", { scope: "row" }, label), element("td", {}, live), element("td", {}, other)));
  const settings = Object.entries(shadow.breaker || {}).filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${value}`).join(", ");
  const node = element("section", { class: "part", "aria-label": "Comparison with other settings" },
    element("h3", {}, "Comparison"),
    element("p", { class: "hint" }, shadowVerdict(shadow)),
    element("table", { class: "plain" },
      element("thead", {}, element("tr", {}, element("th", { scope: "col" }, ""), element("th", { scope: "col" }, "Live"), element("th", { scope: "col" }, "Shadow"))),
      element("tbody", {}, ...rows)));
  if (settings) node.append(element("p", { class: "hint" }, "The shadow's settings: " + settings));
  const differences = (shadow.differences || []).map(differing).filter(Boolean);
  if (differences.length) node.append(element("ul", { class: "hint" }, ...differences.slice(0, 12).map((text) => element("li", {}, text))));
  return node;
}
