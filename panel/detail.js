// One service, in a drawer at the side; its address is #service/NAME.
"use strict";

const detail = { name: null, parts: null };

const nameInHash = () => (location.hash.startsWith("#service/") ? decodeURIComponent(location.hash.slice(9)) : null);

// ---- opening and closing ---------------------------------------------------------------

function openDetail(name) {
  location.href = serviceAddress(name);
}

function followHash() {
  let name = null;
  try {
    name = nameInHash();
  } catch (error) {
    return; // not an address of ours
  }
  const dialog = byId("detail");
  if (!name || !known.byName.has(name)) {
    if (!name && dialog.open) dialog.close();
    return;
  }
  if (dialog.open && detail.name === name) return;
  buildDetail(name);
  if (!dialog.open) dialog.showModal();
  byId("detail-body").scrollTop = 0;
}

byId("detail").addEventListener("close", () => {
  detail.name = null;
  detail.parts = null;
  if (location.hash.startsWith("#service/")) history.replaceState(null, "", location.pathname + location.search);
  const row = table.rows.get(byId("detail").dataset.name);
  if (row) row.link.focus({ preventScroll: true });
});
byId("detail-close").addEventListener("click", () => byId("detail").close());
addEventListener("hashchange", followHash);

// ---- building ----------------------------------------------------------------------------

function part(title, ...children) {
  const node = element("section", { class: "part", "aria-label": title }, element("h3", {}, title), ...children);
  return node;
}

function chartPart(title, chart) {
  const note = element("p", { class: "chart-note" });
  return { note, node: element("div", { class: "big-chart" }, element("div", { class: "chart-head" }, element("h3", {}, title), note), chart.svg, element("p", { class: "chart-axis", "aria-hidden": "true" }, element("span", {}, "5 min ago"), element("span", {}, "now"))) };
}

function commandButtons(name) {
  return element("div", { class: "actions" }, ...Object.entries(VERBS).map(([verb, { button: text }]) => button(text + "…", { "aria-label": text + " " + name }, () => openCommand(verb, name))));
}

function buildDetail(name) {
  const p = { facts: new Map() };
  detail.name = name;
  detail.parts = p;
  byId("detail").dataset.name = name;
  setText(byId("detail-title"), name);
  p.badgeSymbol = symbol("none");
  p.badgeWord = element("span");
  p.badge = element("span", { class: "badge" }, p.badgeSymbol, p.badgeWord);
  p.sentence = element("p", { class: "sentence" });
  p.manual = element("p", { class: "by-hand", "data-level": "hand" });
  p.actions = commandButtons(name);
  p.actions.append(p.drill = button("Drill…", { "aria-label": "Drill " + name }, () => openDrill(name)));
  p.traffic = makeTraffic(64);
  p.latency = makeLatency(64);
  p.trafficPart = chartPart("Requests", p.traffic);
  p.latencyPart = chartPart("Latency", p.latency);
  p.figures = element("dl", { class: "facts" });
  p.endpoints = element("ul", { class: "endpoints" });
  p.tiers = element("ul", { class: "tiers" });
  p.needs = element("p", { class: "links" });
  p.tiersPart = part("Fallback chain", p.tiers);
  p.needsPart = part("Dependencies", p.needs);
  p.shadow = { node: element("div") };
  p.policy = element("div");
  p.events = element("ol", { class: "events" });
  p.eventsPart = part("Last events", p.events);
  byId("detail-body").replaceChildren(
    element("div", { class: "state-line" }, p.badge, p.sentence), p.manual, p.actions,
    p.trafficPart.node, p.latencyPart.node, part("Figures", p.figures), part("Endpoints", p.endpoints),
    p.tiersPart, p.needsPart, p.shadow.node, p.eventsPart, p.policy);
  updateDetail();
  quietly(readPolicy(name));
  quietly(readComparison(name));
}

// The policy is read when the drawer opens and when it was changed: not while it is typed in.
async function readPolicy(name) {
  const { service, editable } = await readService(name);
  if (detail.name !== name || !service.policy) return;
  const wasOpen = Boolean(detail.parts.policy.querySelector("details[open]"));
  const made = makePolicy(service, editable, () => quietly(readPolicy(name)));
  made.open = wasOpen;
  detail.parts.policy.replaceChildren(made);
}

async function readComparison(name) {
  const shadow = await readShadow(name);
  if (detail.name !== name) return;
  showShadow(detail.parts.shadow, name, shadow, () => quietly(readComparison(name)));
}

// ---- updating -------------------------------------------------------------------------------

function figureOf(label, value, title) {
  const { facts, figures: list } = detail.parts;
  if (!facts.has(label)) facts.set(label, fact(list, label, title));
  const row = facts.get(label);
  row.box.hidden = value === null;
  if (value !== null) setText(row.value, value);
}

const reasons = (counts) => Object.entries(counts || {}).map(([why, n]) => `${causeOf(why)} ${number(n)}`).join(", ") || null;

function updateFacts(service) {
  const { breaker } = service;
  const { bulkhead } = breaker;
  figureOf("Failures", failuresOf(breaker) + (breaker.calls ? ", " + percent(breaker.failure_rate) : ""), "failed attempts of all in the breaker's window");
  figureOf("In a row", String(breaker.consecutive));
  figureOf("Slow", breaker.slow_rate === null ? null : percent(breaker.slow_rate));
  figureOf("Last success", breaker.last_success_at ? ago(breaker.last_success_at) : "never");
  figureOf("Last failure", breaker.last_failure_at ? ago(breaker.last_failure_at) : "never");
  figureOf("Last change", changeSentence(breaker.last_change, breaker.endpoints));
  figureOf("Requests", number(service.requests.total) + ", of them " + number(service.requests["5xx"]) + " answered with 5xx");
  figureOf("Attempts", number(breaker.totals.calls) + ", " + number(breaker.retries) + " of them retries");
  figureOf("Refused", reasons(breaker.rejections));
  figureOf("Retries not made", reasons(breaker.retries_skipped));
  figureOf("In flight", bulkhead.in_use + (bulkhead.limit === null ? "" : " of " + bulkhead.limit) + (bulkhead.waiting ? ", " + bulkhead.waiting + " wait" : ""));
  figureOf("Queue", service.queue ? plural(service.queue.entries, "write waits", "writes wait") + (service.queue.oldest_at ? ", the oldest for " + span(secondsSince(service.queue.oldest_at)) : "") : null);
}

function makeEndpoint(endpoint) {
  const row = { symbol: symbol("none"), url: element("span", { class: "url" }), note: element("span", { class: "note" }), why: element("span", { class: "why" }) };
  row.control = button("Control…", { class: "small", "aria-label": "Control " + endpoint.name }, () => openCommand("force-open", detail.name, endpoint.name));
  row.node = element("li", {}, row.symbol, row.url, row.note, row.control, row.why);
  return row;
}

function updateEndpoint(row, endpoint, alone) {
  const state = stateOf(endpoint.state);
  setData(row.node, "level", state.level);
  setSymbol(row.symbol, state.symbol);
  setText(row.url, endpoint.name);
  const failed = endpoint.calls ? endpoint.failure_count + "/" + endpoint.calls + " failed" : "";
  const busy = endpoint.in_flight ? endpoint.in_flight + " in flight" : "";
  setText(row.note, [state.word.toLowerCase(), failed, busy, healthNote(endpoint.health)].filter(Boolean).join(" · "));
  row.control.hidden = alone;
  row.why.hidden = !endpoint.manual;
  setText(row.why, endpoint.manual ? manualSentence(endpoint.manual) : "");
}

function makeTier() {
  const row = { name: element("span", { class: "who" }), share: element("meter", { min: "0", max: "1", "aria-label": "share of the requests of the last half minute" }), text: element("span", { class: "said" }) };
  row.node = element("li", {}, row.name, row.share, row.text);
  return row;
}

function updateTier(row, tier, service) {
  const r = service.recent;
  const lately = (r && r.tiers && r.tiers[tier.name]) || 0;
  const share = r && r.requests ? Math.min(1, lately / r.requests) : 0;
  setText(row.name, tier.name);
  if (row.share.value !== share) row.share.value = share;
  setText(row.share, percent(share));
  setData(row.node, "level", service.answering === tier.name ? "warn" : "");
  setText(row.text, (share ? percent(share) + " of the last half minute · " : "") + `${number(tier.answered)} answered of ${number(tier.tried)} asked` + (service.answering === tier.name ? " · answers now" : ""));
}

function updateNeeds(service) {
  const p = detail.parts;
  const needs = dependenciesOf(service).map((need) => ({ ...need, word: need.soft ? "can do without" : "needs" }));
  const needed = known.services.filter((other) => dependenciesOf(other).some((need) => need.name === service.name)).map(({ name }) => ({ name, word: "needed by" }));
  const all = [...needs, ...needed];
  p.needsPart.hidden = !all.length;
  updateList(p.needs, all, (one) => one.word + one.name, (one) => {
    const row = { symbol: symbol("none"), text: element("span") };
    row.node = element("a", { class: "need", href: serviceAddress(one.name) }, row.symbol, row.text);
    return row;
  }, (row, one) => {
    if (!known.byName.has(one.name)) return;
    const look = looks(one.name);
    setData(row.node, "level", look.level);
    setSymbol(row.symbol, look.symbol);
    setText(row.text, `${one.word} ${one.name}: ${look.word}`);
  });
}

function updateCharts(service) {
  const p = detail.parts;
  const peak = updateTraffic(p.traffic, seriesOf(service.name), pointSeconds());
  const slowest = updateLatency(p.latency, seriesOf(service.name));
  const r = service.recent;
  setText(p.trafficPart.note, r ? `${rate(r.per_second)}/s now, ${percent(r.success_rate)} ok; at most ${rate(peak)}/s` : "");
  setText(p.latencyPart.note, r && r.p50_ms !== null ? `p50 ${milliseconds(r.p50_ms)}, p95 ${milliseconds(r.p95_ms)}, p99 ${milliseconds(r.p99_ms)} now; p95 at most ${milliseconds(slowest)}` : "no requests");
}

function updateDetail() {
  const p = detail.parts;
  const service = known.byName.get(detail.name);
  if (!p || !service) return;
  const { breaker } = service;
  const state = stateOf(breaker.state);
  const condition = judged(service, known.health);
  setData(byId("detail"), "level", state.level);
  setAttribute(byId("detail-symbol"), "href", "#s-" + state.symbol);
  setTags(byId("detail-tags"), tagsOf(service, condition));
  setData(p.badge, "level", state.level);
  setSymbol(p.badgeSymbol, state.symbol);
  setText(p.badgeWord, state.word);
  setText(p.sentence, `${sinceSentence(breaker)}. It is ${condition.word}${condition.because ? " (" + causeOf(condition.because) + ")" : ""}; answers now: ${answeredBy(service).long}.`);
  p.manual.hidden = !breaker.manual;
  if (breaker.manual) setText(p.manual, "By hand: " + manualSentence(breaker.manual));
  p.drill.hidden = !drill.able;
  updateCharts(service);
  updateFacts(service);
  updateList(p.endpoints, breaker.endpoints, (endpoint) => endpoint.name, makeEndpoint, (row, endpoint) => updateEndpoint(row, endpoint, breaker.endpoints.length < 2));
  p.tiersPart.hidden = !service.tiers.length;
  updateList(p.tiers, service.tiers, (tier) => tier.name, makeTier, (row, tier) => updateTier(row, tier, service));
  updateNeeds(service);
  const events = foldedEvents(known.events.filter((event) => event.service === service.name), 12);
  p.eventsPart.hidden = !events.length;
  updateList(p.events, events, eventKey, makeEvent, updateEvent);
}
