// Drills: a service made to look ill on purpose. While one is on, a banner says so.
"use strict";

const DRILL_KINDS = [{ value: "delay", text: "Delay" }, { value: "error", text: "Error" }, { value: "abort", text: "Abort" }];
const drill = { kind: "delay", able: null };

const drillsOf = (name) => (known.drills || []).filter((one) => one.service === name);

// A gateway that has none says 404, and is asked no more.
async function refreshDrills() {
  if (drill.able === false) return;
  try {
    const answer = await read("/api/v1/drills");
    known.drills = Array.isArray(answer) ? answer : answer.drills || [];
    drill.able = true;
    updateDrills();
  } catch (error) {
    if (error instanceof Refused && error.status === 404) drill.able = false;
    else throw error;
  }
}

function drillText(one) {
  const what = { delay: `delayed by ${milliseconds(one.delay_ms || 0)}`, error: `answered with ${one.status || 503}`, abort: "cut off" }[one.kind] || one.kind;
  const share = one.percent === undefined || one.percent === 100 ? "all requests" : `${one.percent}% of the requests`;
  return `${share}${one.endpoint ? " to " + one.endpoint : ""}${one.header ? ` with ${one.header}` : ""} are ${what}`;
}

function drillNote(one) {
  const parts = ["ends in " + span(-secondsSince(one.ends_at))];
  if (one.hits !== undefined) parts.push(plural(one.hits, "attempt", "attempts") + " hit");
  if (one.reason) parts.push(one.reason + (one.author ? " — " + one.author : ""));
  else if (one.author) parts.push("by " + one.author);
  return parts.join(" · ");
}

function makeDrill(one) {
  const row = { text: element("span", { class: "said" }), note: element("small") };
  const stop = button("Stop", { class: "small", "aria-label": `Stop the drill of ${one.service}` }, () => stopDrills("/" + encodeURIComponent(one.id), stop));
  row.node = element("li", { "data-level": "hand" }, symbol("drill"), element("a", { class: "who", href: serviceAddress(one.service) }, one.service), element("span", { class: "said" }, row.text, row.note), stop);
  return row;
}

function updateDrills() {
  const drills = known.drills || [];
  byId("drills").hidden = byId("nav-drills").hidden = !drill.able;
  byId("drill-banner").hidden = !drills.length;
  const names = [...new Set(drills.map((one) => one.service))];
  setText(byId("drill-banner-text"), drills.length === 1
    ? `A drill is on. ${names[0]}: ${drillText(drills[0])}; ${drillNote(drills[0])}.`
    : `${drills.length} drills are on, of ${names.slice(0, 5).join(", ")}${names.length > 5 ? " and others" : ""}. What looks ill may be healthy.`);
  updateList(byId("drill-list"), drills, (one) => String(one.id), makeDrill, (row, one) => {
    setText(row.text, drillText(one));
    setText(row.note, drillNote(one));
  });
  byId("no-drills").hidden = drills.length > 0;
}

async function stopDrills(path, go) {
  go.disabled = true;
  try {
    await changeWithToken("DELETE", "/api/v1/drills" + path);
    announce("The drill is over");
    await refreshDrills();
  } catch (error) {
    tell(error.message);
  }
  go.disabled = false;
}

// ---- starting one ----------------------------------------------------------------------------

function showKind(kind) {
  drill.kind = kind;
  choose(byId("drill-kinds"), kind);
  byId("drill-delay-row").hidden = kind !== "delay";
  byId("drill-status-row").hidden = kind !== "error";
}

function fillDrillEndpoints() {
  const service = known.byName.get(byId("drill-service").value);
  fillEndpoints(byId("drill-endpoint"), service ? service.breaker.endpoints : [], "all");
}

function openDrill(name) {
  byId("drill-service").replaceChildren(...known.services.map((service) => element("option", { value: service.name }, service.name)));
  if (name) byId("drill-service").value = name;
  fillDrillEndpoints();
  showKind(drill.kind);
  prepareAuthor("drill-author");
  setText(byId("drill-error"), "");
  byId("drill-dialog").showModal();
}

// A number where it is one; else what was typed, which the gateway says is wrong.
function typed(id) {
  const text = byId(id).value.trim();
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function drillBody() {
  return filled({
    service: byId("drill-service").value,
    endpoint: byId("drill-endpoint").value,
    kind: drill.kind,
    delay_ms: drill.kind === "delay" ? typed("drill-delay") : "",
    status: drill.kind === "error" ? typed("drill-status") : "",
    percent: typed("drill-percent"),
    header: byId("drill-header").value.trim(),
    for: byId("drill-for").value.trim(),
    reason: byId("drill-reason").value.trim(),
    author: author("drill-author"),
  });
}

byId("drill-form").addEventListener("submit", (event) => {
  event.preventDefault();
  pressed(byId("drill-go"), byId("drill-error"), async () => {
    await changeWithToken("POST", "/api/v1/drills", drillBody());
    byId("drill-dialog").close();
    await refreshDrills();
  });
});

fillChoices(byId("drill-kinds"), "kind", DRILL_KINDS, showKind);
byId("drill-service").addEventListener("change", fillDrillEndpoints);
byId("drill-start").addEventListener("click", () => openDrill());
byId("drill-stop-all").addEventListener("click", (event) => stopDrills("", event.currentTarget));
