// States, numbers and times in words.
"use strict";

const STATES = {
  closed: { word: "Closed", level: "good", symbol: "good", bar: "closed" },
  half_open: { word: "Half-open", level: "half", symbol: "half", bar: "half" },
  open: { word: "Open", level: "bad", symbol: "bad", bar: "open" },
  forced_open: { word: "Forced open", level: "hand", symbol: "hand", bar: "hand" },
  forced_closed: { word: "Forced closed", level: "hand", symbol: "hand", bar: "hand" },
  disabled: { word: "Disabled", level: "hand", symbol: "hand", bar: "hand" },
};
const OVERALL = {
  HEALTHY: { word: "Healthy", level: "good", symbol: "good" },
  DEGRADED: { word: "Degraded", level: "warn", symbol: "warn" },
  CRITICAL: { word: "Critical", level: "bad", symbol: "bad" },
  EMERGENCY: { word: "Emergency", level: "bad", symbol: "bad" },
};
const CONDITIONS = {
  working: { word: "working", level: "good", symbol: "good" },
  impaired: { word: "impaired", level: "warn", symbol: "warn" },
  down: { word: "down", level: "bad", symbol: "bad" },
};
const UNKNOWN = { word: "Unknown", level: "none", symbol: "none", bar: "none" };

const CAUSES = {
  consecutive: "failures in a row",
  failures: "too many failures",
  failure_rate: "failure rate",
  slow_rate: "too many slow calls",
  probe_failed: "the try failed",
  probe_lease: "the try was never answered",
  probe_due: "time to try again",
  probes_succeeded: "the tries succeeded",
  manual: "by hand",
  expired: "the manual command expired",
  reset: "reset",
};

const stateOf = (name) => STATES[name] || { ...UNKNOWN, word: name };
const overallOf = (name) => OVERALL[name] || { ...UNKNOWN, word: name };
const conditionOf = (name) => CONDITIONS[name] || { ...UNKNOWN, word: name };
const causeOf = (word) => CAUSES[word] || (word || "").replace(/_/g, " ");

// ---- numbers -------------------------------------------------------------------

function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return ms.toFixed(2) + " ms";
  if (ms < 10) return ms.toFixed(1) + " ms";
  if (ms < 1000) return Math.round(ms) + " ms";
  return (ms / 1000).toFixed(ms < 10000 ? 1 : 0) + " s";
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return s + " s";
  if (s < 6000) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

function number(n) {
  if (n < 10000) return String(n);
  if (n < 1e6) return (n / 1e3).toFixed(1) + " k";
  return (n / 1e6).toFixed(1) + " M";
}

function rate(n) {
  return n >= 100 ? number(Math.round(n)) : n >= 10 ? n.toFixed(0) : n > 0 ? n.toFixed(1) : "0";
}

function percent(ratio) {
  if (ratio === null || ratio === undefined) return "–";
  // Never rounded up to perfection: 99.96 is not 100.
  return ratio === 1 ? "100%" : ratio === 0 ? "0%" : (Math.floor(ratio * 1000) / 10).toFixed(1) + "%";
}

function bytes(n) {
  if (n < 1024) return n + " B";
  if (n >= 1073741824) return (n / 1073741824).toFixed(1) + " GiB";
  return n < 1048576 ? Math.round(n / 1024) + " KiB" : (n / 1048576).toFixed(n < 104857600 ? 1 : 0) + " MiB";
}

const plural = (n, one, many) => n + " " + (n === 1 ? one : many);

// ---- times ---------------------------------------------------------------------

// By the gateway's clock, which need not be this computer's.
let clockOffset = 0;
const serverNow = () => Date.now() + clockOffset;
const secondsSince = (time) => (serverNow() - Date.parse(time)) / 1000;

// What has just happened may be ahead by the time an answer took.
function ago(time) {
  const seconds = secondsSince(time);
  return seconds < 1 ? "now" : span(seconds) + " ago";
}

// As this computer's clock shows it.
const CLOCK = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });
const clockTime = (time) => CLOCK.format(Date.parse(time) - clockOffset);
const dateTime = (time) => new Date(Date.parse(time) - clockOffset).toLocaleString();

// ---- sentences -------------------------------------------------------------------

function answeredBy(service) {
  switch (service.answering) {
    case "upstream": return { text: "itself", long: "the service itself", level: "" };
    case "nobody": return { text: "nobody", long: "nobody: clients get errors", level: "bad" };
    case null: case undefined: return { text: "nobody asked", long: "nobody has asked since it opened", level: "none" };
    default: return { text: service.answering, long: "fallback " + service.answering, level: "warn" };
  }
}

const outOf = (breaker) => breaker.endpoints.filter((endpoint) => endpoint.state === "open" || endpoint.state === "forced_open").length;

function sinceSentence(breaker) {
  const out = outOf(breaker);
  if (out && out < breaker.endpoints.length) return out + " of " + breaker.endpoints.length + " endpoints out";
  let text = "for " + span(secondsSince(breaker.since));
  if (breaker.manual && breaker.manual.until) text += ", until " + clockTime(breaker.manual.until);
  else if (breaker.idle) text += ", due for a try";
  else if (breaker.next_probe_in_ms !== null) text += ", next try in " + span(Math.ceil(breaker.next_probe_in_ms / 1000));
  return text;
}

// The history keeps exact numbers; here they are read by people.
function plain(text) {
  return text.replace(", 0 slow", "").replace(/(\d+) ms/, (all, ms) => span(ms / 1000));
}

function changeSentence(change, endpoints) {
  if (!change) return "none since the start";
  const which = endpoints.length > 1 && change.endpoint ? change.endpoint + " " : "";
  let text = ago(change.time) + ": " + which + stateOf(change.from).word.toLowerCase() + " → " + stateOf(change.to).word.toLowerCase();
  if (change.cause) text += ", " + causeOf(change.cause);
  if (change.text) text += " (" + plain(change.text).replace(/; refusing for .*/, "") + ")";
  return text;
}

function manualSentence(manual) {
  let text = manual.reason || "no reason given";
  if (manual.author) text += " — " + manual.author;
  return text + (manual.until ? ", until " + clockTime(manual.until) : ", until further notice");
}

function healthNote(health) {
  if (!health || health.state === "unknown") return "";
  if (health.state === "good") return "check ok";
  return "check failed" + (health.cause ? ": " + (health.cause === "status" ? health.status : health.cause) : "");
}

// An open breaker's window runs empty: what opened it stands in the last change.
const failuresOf = (breaker) => (breaker.calls ? breaker.failure_count + "/" + breaker.calls : "–");

// A service's condition: as the resilience manager judges it, or, of a gateway that has
// none, whether it works.
function judged(service, details) {
  const said = (details && details.services && details.services[service.name]) || service;
  const word = said.condition || service.condition || (service.working ? "working" : "down");
  const because = said.because || service.because;
  return { ...conditionOf(word), because: Array.isArray(because) ? because.join(", ") : because || "", flapping: Boolean(said.flapping), essential: said.essential !== false };
}

// [{name, soft}]: what a service needs, and what it can do without.
const dependenciesOf = (service) => (service.dependencies || []).map(({ service: name, soft }) => ({ name, soft }));

// ---- events ------------------------------------------------------------------------

const lower = (state) => stateOf(state).word.toLowerCase();
const by = (event) => (event.author ? " by " + event.author : "");

// Which of a service's endpoints, where it has several.
function endpointOf(event) {
  const service = known.byName.get(event.service);
  return service && service.breaker.endpoints.length < 2 ? "" : event.endpoint;
}

const POLICY_WORDS = { undone: "policy as in the file again", reloaded: "the reload ended what was changed at run time" };

// What a kind of event says: level and symbol to show it by, a text, and a note.
const EVENT_WORDS = {
  state_change: (e) => ({ ...stateOf(e.to), text: lower(e.from) + " → " + lower(e.to) + (e.cause ? ", " + causeOf(e.cause) : ""), note: [endpointOf(e), plain(e.text || "")].filter(Boolean).join(" · ") }),
  manual: (e) => ({ level: "hand", symbol: "hand", text: (e.to || "").replace(/-/g, " ") + by(e) + (e.text ? ": " + e.text : ""), note: e.endpoint }),
  outbox: (e) => ({ level: "hand", symbol: "hand", text: "queued write " + (e.to === "drop" ? "dropped" : "retried") + by(e), note: e.text }),
  tier_change: (e) => (e.to === "upstream"
    ? { level: "good", symbol: "good", text: "answers by itself again", note: "before: " + e.from }
    : e.to === "nobody"
      ? { level: "bad", symbol: "bad", text: "nobody answers: clients get errors", note: "before: " + e.from }
      : { level: "warn", symbol: "warn", text: "fallback " + e.to + " answers now", note: "before: " + e.from }),
  refusals: (e) => ({ level: "warn", symbol: "warn", text: "calls are being refused: " + causeOf(e.cause), note: e.text }),
  reload: (e) => ({ level: "none", symbol: "note", text: "configuration reloaded" + by(e), note: e.text ? "needs a restart: " + e.text : "" }),
  reload_failed: (e) => ({ level: "bad", symbol: "bad", text: "configuration not reloaded: it has errors", note: e.text }),
  drain: (e) => ({ level: "warn", symbol: "warn", text: "draining" + (e.author ? ", by " + e.author : ""), note: "" }),
  overall: (e) => ({ ...overallOf(e.to), text: overallOf(e.from).word.toLowerCase() + " → " + overallOf(e.to).word.toLowerCase(), note: e.text || causeOf(e.cause) }),
  condition: (e) => ({ ...conditionOf(e.to), text: conditionOf(e.from).word + " → " + conditionOf(e.to).word + (e.cause ? ", " + causeOf(e.cause) : ""), note: e.text }),
  emergency: (e) => (e.to === "off"
    ? { level: "good", symbol: "good", text: "the emergency is over", note: e.text }
    : { level: "bad", symbol: "bad", text: "emergency", note: e.text }),
  drill: (e) => ({ level: "hand", symbol: "drill", text: "drill " + [causeOf(e.to), causeOf(e.cause)].filter(Boolean).join(", ") + by(e), note: [e.endpoint, e.text].filter(Boolean).join(" · ") }),
  policy: (e) => ({ level: "none", symbol: "note", text: (POLICY_WORDS[e.to] || "policy changed") + by(e), note: e.text }),
  shadow: (e) => ({ level: "none", symbol: "note", text: "the shadow breaker: " + (e.from ? lower(e.from) + " → " : "") + lower(e.to || "changed"), note: [endpointOf(e), e.text || causeOf(e.cause)].filter(Boolean).join(" · ") }),
  upgrade: (e) => ({ level: "none", symbol: "note", text: "upgrade" + (e.to ? ": " + e.to : "") + by(e), note: e.text }),
  gap: () => ({ level: "none", symbol: "note", text: "some events were missed", note: "" }),
};

function described(event) {
  const words = EVENT_WORDS[event.kind];
  return words ? words(event) : { level: "none", symbol: "note", text: event.kind, note: event.text };
}
