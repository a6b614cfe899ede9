// The table of services: problems first, and found by typing.
"use strict";

const table = { rows: new Map(), order: [], key: "problems", down: false, filter: "", chip: "all", visible: new Set() };

// ---- which, and in which order ------------------------------------------------------------

// How much a service needs somebody, most first.
function urgency(service) {
  const { level } = stateOf(service.breaker.state);
  const condition = judged(service, known.health);
  const base = { bad: 50, half: 40, hand: 30 }[level] || 0;
  const worse = { bad: 50, warn: 20 }[condition.level] || 0;
  const some = service.breaker.endpoints.some((endpoint) => endpoint.state !== "closed") ? 10 : 0;
  const lesser = service.answering && service.answering !== "upstream" ? 3 : 0;
  const value = Math.max(base, worse, some) + lesser;
  return value && service.critical ? value + 5 : value;
}

const KINDS = [
  { value: "all", text: "All", test: () => true },
  { value: "problems", text: "Problems", test: (s) => urgency(s) > 0 },
  { value: "open", text: "Open", test: (s) => s.breaker.state === "open" },
  { value: "half", text: "Half-open", test: (s) => s.breaker.state === "half_open" },
  { value: "hand", text: "By hand", test: (s) => s.breaker.forced },
];

const recent = (service, member) => (service.recent ? service.recent[member] : null);
// Columns; `sort` says by what, the greatest first where `down`.
const COLUMNS = [
  { id: "name", text: "Service", sort: (s) => s.name.toLowerCase() },
  { id: "state", text: "State", sort: (s) => -urgency(s), key: "problems" },
  { id: "failures", text: "Failures", title: "failed attempts of all in the breaker's window", sort: (s) => s.breaker.failure_rate, down: true },
  { id: "success", text: "Last success", title: "when the service last answered well itself", sort: (s) => Date.parse(s.breaker.last_success_at || 0) },
  { id: "calls", text: "Requests", title: "requests a second, and those of the last five minutes; the share answered without a 5xx", sort: (s) => recent(s, "per_second"), down: true },
  { id: "latency", text: "Latency", title: "half, and 95 of a hundred, were faster, in the last half minute; the line: the last five", sort: (s) => recent(s, "p95_ms"), down: true },
  { id: "answers", text: "Answers now", title: "the service itself, a tier of its fallback chain, or nobody", sort: (s) => s.answering || "" },
  { id: "queue", text: "Queue", title: "writes that wait for the service", sort: (s) => (s.queue ? s.queue.entries : -1), down: true },
  { id: "control", text: "Control" },
];

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  return a < b ? -1 : 1;
}

function ordered(services) {
  const column = COLUMNS.find((one) => (one.key || one.id) === table.key);
  const sign = table.down ? -1 : 1;
  return services.map((service, i) => ({ service, i, by: column.sort(service) }))
    .sort((a, b) => (a.by === null || b.by === null ? compare(a.by, b.by) : sign * compare(a.by, b.by)) || a.i - b.i)
    .map(({ service }) => service);
}

function matches(service) {
  if (!KINDS.find((kind) => kind.value === table.chip).test(service)) return false;
  if (!table.filter) return true;
  const words = [service.name, service.breaker.state, stateOf(service.breaker.state).word, judged(service, known.health).word,
    service.answering || "", ...service.breaker.endpoints.map((endpoint) => endpoint.name)].join(" ").toLowerCase();
  return table.filter.split(/\s+/).every((part) => words.includes(part));
}

// ---- heads ----------------------------------------------------------------------------------

function sortBy(column) {
  const key = column.key || column.id;
  table.down = table.key === key ? !table.down : Boolean(column.down);
  table.key = key;
  updateHeads();
  updateServices(true);
}

function makeHeads() {
  byId("service-heads").append(...COLUMNS.map((column) => {
    const head = element("th", { role: "columnheader", scope: "col", class: "c-" + column.id });
    if (column.sort) head.append(button(column.text, { title: column.title }, () => sortBy(column)));
    else head.append(element("span", {}, column.text));
    return head;
  }));
  updateHeads();
}

function updateHeads() {
  COLUMNS.forEach((column, i) => {
    const head = byId("service-heads").children[i];
    if (table.key === (column.key || column.id)) setAttribute(head, "aria-sort", table.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

function updateChips(services) {
  const chips = byId("chips");
  if (!chips.children.length) {
    chooser(chips, KINDS.map(({ value, text }) => ({ value, text })), "all", (value) => {
      table.chip = value;
      updateServices(true);
    });
    for (const chip of chips.children) chip.append(" ", element("b", {}));
  }
  KINDS.forEach((kind, i) => {
    const count = services.filter(kind.test).length;
    setText(chips.children[i].lastElementChild, String(count));
    setData(chips.children[i], "empty", String(!count));
  });
}

// ---- a row ------------------------------------------------------------------------------------

// A cell of two lines: what it is, and a note to it. Both are always there, so that
// nothing moves when one gets something to say.
function cell(id, label, extra) {
  const main = element("span", { class: "main" });
  const note = element("span", { class: "note" });
  const node = element("td", { role: "cell", class: "c-" + id, "data-label": label }, element("span", { class: "lines" }, main, note));
  if (extra) node.append(extra);
  return { node, main, note };
}

function makeRow(service) {
  const { name } = service;
  const row = { name, chart: makeTraffic(26), lines: makeLatency(26), badgeSymbol: symbol("none"), badgeWord: element("span") };
  row.badge = element("span", { class: "badge" }, row.badgeSymbol, row.badgeWord);
  row.link = element("a", { href: serviceAddress(name), class: "service-link" }, name);
  row.tags = element("span", { class: "tags" });
  row.condition = element("span", { class: "note" });
  row.stateNote = element("span", { class: "note" });
  row.failures = cell("failures", "failures");
  row.success = cell("success", "last success");
  row.calls = cell("calls", "requests", row.chart.svg);
  row.latency = cell("latency", "latency", row.lines.svg);
  row.answers = cell("answers", "answers now");
  row.queue = cell("queue", "queue");
  row.node = element("tr", { role: "row" },
    element("th", { role: "rowheader", scope: "row", class: "c-name" }, element("span", { class: "lines" }, element("span", { class: "main" }, row.link, row.tags), row.condition)),
    element("td", { role: "cell", class: "c-state", "data-label": "state" }, element("span", { class: "lines" }, row.badge, row.stateNote)),
    row.failures.node, row.success.node, row.calls.node, row.latency.node, row.answers.node, row.queue.node,
    element("td", { role: "cell", class: "c-control" }, button("Control…", { class: "small", "aria-label": "Control " + name }, () => openCommand(row.breaker === "closed" ? "force-open" : "reset", name))));
  row.node.dataset.name = name;
  inSight.observe(row.node);
  return row;
}

// Pictures are drawn only where they are seen: there may be hundreds.
const inSight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const { name } = entry.target.dataset;
    if (!entry.isIntersecting) table.visible.delete(name);
    else if (!table.visible.has(name)) {
      table.visible.add(name);
      drawRow(table.rows.get(name));
    }
  }
}, { rootMargin: "200px" });

function drawRow(row) {
  if (!row || !known.series) return;
  updateTraffic(row.chart, seriesOf(row.name), pointSeconds());
  updateLatency(row.lines, seriesOf(row.name));
}

function drawRows() {
  for (const name of table.visible) drawRow(table.rows.get(name));
}

function tag(text, title, level) {
  return element("span", { class: "tag", title, "data-level": level }, text);
}

function tagsOf(service, condition) {
  const tags = [];
  if (service.critical) tags.push(tag("critical", "one critical service down makes the whole critical"));
  if (service.protocol === "tcp") tags.push(tag("tcp", "connections are passed on as they are; its latency is that of connecting"));
  if (!condition.essential) tags.push(tag("not essential", "an emergency may switch it off"));
  if (service.shadow && !service.shadow.agrees) tags.push(tag("shadow differs", "the breaker that is compared with this one would decide otherwise now", "half"));
  if (condition.flapping) tags.push(tag("flapping", "it changes often, and is held at its worse condition until it is steady", "warn"));
  if (drillsOf(service.name).length) tags.push(tag("drill", "a drill makes it look ill on purpose", "hand"));
  return tags;
}

function setTags(node, tags) {
  const words = tags.map((one) => one.textContent).join(",");
  if (node.dataset.words === words) return;
  node.dataset.words = words;
  node.replaceChildren(...tags);
}

function updateRow(row, service) {
  const { breaker } = service;
  const state = stateOf(breaker.state);
  const condition = judged(service, known.health);
  const answers = answeredBy(service);
  row.breaker = breaker.state;
  setData(row.node, "level", state.level === "good" && condition.level !== "good" ? condition.level : state.level);
  setData(row.badge, "level", state.level);
  setSymbol(row.badgeSymbol, state.symbol);
  setText(row.badgeWord, state.word);
  setText(row.stateNote, sinceSentence(breaker));
  setAttribute(row.stateNote, "title", changeSentence(breaker.last_change, breaker.endpoints));
  setTags(row.tags, tagsOf(service, condition));
  setText(row.condition, breaker.manual ? manualSentence(breaker.manual) : condition.word + (condition.because ? ": " + causeOf(condition.because) : ""));
  setAttribute(row.condition, "title", row.condition.textContent);
  setData(row.condition, "level", condition.level === "good" ? "" : condition.level);
  setText(row.failures.main, failuresOf(breaker));
  setText(row.failures.note, breaker.calls ? percent(breaker.failure_rate) : "no calls");
  setData(row.failures.node, "level", breaker.failure_count ? (breaker.failure_rate >= 0.5 ? "bad" : "warn") : "");
  setText(row.success.main, breaker.last_success_at ? ago(breaker.last_success_at) : "–");
  setText(row.success.note, breaker.last_failure_at ? "failed " + ago(breaker.last_failure_at) : "never failed");
  updateFigures(row, service);
  setText(row.answers.main, answers.text);
  setText(row.answers.note, answersNote(service));
  setData(row.answers.node, "level", answers.level);
  setText(row.queue.main, service.queue ? number(service.queue.entries) : "–");
  setText(row.queue.note, service.queue && service.queue.oldest_at ? "for " + span(secondsSince(service.queue.oldest_at)) : "");
  setData(row.queue.node, "level", service.queue && service.queue.entries ? "warn" : "");
}

function updateFigures(row, service) {
  const r = service.recent;
  setText(row.calls.main, r ? rate(r.per_second) + "/s" : "–");
  if (service.protocol === "tcp") setText(row.calls.note, number(service.connections_open) + " open");
  else setText(row.calls.note, r && r.success_rate !== null ? percent(r.success_rate) + " ok" : "none");
  setData(row.calls.node, "level", !r || r.success_rate === null || r.success_rate >= 0.99 ? "" : r.success_rate >= 0.9 ? "warn" : "bad");
  setText(row.latency.main, r ? milliseconds(r.p50_ms) : "–");
  setText(row.latency.note, r && r.p95_ms !== null ? "p95 " + milliseconds(r.p95_ms) : "");
}

// Which share of what was asked lately the tier took that answers now.
function answersNote(service) {
  const r = service.recent;
  if (!r || !r.requests) return "";
  const tiers = Object.values(r.tiers || {}).reduce((sum, n) => sum + n, 0);
  if (service.answering === "upstream") return tiers ? percent(tiers / r.requests) + " by fallbacks" : "";
  const mine = (r.tiers || {})[service.answering];
  return mine === undefined ? "" : percent(Math.min(1, mine / r.requests)) + " lately";
}

// ---- all of them ----------------------------------------------------------------------------------

// The order stays while somebody points at a row or is inside one: it would move away
// under him.
function mayMove() {
  const body = byId("service-rows");
  return !body.matches(":hover") && !body.contains(document.activeElement);
}

function orderNow(services, asked) {
  const wanted = ordered(services.filter(matches)).map((service) => service.name);
  if (asked || mayMove()) {
    table.order = wanted;
  } else {
    const stay = table.order.filter((name) => wanted.includes(name));
    table.order = stay.concat(wanted.filter((name) => !stay.includes(name)));
  }
  return table.order;
}

function updateServices(asked = false) {
  const services = known.services;
  const names = orderNow(services, asked);
  updateList(byId("service-rows"), names.map((name) => known.byName.get(name)), (service) => service.name, (service) => {
    const row = table.rows.get(service.name) || makeRow(service);
    table.rows.set(service.name, row);
    return row;
  }, updateRow);
  for (const name of table.rows.keys()) {
    if (known.byName.has(name)) continue;
    inSight.unobserve(table.rows.get(name).node);
    table.rows.delete(name);
    table.visible.delete(name);
  }
  updateChips(services);
  byId("no-services").hidden = services.length > 0;
  byId("none-found").hidden = !services.length || names.length > 0;
}

byId("filter").addEventListener("input", () => {
  table.filter = byId("filter").value.trim().toLowerCase();
  updateServices(true);
});

byId("show-all").addEventListener("click", () => {
  byId("filter").value = table.filter = "";
  byId("chips").firstElementChild.click();
});

makeHeads();
