// What state each service was in, a lane each. The past is told backwards: the states of
// now, and each event says what was before it. How thick a bar is tells its state as its
// colour does.
"use strict";

const RANGES = [{ value: 15, text: "15 min" }, { value: 60, text: "1 h" }];
const LANES_MOST = 24;
const timeline = { minutes: 15, all: false };

// ---- the past of one service ----------------------------------------------------------------

// A service's state out of those of its endpoints, as the engine has it: it can serve as
// long as one can.
function together(states) {
  const all = [...states];
  const first = all[0];
  if (all.every((state) => state === first)) return first;
  for (const state of ["closed", "forced_closed", "disabled", "half_open", "open"]) {
    if (all.includes(state)) return state;
  }
  return first;
}

// [{from, to, state}], oldest first, times in ms.
function segmentsOf(service, start, now) {
  const states = new Map(service.breaker.endpoints.map((endpoint) => [endpoint.name, endpoint.state]));
  const segments = [];
  let to = now;
  for (let i = known.events.length - 1; i >= 0; i--) {
    const event = known.events[i];
    if (event.service !== service.name || event.kind !== "state_change") continue;
    const at = Date.parse(event.time);
    if (at <= start) break;
    if (!states.has(event.endpoint)) continue;
    segments.unshift({ from: at, to, state: together(states.values()) });
    to = at;
    states.set(event.endpoint, event.from);
  }
  segments.unshift({ from: start, to, state: together(states.values()) });
  return joined(segments.filter((one) => one.to > one.from));
}

function joined(segments) {
  const out = [];
  for (const one of segments) {
    const before = out[out.length - 1];
    if (before && before.state === one.state) before.to = one.to;
    else out.push({ ...one });
  }
  return out;
}

// When somebody else than the service answered: [{from, to, who}].
function answersOf(service, start, now) {
  const out = [];
  let to = now;
  let who = service.answering;
  for (let i = known.events.length - 1; i >= 0; i--) {
    const event = known.events[i];
    if (event.service !== service.name || event.kind !== "tier_change") continue;
    const at = Date.parse(event.time);
    if (at <= start) break;
    out.unshift({ from: at, to, who });
    to = at;
    who = event.from;
  }
  out.unshift({ from: start, to, who });
  return out.filter((one) => one.who && one.who !== "upstream" && one.to > one.from);
}

const MARKED = new Set(["manual", "drill", "policy", "reload", "reload_failed", "upgrade", "drain", "emergency"]);

const marksOf = (name, start) => known.events.filter((event) => (event.service || "") === name && MARKED.has(event.kind) && Date.parse(event.time) > start);

// The states of the whole, the same way.
function overallSegments(start, now) {
  const segments = [];
  let to = now;
  let state = live.overall;
  for (let i = known.events.length - 1; i >= 0; i--) {
    const event = known.events[i];
    if (event.kind !== "overall") continue;
    const at = Date.parse(event.time);
    if (at <= start) break;
    segments.unshift({ from: at, to, state });
    to = at;
    state = event.from;
  }
  segments.unshift({ from: start, to, state });
  return joined(segments.filter((one) => one.to > one.from));
}

// ---- a lane ---------------------------------------------------------------------------------------

// From where, and how thick: the worse, the thicker.
const BARS = { closed: [12, 3], half: [8, 11], warn: [8, 11], open: [4, 19], hand: [5, 17], none: [12, 3] };
const OVERALL_BARS = { good: "closed", warn: "warn", bad: "open", none: "none" };

const serviceLook = (state) => stateOf(state);
const overallLook = (state) => ({ ...overallOf(state), bar: OVERALL_BARS[overallOf(state).level] });

function makeLane(name) {
  const label = name ? element("a", { href: serviceAddress(name) }, name) : element("b", {}, "everything");
  const svg = drawing("svg", { class: "lane", role: "img", "aria-label": "" });
  return { svg, node: element("div", { class: "lane-row" }, element("div", { class: "lane-name" }, label), svg) };
}

function rect(from, to, y, height, scale, title, attributes) {
  const x = scale(from);
  return drawing("rect", { x: x.toFixed(3) + "%", y, width: Math.max(0.15, scale(to) - x).toFixed(3) + "%", height, ...attributes }, drawing("title", {}, title));
}

const timeOf = (ms) => CLOCK.format(ms - clockOffset);
const between = (one) => `${timeOf(one.from)} – ${timeOf(one.to)}, ${span((one.to - one.from) / 1000)}`;

function segmentRects(segments, look, scale) {
  return segments.flatMap((one) => {
    const { bar, word } = look(one.state);
    const [y, height] = BARS[bar];
    const title = `${word}: ${between(one)}`;
    const drawn = rect(one.from, one.to, y, height, scale, title, { class: "bar", "data-bar": bar });
    return bar === "half" ? [drawn, rect(one.from, one.to, y, height, scale, title, { fill: "url(#hatch)" })] : [drawn];
  });
}

function answerRects(answers, scale) {
  return answers.map((one) => {
    const nobody = one.who === "nobody";
    return rect(one.from, one.to, 24, 3, scale, `${nobody ? "nobody" : "fallback " + one.who} answered: ${between(one)}`, { class: "bar", "data-bar": nobody ? "open" : "fallback" });
  });
}

function markPaths(marks, scale) {
  return marks.map((event) => drawing("svg", { x: scale(Date.parse(event.time)).toFixed(3) + "%", y: 13, overflow: "visible" },
    drawing("path", { class: "mark-at", d: "M0 -5 5 0 0 5 -5 0z" }, drawing("title", {}, `${clockTime(event.time)}: ${described(event).text}`))));
}

// As long as the same things are in it, only their places change.
function showInLane(lane, nodes, key) {
  if (lane.key !== key) {
    lane.key = key;
    lane.svg.replaceChildren(...nodes);
    return;
  }
  nodes.forEach((node, i) => {
    const old = lane.svg.children[i];
    for (const name of ["x", "width", "y", "height", "data-bar"]) {
      if (node.hasAttribute(name)) setAttribute(old, name, node.getAttribute(name));
    }
    if (old.tagName === "rect") setText(old.firstElementChild, node.firstElementChild.textContent);
  });
}

function drawLane(lane, name, segments, answers, look, { start, from, now }) {
  const scale = (time) => ((time - start) / (now - start)) * 100;
  const marks = marksOf(name, from);
  const nodes = [segmentRects(segments, look, scale), answerRects(answers, scale), markPaths(marks, scale)];
  showInLane(lane, nodes.flat(), nodes.map((some) => some.length).join("/"));
  setAttribute(lane.svg, "aria-label", laneText(name || "everything", segments, look));
}

function laneText(name, segments, look) {
  const sums = new Map();
  for (const one of segments) sums.set(one.state, (sums.get(one.state) || 0) + one.to - one.from);
  const parts = [...sums].map(([state, ms]) => look(state).word.toLowerCase() + " " + span(ms / 1000));
  return `${name}: ${parts.join(", ")}; ${plural(Math.max(0, segments.length - 1), "change", "changes")} in the last ${timeline.minutes} minutes`;
}

// ---- all of it ----------------------------------------------------------------------------------------

const STEPS = { 15: 5, 60: 15 };

function makeAxis() {
  const axis = element("div", { class: "lane-axis", "aria-hidden": "true" });
  return { axis, node: element("div", { class: "lane-row axis" }, element("div", { class: "lane-name" }), axis) };
}

function updateAxis(row, start, now) {
  const step = STEPS[timeline.minutes] * 60000;
  const labels = [];
  const offset = new Date().getTimezoneOffset() * 60000;
  for (let at = Math.ceil((start - clockOffset - offset) / step) * step + offset; at < now - clockOffset; at += step) {
    const label = element("span", {}, new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
    const place = ((at + clockOffset - start) / (now - start)) * 100;
    if (place < 91) {
      label.style.left = place + "%";
      labels.push(label);
    }
  }
  const end = element("span", { class: "now" }, "now");
  row.axis.replaceChildren(...labels, end);
}

// Those that changed come first; of those that did not, as many as fit.
function lanesShown(start) {
  const changed = new Set(known.events.filter((event) => event.service && Date.parse(event.time) > start).map((event) => event.service));
  const services = [...known.services].sort((a, b) => changed.has(b.name) - changed.has(a.name));
  return timeline.all ? services : services.slice(0, LANES_MOST);
}

// Before `from` nothing is known: the process did not run, or the events are gone.
function stretch() {
  const now = serverNow();
  const start = now - timeline.minutes * 60000;
  const began = known.health ? now - known.health.system.uptime_seconds * 1000 : start;
  return { now, start, from: Math.max(start, began, eventList.from) };
}

function updateTimeline() {
  const when = stretch();
  const shown = lanesShown(when.start);
  const left = known.services.length - shown.length;
  const rows = [{ key: "all" }, ...shown.map((service) => ({ key: "s " + service.name, service })), { key: "axis" }];
  if (left > 0) rows.push({ key: "more", left });
  updateList(byId("lanes"), rows, (row) => row.key, (row) => {
    if (row.service) return makeLane(row.service.name);
    if (row.key === "all") return makeLane("");
    if (row.key === "axis") return makeAxis();
    return { node: button("", { class: "more-lanes" }, () => { timeline.all = true; updateTimeline(); }) };
  }, (made, row) => {
    if (row.service) drawLane(made, row.service.name, segmentsOf(row.service, when.from, when.now), answersOf(row.service, when.from, when.now), serviceLook, when);
    else if (row.key === "all") drawLane(made, "", overallSegments(when.from, when.now), [], overallLook, when);
    else if (row.key === "axis") updateAxis(made, when.start, when.now);
    else setText(made.node, plural(row.left, "more service", "more services"));
  });
}

chooser(byId("timeline-ranges"), RANGES, timeline.minutes, (value) => {
  timeline.minutes = value;
  updateTimeline();
});
