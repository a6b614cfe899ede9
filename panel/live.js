// Keeps the page true: follows the events, asks for the figures, and says when it cannot.
//
// Events come over one connection that stays (server-sent events, with Last-Event-ID where
// it was broken). What changes all the time, such as rates, is asked for every two
// seconds, less often where that is much; so is everything as long as the events do not
// come.
"use strict";

const EVENTS_AT_FIRST = 500;
const SILENCE = 45000; // a heartbeat comes every 15 s
const ASK_EVERY = 2000;
const WAIT_MOST = 15000;

const live = {
  wanted: true, // false: the token was asked for, and not given
  failures: 0, since: null, retryAt: 0, timer: 0, asking: false, again: false, lastAsked: 0, took: 0,
  streaming: false, streamFailures: 0, pid: 0, uptime: 0, states: new Map(), overall: null,
};

// ---- the connection, in words ---------------------------------------------------------------

function setLink(kind, text) {
  setData(byId("link"), "link", kind);
  setText(byId("link"), text);
  setData(document.body, "link", kind);
}

function showLink() {
  byId("try-now").hidden = live.failures === 0 && live.wanted;
  if (!live.wanted) setLink("lost", "not allowed");
  else if (live.failures) setLink("lost", `no contact since ${live.since}, next try in ${span(Math.max(0, live.retryAt - Date.now()) / 1000)}`);
  else if (live.streaming) setLink("live", "live");
  else setLink("slow", "by asking");
}

let toastTimer = 0;

// A sentence at the bottom, for a while.
function tell(text) {
  setText(byId("toast"), text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => setText(byId("toast"), ""), 8000);
}

// ---- the whole ---------------------------------------------------------------------------------

function showOverall(overall, summary) {
  setData(byId("overall"), "level", overall.level);
  setAttribute(byId("overall-symbol"), "href", "#s-" + overall.symbol);
  setText(byId("overall-word"), overall.word);
  setText(byId("summary"), summary);
  const title = (overall.level === "good" ? "" : overall.word + " – ") + "Switchgear";
  if (document.title !== title) document.title = title;
}

function summaryOf({ count, circuit_breakers: breakers, system }) {
  let text = count.working + " of " + count.services + (count.services === 1 ? " service works" : " services work")
    + (count.impaired ? `, ${count.impaired} of them impaired` : "");
  const open = breakers.open_breakers;
  if (open.length) text += "; open: " + open.slice(0, 6).join(", ") + (open.length > 6 ? ` and ${open.length - 6} more` : "");
  return [text, ...shortages(system), ...(system.draining ? ["draining"] : [])].join("; ");
}

// What of the machine is nearly used up.
function shortages({ open_fds: fds, max_fds: most, memory_group_bytes: used, memory_limit_bytes: limit, disks }) {
  const out = [];
  if (most && fds / most >= 0.8) out.push(percent(fds / most) + " of the file descriptors are used");
  if (limit && used / limit >= 0.9) out.push(percent(used / limit) + " of the memory is used");
  for (const [name, disk] of Object.entries(disks || {})) {
    if (disk.size_bytes && disk.free_bytes / disk.size_bytes < 0.05) out.push(`the disk of the ${name} has ${bytes(disk.free_bytes)} left`);
  }
  return out;
}

const figures = new Map();
const totals = makeTraffic(36);

function figure(label, value, title) {
  if (!figures.has(label)) figures.set(label, fact(byId("figures"), label, title));
  setText(figures.get(label).value, value);
}

function updateFiguresOfAll(system) {
  const all = known.services.filter((service) => service.recent);
  const requests = all.reduce((sum, service) => sum + service.recent.requests, 0);
  const errors = all.reduce((sum, service) => sum + service.recent.server_errors, 0);
  if (!figures.size) {
    byId("figures").append(element("div", { class: "total-chart" }, element("dt", {}, "last five minutes"), element("dd", {}, totals.svg)));
  }
  figure("requests/s", rate(all.reduce((sum, service) => sum + service.recent.per_second, 0)));
  figure("ok", percent(requests ? (requests - errors) / requests : null), "answers without a status of 5xx, in the last half minute");
  figure("in flight", number(system.requests_in_flight));
  figure("connections", number(system.connections));
  if (system.cpu_usage) figure("cpu", percent(system.cpu_usage / (system.cpu_limit || 1)), system.cpu_limit ? "of the processors that it may keep busy" : "of one processor");
  figure("memory", bytes(system.resident_bytes), system.memory_limit_bytes ? "of at most " + bytes(system.memory_limit_bytes) : null);
  figure("up", span(system.uptime_seconds));
}

const DOES = { read_only: "writes are refused", shed: "what is not essential is switched off" };

function emergencyText(emergency) {
  if (!emergency || !emergency.active) return "";
  const does = (emergency.actions || []).map((action) => DOES[action] || causeOf(action));
  return "Emergency: " + (does.join(", ") || "several critical services are down") + (emergency.ends_at ? ", at least until " + clockTime(emergency.ends_at) : "") + ".";
}

function updateHealth(health) {
  const { details } = health;
  clockOffset = Date.parse(health.timestamp) - Date.now();
  known.health = details;
  const overall = overallOf(health.status);
  if (live.overall && live.overall !== health.status) announce("Overall: " + overall.word);
  live.overall = health.status;
  showOverall(overall, summaryOf(details));
  updateFiguresOfAll(details.system);
  const emergency = emergencyText(details.emergency);
  byId("emergency-banner").hidden = !emergency;
  setText(byId("emergency-banner-text"), emergency);
  const { system } = details;
  setText(byId("about"), `Switchgear ${system.version} · process ${system.pid} · ${plural(system.workers, "worker", "workers")} · configuration ${system.generation}`
    + (system.reload_errors ? ` · ${plural(system.reload_errors, "failed reload", "failed reloads")}` : ""));
}

// What changed is said to those who listen.
function announceChanges(services) {
  for (const service of services) {
    const before = live.states.get(service.name);
    if (before && before !== service.breaker.state) announce(service.name + ": " + stateOf(service.breaker.state).word);
    live.states.set(service.name, service.breaker.state);
  }
}

// Another process answers: its events and points have numbers of their own.
function noticeRestart({ pid, uptime_seconds: uptime }) {
  if (live.pid && (live.pid !== pid || uptime < live.uptime)) {
    forgetEvents();
    known.series = null;
    announce("The gateway has been started again");
  }
  live.pid = pid;
  live.uptime = uptime;
}

// ---- asking -----------------------------------------------------------------------------------------

async function refreshSeries() {
  const after = known.series ? "?after=" + known.series.last : "";
  const more = await read("/api/v1/series" + after);
  if (known.series && more.last === known.series.last) return;
  known.series = joinSeries(known.series, more);
  drawRows();
  updateTraffic(totals, seriesOfAll(), pointSeconds());
}

// All the latest, for the list and the lanes: at the start, and while the stream is away.
async function readEvents(limit) {
  const { events, last } = await read("/api/v1/events?limit=" + limit);
  if (last < Number(eventList.last)) forgetEvents();
  if (eventList.last === null && events.length === limit) eventList.from = Date.parse(events[0].time);
  events.forEach(keepEvent);
  eventList.last = String(last);
}

function showAll() {
  updateServices();
  updateEvents();
  updateTimeline();
  updateDependencies();
  updateDrills();
  updateDetail();
  if (nameInHash() && !byId("detail").open) followHash();
}

async function refresh() {
  const began = performance.now();
  const [health, { services }] = await Promise.all([read("/health"), read("/api/v1/services")]);
  noticeRestart(health.details.system);
  known.services = services;
  known.byName = new Map(services.map((service) => [service.name, service]));
  if (eventList.last === null) await readEvents(EVENTS_AT_FIRST);
  else if (!live.streaming) await readEvents(100);
  announceChanges(services);
  updateHealth(health);
  await Promise.all([refreshSeries(), refreshDrills(), refreshOutbox(false)]);
  if (detail.parts && detail.parts.shadow.kind === "table") quietly(readComparison(detail.name));
  showAll();
  live.took = performance.now() - began;
}

function lost(error) {
  if (error instanceof NeedsToken) {
    showOverall(UNKNOWN, "The token is needed to look.");
    live.wanted = false;
    askToken(error.message).then((given) => given && start());
    return;
  }
  if (!live.failures) {
    live.since = CLOCK.format(new Date());
    announce("No contact with the gateway");
  }
  live.failures++;
  showOverall(UNKNOWN, "The gateway does not answer; what is shown below is old.");
}

// How long until the next round: longer the more a round takes, and the more often it failed.
function pause() {
  if (live.failures) return Math.min(WAIT_MOST, 1000 * 2 ** (live.failures - 1)) * (0.75 + Math.random() / 2);
  return Math.max(ASK_EVERY, 8 * live.took);
}

async function round() {
  clearTimeout(live.timer);
  if (live.asking) {
    live.again = true;
    return;
  }
  if (!live.wanted) return;
  live.asking = true;
  live.lastAsked = performance.now();
  try {
    await refresh();
    if (live.failures) announce("In contact again");
    live.failures = 0;
    if (!live.streaming) followSoon(0);
  } catch (error) {
    lost(error);
  }
  live.asking = false;
  const wait = live.again && !live.failures ? 200 : pause();
  live.again = false;
  live.retryAt = Date.now() + wait;
  showLink();
  if (live.wanted && (!document.hidden || live.failures)) live.timer = setTimeout(round, wait);
}

// Something happened: everything is asked anew, but not more often than twice a second.
function refreshSoon() {
  if (live.failures || !live.wanted) return;
  clearTimeout(live.timer);
  live.timer = setTimeout(round, Math.max(30, 500 - (performance.now() - live.lastAsked)));
}

// ---- following -----------------------------------------------------------------------------------------

function take(block) {
  let data = "";
  let kind = "message";
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) data += line.slice(6);
    else if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("id: ")) eventList.last = line.slice(4);
  }
  if (!data) return;
  if (kind === "gap") {
    eventList.last = null; // read anew, as at the start
  } else {
    const event = JSON.parse(data);
    if (!keepEvent(event)) return;
    if (event.kind === "policy" && detail.name === event.service) {
      quietly(readPolicy(detail.name));
      quietly(readComparison(detail.name));
    }
  }
  refreshSoon();
}

async function readBlocks(reader, beat) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    beat();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(take);
  }
}

// Not EventSource, which cannot send a token. Ends when the connection does, or has been
// silent for too long.
async function follow() {
  const abort = new AbortController();
  let timer = 0;
  const beat = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), SILENCE);
  };
  beat();
  try {
    const answer = await request("/api/v1/events", { headers: { Accept: "text/event-stream", "Last-Event-ID": eventList.last }, signal: abort.signal });
    if (!answer.ok) throw new Error("events: " + answer.status);
    live.streaming = true;
    live.streamFailures = 0;
    showLink();
    await readBlocks(answer.body.pipeThrough(new TextDecoderStream()).getReader(), beat);
  } finally {
    clearTimeout(timer);
    live.streaming = false;
  }
}

let following = false;

async function followSoon(wait) {
  if (following || eventList.last === null) return;
  following = true;
  await new Promise((resolve) => setTimeout(resolve, wait));
  try {
    await follow();
  } catch (error) {
    // A round tells the reader; here it is only tried again.
  }
  live.streamFailures++;
  following = false;
  if (!live.wanted) return;
  refreshNow();
  if (!live.failures) followSoon(Math.min(WAIT_MOST, 500 * 2 ** live.streamFailures) * (0.75 + Math.random() / 2));
}

// ---- starting --------------------------------------------------------------------------------------------

function refreshNow() {
  clearTimeout(live.timer);
  round();
}

function start() {
  live.wanted = true;
  live.failures = 0;
  refreshNow();
}

byId("try-now").addEventListener("click", start);
addEventListener("online", refreshNow);
document.addEventListener("visibilitychange", () => document.hidden || refreshNow());
setInterval(() => live.failures && showLink(), 1000);
