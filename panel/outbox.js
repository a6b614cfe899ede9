// Queued writes and dead letters: how many wait, which ones, and what to do with them.
"use strict";

const WRITE_STATES = [
  { value: "queued", text: "Queued" },
  { value: "dead", text: "Dead letters" },
  { value: "sent", text: "Sent" },
  { value: "expired", text: "Expired" },
  { value: "dropped", text: "Dropped" },
];
const NOTHING = { queued: "Nothing waits.", dead: "No dead letters.", sent: "None was sent in the last day.", expired: "None has expired.", dropped: "None was dropped." };
const LEVELS = { queued: "warn", dead: "bad", sent: "good", expired: "bad", dropped: "none" };
const SYMBOLS = { queued: "half", dead: "bad", sent: "good", expired: "warn", dropped: "note" };
const PAGE = 8;
const outbox = { state: "queued", limit: PAGE, summary: null, entries: [], next: null, open: null, busy: false, askedAt: -Infinity, lengths: "" };

// ---- asking ------------------------------------------------------------------------------

// The outbox asks its disk: it is not troubled every two seconds, where nothing shows that
// it has news.
function isDue() {
  const lengths = known.services.map((service) => (service.queue ? service.queue.entries : "")).join();
  const news = lengths !== outbox.lengths;
  const due = performance.now() - outbox.askedAt > (news ? 2500 : 15000);
  if (due) outbox.lengths = lengths;
  return due;
}

// The summary tells whether there is anything to list.
async function refreshOutbox(asked = true) {
  if (!known.services.some((service) => service.queue)) {
    outbox.summary = null;
    byId("outbox").hidden = byId("nav-outbox").hidden = true;
    return;
  }
  if (outbox.busy || (!asked && !isDue())) return;
  outbox.busy = true;
  outbox.askedAt = performance.now();
  try {
    outbox.summary = await read("/api/v1/outbox/summary");
    const list = await read(`/api/v1/outbox?state=${outbox.state}&limit=${outbox.limit}`);
    outbox.entries = list.entries;
    outbox.next = list.next;
    updateOutbox();
  } finally {
    outbox.busy = false;
  }
}

// ---- queues -------------------------------------------------------------------------------

function makeQueue(queue) {
  const link = element("a", { href: serviceAddress(queue.service) }, queue.service);
  const waits = element("b");
  const text = element("span", { class: "said" });
  return { waits, text, node: element("li", {}, link, waits, text) };
}

function updateQueue(row, queue) {
  const { since_start: since } = queue;
  setText(row.waits, plural(queue.entries, "write waits", "writes wait"));
  setData(row.node, "level", queue.dead_letters ? "bad" : queue.entries ? "warn" : "good");
  const parts = [];
  if (queue.oldest_at) parts.push("the oldest for " + span(secondsSince(queue.oldest_at)));
  if (queue.in_flight) parts.push(queue.in_flight + " under way");
  if (queue.dead_letters) parts.push(plural(queue.dead_letters, "dead letter", "dead letters"));
  parts.push(number(since.sent) + " sent since the start");
  if (since.expired) parts.push(number(since.expired) + " expired");
  if (since.refused_full) parts.push(number(since.refused_full) + " refused: full");
  if (queue.sends === false) parts.push("another process sends");
  setText(row.text, parts.join(" · "));
}

// A write without `order_by` is an order of its own, whose name says nothing.
const hasOrder = (entry) => entry.order_key && !/^[0-9a-f]{32}$/.test(entry.order_key);

// ---- writes ----------------------------------------------------------------------------------

function makeWrite(entry) {
  const row = { id: entry.id };
  row.symbol = symbol("none");
  row.what = element("span", { class: "who" }, entry.method + " to " + entry.service);
  row.said = element("span", { class: "said" });
  row.show = button("Show…", { class: "small", "aria-label": `Show write ${entry.id}` }, () => openWrite(row.entry));
  row.node = element("li", {}, row.symbol, row.what, row.said, row.show);
  return row;
}

function updateWrite(row, entry) {
  row.entry = entry;
  setData(row.node, "level", LEVELS[entry.state] || "none");
  setSymbol(row.symbol, SYMBOLS[entry.state] || "none");
  const parts = [(entry.settled_at ? entry.state + " " + ago(entry.settled_at) + ", accepted " : "accepted ") + ago(entry.accepted_at), plural(entry.attempts, "try", "tries")];
  if (entry.last_status) parts.push("last answer " + entry.last_status);
  if (entry.note) parts.push(entry.note);
  if (hasOrder(entry)) parts.push("in the order of " + entry.order_key);
  setText(row.said, parts.join(" · "));
}

function updateOutbox() {
  byId("outbox").hidden = byId("nav-outbox").hidden = false;
  updateList(byId("queues"), outbox.summary.queues, (queue) => queue.service, makeQueue, updateQueue);
  updateList(byId("writes"), outbox.entries, (entry) => entry.id, makeWrite, updateWrite);
  byId("no-writes").hidden = outbox.entries.length > 0;
  setText(byId("no-writes"), NOTHING[outbox.state]);
  byId("more-writes").hidden = outbox.next === null || outbox.limit >= 1000;
  const dead = outbox.summary.queues.reduce((sum, queue) => sum + queue.dead_letters, 0);
  setText(byId("outbox-states").children[1], dead ? `Dead letters ${dead}` : "Dead letters");
}

const quietly = (work) => work.catch(() => {}); // the next round tells what is wrong

chooser(byId("outbox-states"), WRITE_STATES, outbox.state, (state) => {
  outbox.state = state;
  outbox.limit = PAGE;
  quietly(refreshOutbox());
});
byId("more-writes").addEventListener("click", () => {
  outbox.limit = Math.min(1000, outbox.limit * 5);
  quietly(refreshOutbox());
});

// ---- one write ---------------------------------------------------------------------------------

function showWrite(entry) {
  outbox.open = entry;
  const facts = byId("write-facts");
  facts.replaceChildren();
  const rows = [["Id", entry.id], ["Service", entry.service], ["State", entry.state], ["Request", entry.method + (entry.target ? " " + entry.target : "")],
    ["Accepted", dateTime(entry.accepted_at)], ["Expires", entry.expires_at ? dateTime(entry.expires_at) : "never"], ["Tries", String(entry.attempts)],
    ["Last answer", entry.last_status ? String(entry.last_status) : "none"], ["Note", entry.note], ["Order", hasOrder(entry) ? entry.order_key : ""],
    ["Idempotency-Key", entry.idempotency_key], ["Size", bytes(entry.content_bytes)]];
  for (const [label, value] of rows) {
    if (value) setText(fact(facts, label).value, value);
  }
  byId("write-drop").hidden = entry.state !== "queued" && entry.state !== "dead";
  byId("write-retry").hidden = entry.state !== "dead";
  byId("write-change").hidden = byId("write-drop").hidden;
}

async function openWrite(entry) {
  showWrite(entry);
  byId("write-body").hidden = true;
  byId("write-content").hidden = false;
  setText(byId("write-error"), "");
  byId("write-reason").value = "";
  prepareAuthor("write-author");
  byId("write-dialog").showModal();
  try {
    const more = await read("/api/v1/outbox/" + encodeURIComponent(entry.id));
    if (outbox.open.id === entry.id) showWrite(more);
  } catch (error) {
    setText(byId("write-error"), error.message);
  }
}

function contentText(entry) {
  const fields = (entry.headers || []).map((field) => `${field.name}: ${field.value}`).join("\n");
  const body = entry.body !== undefined ? entry.body : entry.body_base64 ? "(base64) " + entry.body_base64 : "";
  return entry.content ? "The content is " + entry.content + "." : [fields, body].filter(Boolean).join("\n\n") || "It has no content.";
}

byId("write-content").addEventListener("click", () => pressed(byId("write-content"), byId("write-error"), async () => {
  const entry = await readWithToken(`/api/v1/outbox/${encodeURIComponent(outbox.open.id)}?content=1`);
  setText(byId("write-body"), contentText(entry));
  byId("write-body").hidden = false;
  byId("write-content").hidden = true;
}));

byId("write-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const verb = event.submitter && event.submitter.value === "retry" ? "retry" : "drop";
  if (byId("write-drop").hidden) return;
  pressed(byId("write-" + verb), byId("write-error"), async () => {
    const body = filled({ reason: byId("write-reason").value.trim(), author: author("write-author") });
    await changeWithToken("POST", `/api/v1/outbox/${encodeURIComponent(outbox.open.id)}/${verb}`, body);
    byId("write-dialog").close();
    announce(verb === "drop" ? "The write is dropped" : "The write is queued again");
    await quietly(refreshOutbox());
  });
});
