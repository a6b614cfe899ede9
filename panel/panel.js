// The status page: asks once a second how the services are, and follows the
// events. What the gateway says is only ever put in as text, never as markup.
"use strict";

// ---- small things ------------------------------------------------------------

const byId = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function drawing(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Touches the page only where something is new: a screen reader then reads
// only that, and a selection stays.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, key, value) {
  if (node.dataset[key] !== value) node.dataset[key] = value;
}

function symbol(name) {
  return drawing("svg", { class: "symbol", "aria-hidden": "true" }, drawing("use", { href: "#s-" + name }));
}

function setSymbol(svg, name) {
  const use = svg.firstElementChild;
  if (use.getAttribute("href") !== "#s-" + name) use.setAttribute("href", "#s-" + name);
}

// ---- words and numbers ---------------------------------------------------------

const STATES = {
  closed: { word: "Closed", level: "good", symbol: "good" },
  half_open: { word: "Half-open", level: "half", symbol: "half" },
  open: { word: "Open", level: "bad", symbol: "bad" },
  forced_open: { word: "Forced open", level: "bad", symbol: "hand" },
  forced_closed: { word: "Forced closed", level: "hand", symbol: "hand" },
  disabled: { word: "Disabled", level: "hand", symbol: "hand" },
};
const OVERALL = {
  HEALTHY: { word: "Healthy", level: "good", symbol: "good" },
  DEGRADED: { word: "Degraded", level: "warn", symbol: "warn" },
  CRITICAL: { word: "Critical", level: "bad", symbol: "bad" },
  EMERGENCY: { word: "Emergency", level: "bad", symbol: "bad" },
};
const UNKNOWN = { word: "Unknown", level: "none", symbol: "none" };

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
const causeOf = (word) => CAUSES[word] || word || "";

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
  return ratio === 1 ? "100%" : (Math.floor(ratio * 1000) / 10).toFixed(1) + "%";
}

function bytes(n) {
  return n < 1048576 ? Math.round(n / 1024) + " KiB" : (n / 1048576).toFixed(n < 104857600 ? 1 : 0) + " MiB";
}

// By the gateway's clock, which need not be this computer's.
let clockOffset = 0;
const ago = (time) => span((Date.now() + clockOffset - Date.parse(time)) / 1000) + " ago";

// ---- asking the gateway -----------------------------------------------------------

const TOKEN = "switchgear-token";

function headers(more) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { ...more, Authorization: "Bearer " + token } : more;
}

function request(path, options = {}) {
  return fetch(path, { ...options, headers: headers(options.headers || {}), cache: "no-store", credentials: "omit" });
}

class NeedsToken extends Error {}

// /health answers 503 with all it knows when things are bad.
async function read(path) {
  const answer = await request(path, { headers: { Accept: "application/json" } });
  if (answer.status === 401) throw new NeedsToken((await answer.json()).detail);
  if (!answer.ok && answer.status !== 503) throw new Error(path + ": " + answer.status);
  return answer.json();
}

async function change(path, body) {
  const answer = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const said = await answer.json();
  if (answer.status === 401) throw new NeedsToken(said.detail);
  if (!answer.ok) throw new Error([said.detail, ...(said.errors || [])].join("\n"));
  return said;
}

// ---- the token -----------------------------------------------------------------------

let tokenAsked = null;

// Resolves to whether one was given. Asked once, however many requests want it.
function askToken(why) {
  if (tokenAsked) return tokenAsked;
  const dialog = byId("token-dialog");
  setText(byId("token-why"), why);
  byId("token").value = "";
  dialog.showModal();
  tokenAsked = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      tokenAsked = null;
      resolve(dialog.returnValue === "given");
    }, { once: true });
  });
  return tokenAsked;
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (token) sessionStorage.setItem(TOKEN, token);
  byId("token-dialog").close(token ? "given" : "");
});
byId("token-cancel").addEventListener("click", () => byId("token-dialog").close(""));

// ---- a service's card ------------------------------------------------------------------

const CHART_SECONDS = 60;
const cards = new Map();

function stat(list, label, title) {
  const value = element("dd");
  const box = element("div", { title }, element("dt", {}, label), value);
  list.append(box);
  return { box, value };
}

function fact(list, label) {
  const value = element("dd");
  const name = element("dt", {}, label);
  list.append(name, value);
  return { name, value };
}

function makeChart() {
  const layers = {};
  const svg = drawing("svg", { class: "chart", viewBox: "0 0 " + CHART_SECONDS * 4 + " 34", preserveAspectRatio: "none", role: "img" });
  for (const name of ["upstream", "fallback", "errors"]) {
    layers[name] = drawing("path", { class: name });
    svg.append(layers[name]);
  }
  return { svg, layers };
}

function makeCard(name) {
  const badgeSymbol = symbol("none");
  const badgeWord = element("span");
  const badge = element("span", { class: "badge" }, badgeSymbol, badgeWord);
  const critical = element("span", { class: "tag", title: "one critical service down makes the whole critical" }, "critical");
  const stats = element("dl", { class: "stats" });
  const facts = element("dl", { class: "facts" });
  const endpoints = element("ul", { class: "endpoints", "aria-label": "Endpoints of " + name });
  const chart = makeChart();
  const card = {
    name, badge, badgeSymbol, badgeWord, critical, endpoints, chart, rows: [], history: [], last: null,
    requests: stat(stats, "requests/s", "over the last half minute"),
    success: stat(stats, "success", "answers to clients without a status of 5xx, over the last half minute"),
    p50: stat(stats, "p50", "half of the answers were faster, over the last half minute"),
    p95: stat(stats, "p95", "95 of 100 answers were faster, over the last half minute"),
    failures: stat(stats, "failures", "failed attempts of all in the breaker's window"),
    answering: fact(facts, "Answered by"),
    since: fact(facts, "State"),
    change: fact(facts, "Last change"),
    manual: fact(facts, "By hand"),
  };
  const actions = element("div", { class: "actions" });
  for (const command of Object.keys(COMMANDS)) {
    const button = element("button", { type: "button", "aria-label": COMMANDS[command].button + " " + name }, COMMANDS[command].button + "…");
    button.addEventListener("click", () => openCommand(command, card));
    actions.append(button);
  }
  const legend = element("div", { class: "legend", "aria-hidden": "true" },
    element("span", { class: "upstream" }, "service, cache"), element("span", { class: "fallback" }, "fallback"),
    element("span", { class: "errors" }, "errors"), element("span", { class: "when" }, "last minute"));
  card.node = element("article", { class: "card", "aria-label": name },
    element("div", { class: "title" }, element("h3", {}, name), critical, badge),
    stats, chart.svg, legend, facts, endpoints, actions);
  return card;
}

// Requests of each second: differences of the gateway's counters.
function addToChart(card, service) {
  const fallback = service.tiers.reduce((sum, tier) => sum + tier.answered, 0);
  const now = { total: service.requests.total, fallback, errors: service.requests["5xx"], at: performance.now() };
  const before = card.last;
  card.last = now;
  if (!before || now.total < before.total) return;
  const seconds = Math.max(0.2, (now.at - before.at) / 1000);
  card.history.push({
    total: (now.total - before.total) / seconds,
    fallback: (now.fallback - before.fallback) / seconds,
    errors: (now.errors - before.errors) / seconds,
  });
  if (card.history.length > CHART_SECONDS) card.history.shift();
  drawChart(card);
}

function drawChart(card) {
  const top = Math.max(1, ...card.history.map((h) => h.total));
  const paths = { upstream: "", fallback: "", errors: "" };
  const first = CHART_SECONDS - card.history.length;
  card.history.forEach((h, i) => {
    let base = 34;
    const bar = (name, value) => {
      const height = Math.min(base, (value / top) * 32);
      if (height <= 0) return;
      paths[name] += `M${(first + i) * 4} ${base.toFixed(1)}v${(-height).toFixed(1)}h3.2v${height.toFixed(1)}z`;
      base -= height;
    };
    bar("upstream", Math.max(0, h.total - h.fallback - h.errors));
    bar("fallback", Math.min(h.fallback, h.total));
    bar("errors", Math.min(h.errors, h.total));
  });
  for (const [name, path] of Object.entries(paths)) card.chart.layers[name].setAttribute("d", path);
  card.chart.svg.setAttribute("aria-label", "Requests of the last minute, at most " + rate(top) + " a second");
}

function answeredBy(service) {
  switch (service.answering) {
    case "upstream": return { text: "the service itself" };
    case "nobody": return { text: "nobody: clients get errors", level: "bad" };
    case null: return { text: "nobody has asked since it opened", level: "none" };
    default: return { text: "fallback " + service.answering, level: "warn" };
  }
}

function stateSentence(breaker) {
  const out = breaker.endpoints.filter((endpoint) => stateOf(endpoint.state).level === "bad").length;
  let text = stateOf(breaker.state).word.toLowerCase() + " for " + ago(breaker.since).replace(" ago", "");
  if (out && out < breaker.endpoints.length) text += ", " + out + " of " + breaker.endpoints.length + " endpoints out";
  if (breaker.idle) text += ", due for a try, but there is no traffic";
  else if (breaker.next_probe_in_ms !== null) text += ", next try in " + span(Math.ceil(breaker.next_probe_in_ms / 1000));
  return text;
}

// The history keeps exact numbers; here they are read by people.
function plain(text) {
  return text.replace(", 0 slow", "").replace(/(\d+) ms/, (all, ms) => span(ms / 1000));
}

function changeSentence(change, endpoints) {
  if (!change) return "none since the start";
  const cause = causeOf(change.cause);
  const which = endpoints.length > 1 && change.endpoint ? change.endpoint + " " : "";
  let text = ago(change.time) + ": " + which + stateOf(change.from).word.toLowerCase() + " → " + stateOf(change.to).word.toLowerCase();
  if (cause) text += ", " + cause;
  if (change.text) text += " (" + plain(change.text).replace(/; refusing for .*/, "") + ")";
  return text;
}

function manualSentence(manual) {
  let text = manual.reason || "no reason given";
  if (manual.author) text += " — " + manual.author;
  return text + (manual.until ? ", until " + new Date(manual.until).toLocaleTimeString() : ", until further notice");
}

function healthNote(health) {
  if (!health || health.state === "unknown") return "";
  if (health.state === "good") return "check ok";
  return "check failed" + (health.cause ? ": " + (health.cause === "status" ? health.status : health.cause) : "");
}

// An open breaker's window runs empty: what opened it stands in the last change.
function failuresOf(breaker, word) {
  return breaker.calls ? breaker.failure_count + "/" + breaker.calls + word : "";
}

function updateEndpoints(card, endpoints) {
  while (card.rows.length > endpoints.length) card.rows.pop().node.remove();
  endpoints.forEach((endpoint, i) => {
    let row = card.rows[i];
    if (!row) {
      row = { symbol: symbol("none"), url: element("span", { class: "url" }), note: element("span", { class: "note" }), why: element("span", { class: "why" }) };
      row.node = element("li", {}, row.symbol, row.url, row.note, row.why);
      card.rows.push(row);
      card.endpoints.append(row.node);
    }
    const state = stateOf(endpoint.state);
    setData(row.node, "level", state.level);
    setSymbol(row.symbol, state.symbol);
    setText(row.url, endpoint.name);
    row.why.hidden = !endpoint.manual || card.service.breaker.forced;
    setText(row.why, endpoint.manual ? manualSentence(endpoint.manual) : "");
    setText(row.note, [state.word.toLowerCase(), failuresOf(endpoint, " failed"), healthNote(endpoint.health)].filter(Boolean).join(" · "));
  });
}

function updateStats(card, service) {
  const { recent, breaker } = service;
  setText(card.requests.value, recent ? rate(recent.per_second) : "–");
  setText(card.success.value, recent ? percent(recent.success_rate) : "–");
  setData(card.success.box, "level", !recent || recent.success_rate === null || recent.success_rate >= 0.99 ? "" : recent.success_rate >= 0.9 ? "warn" : "bad");
  setText(card.p50.value, recent ? milliseconds(recent.p50_ms) : "–");
  setText(card.p95.value, recent ? milliseconds(recent.p95_ms) : "–");
  setText(card.failures.value, failuresOf(breaker, "") || "–");
  setData(card.failures.box, "level", breaker.failure_count && breaker.failure_rate >= 0.5 ? "bad" : breaker.failure_count ? "warn" : "");
}

function updateCard(card, service) {
  const { breaker } = service;
  const state = stateOf(breaker.state);
  const answered = answeredBy(service);
  if (card.state && card.state !== breaker.state) announce(card.name + ": " + state.word);
  card.state = breaker.state;
  card.service = service;
  setData(card.node, "level", state.level);
  setData(card.badge, "level", state.level);
  setSymbol(card.badgeSymbol, state.symbol);
  setText(card.badgeWord, state.word);
  card.critical.hidden = !service.critical;
  updateStats(card, service);
  addToChart(card, service);
  setText(card.answering.value, answered.text);
  card.answering.value.className = answered.level ? "strong" : "";
  setData(card.answering.value, "level", answered.level || "");
  setText(card.since.value, stateSentence(breaker));
  setText(card.change.value, changeSentence(breaker.last_change, breaker.endpoints));
  card.manual.name.hidden = card.manual.value.hidden = !breaker.manual;
  if (breaker.manual) setText(card.manual.value, manualSentence(breaker.manual));
  updateEndpoints(card, breaker.endpoints);
}

function updateServices(services) {
  const list = byId("services");
  const names = new Set(services.map((service) => service.name));
  for (const [name, card] of cards) {
    if (!names.has(name)) {
      card.node.remove();
      cards.delete(name);
    }
  }
  services.forEach((service, i) => {
    let card = cards.get(service.name);
    if (!card) {
      card = makeCard(service.name);
      cards.set(service.name, card);
    }
    if (list.children[i] !== card.node) list.insertBefore(card.node, list.children[i] || null);
    updateCard(card, service);
  });
  byId("no-services").hidden = services.length > 0;
}

// ---- the whole ---------------------------------------------------------------------------

function announce(text) {
  setText(byId("announcer"), text);
}

function showOverall(overall, summary) {
  setData(byId("overall"), "level", overall.level);
  byId("overall-symbol").setAttribute("href", "#s-" + overall.symbol);
  setText(byId("overall-word"), overall.word);
  setText(byId("summary"), summary);
  document.title = (overall.level === "good" ? "" : overall.word + " – ") + "Switchgear";
}

function summaryOf({ count, circuit_breakers: breakers, system }) {
  let text = count.working + " of " + count.services + (count.services === 1 ? " service works" : " services work");
  if (breakers.open_breakers.length) text += "; open: " + breakers.open_breakers.join(", ");
  return system.draining ? text + "; draining" : text;
}

const figures = {};

function figure(label, value) {
  if (!figures[label]) {
    figures[label] = element("dd");
    byId("figures").append(element("div", {}, element("dt", {}, label), figures[label]));
  }
  setText(figures[label], value);
}

function updateHealth(health, services) {
  const { system } = health.details;
  clockOffset = Date.parse(health.timestamp) - Date.now();
  showOverall(OVERALL[health.status] || UNKNOWN, summaryOf(health.details));
  figure("requests/s", rate(services.reduce((sum, s) => sum + (s.recent ? s.recent.per_second : 0), 0)));
  figure("in flight", number(system.requests_in_flight));
  figure("connections", number(system.connections));
  figure("memory", bytes(system.resident_bytes));
  figure("up", span(system.uptime_seconds));
  setText(byId("about"), "Switchgear " + system.version + " · process " + system.pid + " · " + system.workers +
    (system.workers === 1 ? " worker" : " workers") + " · configuration " + system.generation +
    (system.reload_errors ? " · " + system.reload_errors + " failed reloads" : ""));
}

function setLink(kind, text) {
  setData(byId("link"), "link", kind);
  setText(byId("link"), text);
}

let wanted = true; // false: the token was asked for, and not given

async function refresh() {
  try {
    const [health, { services }] = await Promise.all([read("/health"), read("/api/v1/services")]);
    updateHealth(health, services);
    updateServices(services);
    updateAges();
    setLink("live", "live");
  } catch (error) {
    if (error instanceof NeedsToken) {
      showOverall(UNKNOWN, "The token is needed to look.");
      setLink("lost", "not allowed");
      wanted = await askToken(error.message);
      if (wanted) followSoon();
    } else {
      showOverall(UNKNOWN, "The gateway does not answer; what is shown below is old.");
      setLink("lost", "no contact");
    }
  }
}

async function poll() {
  if (wanted && !document.hidden) await refresh();
  setTimeout(poll, 1000);
}

// ---- events ----------------------------------------------------------------------------------

const EVENTS_SHOWN = 60;
let lastEvent = null;

function described(event) {
  switch (event.kind) {
    case "state_change":
      return { ...stateOf(event.to), text: stateOf(event.from).word.toLowerCase() + " → " + stateOf(event.to).word.toLowerCase() + (event.cause ? ", " + causeOf(event.cause) : ""), note: [event.endpoint, plain(event.text || "")].filter(Boolean).join(" · ") };
    case "manual":
      return { level: "hand", symbol: "hand", text: event.to + (event.author ? " by " + event.author : "") + (event.text ? ": " + event.text : ""), note: event.endpoint || "" };
    case "outbox":
      return { level: "hand", symbol: "hand", text: "queued write " + (event.to === "drop" ? "dropped" : "retried") + (event.author ? " by " + event.author : ""), note: event.text || "" };
    case "tier_change":
      return event.to === "upstream"
        ? { level: "good", symbol: "good", text: "answers by itself again", note: "before: " + event.from }
        : { level: event.to === "nobody" ? "bad" : "warn", symbol: event.to === "nobody" ? "bad" : "warn", text: event.to === "nobody" ? "nobody answers: clients get errors" : "fallback " + event.to + " answers now", note: "before: " + event.from };
    case "refusals":
      return { level: "warn", symbol: "warn", text: "calls are being refused: " + event.cause.replace(/_/g, " "), note: event.text || "" };
    case "reload":
      return { level: "none", symbol: "none", text: "configuration reloaded" + (event.author ? " by " + event.author : ""), note: event.text ? "needs a restart: " + event.text : "" };
    case "reload_failed":
      return { level: "bad", symbol: "bad", text: "configuration not reloaded: it has errors", note: event.text || "" };
    case "drain":
      return { level: "warn", symbol: "warn", text: "draining" + (event.author ? ", by " + event.author : ""), note: "" };
    case "gap":
      return { level: "none", symbol: "none", text: "some events were missed", note: "" };
    default:
      return { level: "none", symbol: "none", text: event.kind, note: event.text || "" };
  }
}

function addEvent(event) {
  const list = byId("events");
  const said = described(event);
  const text = element("span", { class: "said" }, said.text);
  if (said.note) text.append(element("small", {}, said.note));
  const time = element("time", { datetime: event.time, title: new Date(event.time).toLocaleString() }, ago(event.time));
  list.prepend(element("li", { "data-level": said.level }, time, symbol(said.symbol), element("span", { class: "who" }, event.service || "gateway"), text));
  while (list.children.length > EVENTS_SHOWN) list.lastElementChild.remove();
  byId("no-events").hidden = true;
}

function updateAges() {
  for (const time of byId("events").querySelectorAll("time")) setText(time, ago(time.dateTime));
}

function take(block) {
  let data = "", kind = "message";
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) data += line.slice(6);
    else if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("id: ")) lastEvent = line.slice(4);
  }
  if (!data) return;
  const event = JSON.parse(data);
  addEvent(kind === "gap" ? { kind, time: new Date(Date.now() + clockOffset).toISOString() } : event);
}

// Not EventSource, which cannot send a token.
async function follow() {
  if (lastEvent === null) {
    const { events, last } = await read("/api/v1/events?limit=" + EVENTS_SHOWN);
    events.forEach(addEvent);
    lastEvent = String(last);
  }
  const answer = await request("/api/v1/events", { headers: { Accept: "text/event-stream", "Last-Event-ID": lastEvent } });
  if (!answer.ok) throw new Error("events: " + answer.status);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(take);
  }
}

let following = false;

async function followSoon() {
  if (following) return;
  following = true;
  try {
    await follow();
  } catch (error) {
    // refresh() tells the reader; here it is only tried again.
  }
  following = false;
  setTimeout(() => wanted && followSoon(), 2000);
}

// ---- commands ---------------------------------------------------------------------------------

const COMMANDS = {
  "force-open": { button: "Open", go: "Open it", what: "All calls are refused, or answered by the fallback, until the time is over. Without a time: until somebody resets it.", duration: "optional" },
  "force-close": { button: "Close", go: "Close it", what: "All calls pass, however many fail. This takes protection away.", duration: "needed" },
  disable: { button: "Disable", go: "Disable it", what: "All calls pass and nothing is counted. This takes protection away.", duration: "needed" },
  reset: { button: "Reset", go: "Reset it", what: "Ends manual control, forgets what was counted, and closes." },
};
let running = null;

function openCommand(command, card) {
  const { button, go, what, duration } = COMMANDS[command];
  const endpoints = card.service.breaker.endpoints;
  running = { command, name: card.name };
  setText(byId("command-title"), button + " " + card.name);
  setText(byId("command-what"), what);
  setText(byId("command-go"), go);
  setText(byId("command-error"), "");
  setText(byId("duration-hint"), duration === "needed" ? "Needed, such as 10m or 1h; at most 7d." : "Such as 10m or 1h; empty: until further notice.");
  byId("duration-row").hidden = !duration;
  byId("duration").value = duration ? "10m" : "";
  byId("reason").value = "";
  byId("author").value = sessionStorage.getItem("switchgear-author") || "";
  byId("endpoint-row").hidden = endpoints.length < 2;
  byId("endpoint").replaceChildren(element("option", { value: "" }, "all " + endpoints.length),
    ...endpoints.map((endpoint) => element("option", { value: endpoint.name }, endpoint.name)));
  byId("command").showModal();
  byId("reason").focus();
}

function commandBody() {
  const body = {};
  for (const [key, id] of [["for", "duration"], ["reason", "reason"], ["author", "author"], ["endpoint", "endpoint"]]) {
    const value = byId(id).value.trim();
    if (value) body[key] = value;
  }
  if (body.author) sessionStorage.setItem("switchgear-author", body.author);
  return body;
}

// Once more after the token was asked for, if it was given.
async function changeWithToken(path, body) {
  try {
    return await change(path, body);
  } catch (error) {
    if (!(error instanceof NeedsToken) || !(await askToken(error.message))) throw error;
    return change(path, body);
  }
}

byId("command-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("command-go").disabled = true;
  try {
    await changeWithToken("/api/v1/circuit-breakers/" + encodeURIComponent(running.name) + "/" + running.command, commandBody());
    byId("command").close();
    refresh();
  } catch (error) {
    setText(byId("command-error"), error.message);
  }
  byId("command-go").disabled = false;
});
byId("command-cancel").addEventListener("click", () => byId("command").close());

async function runTool(button, path, done) {
  button.disabled = true;
  try {
    announce(done(await changeWithToken(path, { author: sessionStorage.getItem("switchgear-author") || "status page" })));
    refresh();
  } catch (error) {
    window.alert(error.message);
  }
  button.disabled = false;
}

byId("recover").addEventListener("click", (event) => runTool(event.currentTarget, "/api/v1/resilience/force-recovery",
  ({ probed }) => (probed.length ? "Trying now: " + probed.join(", ") : "None is open")));
byId("reload").addEventListener("click", (event) => runTool(event.currentTarget, "/api/v1/config/reload",
  ({ generation }) => "Configuration " + generation + " is in force"));

document.addEventListener("visibilitychange", () => document.hidden || (wanted && refresh()));
poll();
followSoon();
