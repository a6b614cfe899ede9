// What happened: kept once, by its number, for the list and for the timeline.
"use strict";

const EVENTS_KEPT = 3000;
const EVENTS_STEP = 40;
const eventList = { shown: EVENTS_STEP, last: null };

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
}

function makeEvent(event) {
  const said = described(event);
  const text = element("span", { class: "said" }, said.text);
  if (said.note) text.append(element("small", {}, said.note));
  const time = element("time", { datetime: event.time, title: dateTime(event.time) }, ago(event.time));
  const who = event.service
    ? element("a", { class: "who", href: serviceAddress(event.service) }, event.service)
    : element("span", { class: "who" }, "gateway");
  return { time, node: element("li", { "data-level": said.level }, time, symbol(said.symbol), who, text) };
}

function updateEvent(row, event) {
  setText(row.time, ago(event.time));
}

function updateEvents() {
  const shown = known.events.slice(-eventList.shown).reverse();
  updateList(byId("event-list"), shown, (event) => event.sequence + event.time, makeEvent, updateEvent);
  byId("no-events").hidden = shown.length > 0;
  byId("more-events").hidden = known.events.length <= eventList.shown;
}

byId("more-events").addEventListener("click", () => {
  eventList.shown += 4 * EVENTS_STEP;
  updateEvents();
});
