// What happened: kept once, by its number, for the list and for the timeline.
"use strict";

const EVENTS_KEPT = 3000;
const EVENTS_STEP = 25;
// `from`: what was before is not known.
const eventList = { shown: EVENTS_STEP, last: null, from: 0 };

// Whether it is new. The numbers begin again with the process.
function keepEvent(event) {
  const { events } = known;
  const newest = events.length ? events[events.length - 1].sequence : 0;
  if (event.sequence > newest) {
    events.push(event);
    if (events.length > EVENTS_KEPT) events.shift();
    return true;
  }
  if (events.some((one) => one.sequence === event.sequence)) return false;
  events.push(event);
  events.sort((a, b) => a.sequence - b.sequence);
  return true;
}

function forgetEvents() {
  known.events = [];
  eventList.last = null;
  eventList.from = 0;
}

const same = (a, b) => a.kind === b.kind && a.from === b.from && a.to === b.to && a.cause === b.cause;

// Newest first. A breaker that is tried again and again tells the same each time: that is
// one line, with how often. That it was being tried goes without saying once the outcome
// is there.
function foldedEvents(events, limit) {
  const rows = [];
  const latest = new Map(); // the row of the newest change of each endpoint
  for (let i = events.length - 1; i >= 0 && rows.length < limit; i--) {
    const event = events[i];
    const key = event.kind === "state_change" ? event.service + "\n" + event.endpoint : null;
    const newer = key && latest.get(key);
    if (newer && event.to === "half_open") continue;
    if (newer && newer.folds && same(newer.event, event)) {
      newer.count++;
      continue;
    }
    const row = { event, count: 1, folds: event.from === "half_open" };
    if (key) latest.set(key, row);
    rows.push(row);
  }
  return rows;
}

function makeEvent({ event }) {
  const said = described(event);
  const times = element("span");
  const text = element("span", { class: "said" }, said.text, times);
  if (said.note) text.append(element("small", {}, said.note));
  const time = element("time", { datetime: event.time, title: dateTime(event.time) }, ago(event.time));
  const who = event.service
    ? element("a", { class: "who", href: serviceAddress(event.service) }, event.service)
    : element("span", { class: "who" }, "gateway");
  return { time, times, node: element("li", { "data-level": said.level }, time, symbol(said.symbol), who, text) };
}

function updateEvent(row, { event, count }) {
  setText(row.time, ago(event.time));
  setText(row.times, count > 1 ? ", " + count + " times" : "");
}

const eventKey = ({ event }) => event.sequence + event.time;

function updateEvents() {
  const shown = foldedEvents(known.events, eventList.shown + 1);
  const more = shown.length > eventList.shown;
  updateList(byId("event-list"), shown.slice(0, eventList.shown), eventKey, makeEvent, updateEvent);
  byId("no-events").hidden = shown.length > 0;
  byId("more-events").hidden = !more;
}

byId("more-events").addEventListener("click", () => {
  eventList.shown += 4 * EVENTS_STEP;
  updateEvents();
});
