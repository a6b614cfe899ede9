// Dialogs: how all of them close, and the one that controls a breaker.
"use strict";

for (const one of document.querySelectorAll("[data-close]")) {
  one.addEventListener("click", () => one.closest("dialog").close());
}

// A press beside the drawer closes it.
byId("detail").addEventListener("pointerdown", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();
});

// Names given once are there the next time, in this tab.
function author(id) {
  const name = byId(id).value.trim();
  if (name) kept.set("author", name, sessionStorage);
  return name;
}

function prepareAuthor(id) {
  byId(id).value = kept.get("author", sessionStorage) || "";
}

// Does it while the button cannot be pressed again; what goes wrong is told in `error`.
async function pressed(go, error, work) {
  go.disabled = true;
  setText(error, "");
  try {
    await work();
  } catch (problem) {
    setText(error, problem.message || String(problem));
  }
  go.disabled = false;
}

// One of several, in a fieldset: [{value, text}].
function fillChoices(fieldset, name, choices, onChange) {
  fieldset.append(...choices.map(({ value, text }) => {
    const input = element("input", { type: "radio", name, value });
    input.addEventListener("change", () => onChange(value));
    return element("label", { class: "choice" }, input, element("span", {}, text));
  }));
}

function choose(fieldset, value) {
  for (const input of fieldset.querySelectorAll("input")) input.checked = input.value === value;
}

function fillEndpoints(select, endpoints, all) {
  select.replaceChildren(element("option", { value: "" }, all),
    ...endpoints.map((endpoint) => element("option", { value: endpoint.name }, endpoint.name)));
}

// Only what was filled in.
function filled(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

// ---- a breaker by hand -----------------------------------------------------------------

const VERBS = {
  "force-open": { button: "Open", key: "o", what: "All calls are refused, or answered by the fallback, until the time is over. Without a time: until somebody resets it.", duration: "optional" },
  "force-close": { button: "Close", key: "c", what: "All calls pass, however many fail. This takes protection away.", duration: "needed" },
  disable: { button: "Disable", key: "d", what: "All calls pass and nothing is counted. This takes protection away.", duration: "needed" },
  reset: { button: "Reset", key: "r", what: "Ends manual control, forgets what was counted, and closes." },
};
const command = { verb: "force-open", name: "" };

fillChoices(byId("verbs"), "verb", Object.entries(VERBS).map(([value, { button: text }]) => ({ value, text })), showVerb);

function showVerb(verb) {
  const { button: word, what, duration } = VERBS[verb];
  command.verb = verb;
  choose(byId("verbs"), verb);
  setText(byId("command-title"), word + " " + command.name);
  setText(byId("command-what"), what);
  setText(byId("command-go"), word + " it");
  setText(byId("command-error"), "");
  setText(byId("duration-hint"), duration === "needed" ? "Needed, such as 10m or 1h; at most 7d." : "Such as 10m or 1h; empty: until further notice.");
  byId("duration-row").hidden = !duration;
}

function openCommand(verb, name, endpoint = "") {
  const service = known.byName.get(name);
  if (!service) return;
  const { endpoints } = service.breaker;
  command.name = name;
  showVerb(verb);
  byId("duration").value = "10m";
  byId("reason").value = "";
  prepareAuthor("author");
  byId("endpoint-row").hidden = endpoints.length < 2;
  fillEndpoints(byId("endpoint"), endpoints, "all " + endpoints.length);
  byId("endpoint").value = endpoint;
  byId("command").showModal();
  byId("reason").focus();
}

byId("command-form").addEventListener("submit", (event) => {
  event.preventDefault();
  pressed(byId("command-go"), byId("command-error"), async () => {
    const body = filled({
      for: VERBS[command.verb].duration ? byId("duration").value.trim() : "",
      reason: byId("reason").value.trim(),
      author: author("author"),
      endpoint: byId("endpoint").value,
    });
    await changeWithToken("POST", "/api/v1/circuit-breakers/" + encodeURIComponent(command.name) + "/" + command.verb, body);
    byId("command").close();
    refreshSoon();
  });
});
