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

const marksOf = (service, start) => known.events.filter((event) => event.service === service.name && (event.kind === "manual" || event.kind === "drill" || event.kind === "policy") && Date.parse(event.time) > start);

// ---- a lane ---------------------------------------------------------------------------------------

const BARS = { closed: [12, 3], half: [8, 11], open: [4, 19], hand: [5, 17], none: [12, 3] };

function makeLane(service) {
  const link = element("a", { href: serviceAddress(service.name) }, service.name);
  const svg = drawing("svg", { class: "lane", role: "img", "aria-label": "" });
  return { svg, node: element("div", { class: "lane-row" }, element("div", { class: "lane-name" }, link), svg) };
}

function rect(from, to, y, height, scale, title, attributes) {
  const x = scale(from);
  return drawing("rect", { x: x.toFixed(3) + "%", y, width: Math.max(0.15, scale(to) - x).toFixed(3) + "%", height, ...attributes }, drawing("title", {}, title));
}

function between(one) {
  return `${clockTime(new Date(one.from).toISOString())} – ${clockTime(new Date(one.to).toISOString())}, ${span((one.to - one.from) / 1000)}`;
}

function drawLane(lane, service, start, began, now) {
  const scale = (time) => ((time - start) / (now - start)) * 100;
  const segments = segmentsOf(service, Math.max(start, began), now);
  const answers = answersOf(service, Math.max(start, began), now);
  const marks = marksOf(service, Math.max(start, began));
  const nodes = segments.map((one) => {
    const { bar, word } = stateOf(one.state);
    const [y, height] = BARS[bar];
    return rect(one.from, one.to, y, height, scale, `${word}: ${between(one)}`, { class: "bar", "data-bar": bar });
  });
  for (const one of segments.filter((s) => stateOf(s.state).bar === "half")) nodes.push(rect(one.from, one.to, 8, 11, scale, "Half-open: " + between(one), { fill: "url(#hatch)" }));
  for (const one of answers) nodes.push(rect(one.from, one.to, 24, 3, scale, `${one.who === "nobody" ? "nobody" : "fallback " + one.who} answered: ${between(one)}`, { class: "bar", "data-bar": one.who === "nobody" ? "open" : "fallback" }));
  for (const event of marks) {
    const said = described(event);
    nodes.push(drawing("svg", { x: scale(Date.parse(event.time)).toFixed(3) + "%", y: 13, overflow: "visible" },
      drawing("path", { class: "mark-at", d: "M0 -5 5 0 0 5 -5 0z" }, drawing("title", {}, `${clockTime(event.time)}: ${said.text}`))));
  }
  const key = segments.length + answers.length + marks.length;
  // As long as nothing changed, only the places move.
  if (lane.key === key && lane.svg.children.length === nodes.length) {
    nodes.forEach((node, i) => {
      const old = lane.svg.children[i];
      for (const name of ["x", "width", "data-bar"]) {
        if (node.hasAttribute(name)) setAttribute(old, name, node.getAttribute(name));
      }
      if (old.tagName === "rect") setText(old.firstElementChild, node.firstElementChild.textContent);
    });
  } else {
    lane.key = key;
    lane.svg.replaceChildren(...nodes);
  }
  setAttribute(lane.svg, "aria-label", laneText(service.name, segments));
}

function laneText(name, segments) {
  const sums = new Map();
  for (const one of segments) sums.set(one.state, (sums.get(one.state) || 0) + one.to - one.from);
  const parts = [...sums].map(([state, ms]) => lower(state) + " " + span(ms / 1000));
  return `${name}: ${parts.join(", ")}; ${plural(segments.length - 1, "change", "changes")} in the last ${timeline.minutes} minutes`;
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

function updateTimeline() {
  const now = serverNow();
  const start = now - timeline.minutes * 60000;
  const began = known.health ? Date.parse(known.health.system.started_at) : start;
  const shown = lanesShown(start);
  const left = known.services.length - shown.length;
  const rows = [...shown.map((service) => ({ key: "s " + service.name, service })), { key: "axis" }];
  if (left > 0) rows.push({ key: "more", left });
  updateList(byId("lanes"), rows, (row) => row.key, (row) => {
    if (row.service) return makeLane(row.service);
    if (row.key === "axis") return makeAxis();
    return { node: button("", { class: "more-lanes" }, () => { timeline.all = true; updateTimeline(); }) };
  }, (made, row) => {
    if (row.service) drawLane(made, row.service, start, began, now);
    else if (row.key === "axis") updateAxis(made, start, now);
    else setText(made.node, plural(row.left, "more service", "more services"));
  });
}

chooser(byId("timeline-ranges"), RANGES, timeline.minutes, (value) => {
  timeline.minutes = value;
  updateTimeline();
});
