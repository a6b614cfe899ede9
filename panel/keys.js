// Keys, colours, the two tools at the top; and the beginning.
"use strict";

// ---- colours -----------------------------------------------------------------------------

const THEMES = { system: "as the system", light: "light", dark: "dark" };

function showTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const words = "Colours: " + THEMES[theme];
  setAttribute(byId("theme"), "aria-label", words);
  setAttribute(byId("theme"), "title", words + " (t)");
}

const themeNow = () => document.documentElement.dataset.theme || "system";

function nextTheme() {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(themeNow()) + 1) % names.length];
  kept.set("theme", theme);
  showTheme(theme);
  announce("Colours: " + THEMES[theme]);
}

byId("theme").addEventListener("click", nextTheme);
showTheme(THEMES[kept.get("theme")] ? kept.get("theme") : "system");

// ---- tools ---------------------------------------------------------------------------------

async function runTool(tool, path, done) {
  tool.disabled = true;
  try {
    tell(done(await changeWithToken("POST", path, { author: kept.get("author", sessionStorage) || "panel" })));
    refreshNow();
  } catch (error) {
    tell(error.message);
  }
  tool.disabled = false;
}

byId("recover").addEventListener("click", (event) => runTool(event.currentTarget, "/api/v1/resilience/force-recovery",
  ({ probed }) => (probed.length ? "Trying now: " + probed.join(", ") : "None is open")));
byId("reload").addEventListener("click", (event) => runTool(event.currentTarget, "/api/v1/config/reload",
  ({ generation }) => "Configuration " + generation + " is in force"));

// ---- keys ------------------------------------------------------------------------------------

// The service that keys are about: the drawer's, else the one of the row that has the focus.
function serviceMeant() {
  if (detail.name) return detail.name;
  const row = document.activeElement && document.activeElement.closest("tr[data-name]");
  return row ? row.dataset.name : null;
}

function moveTo(step) {
  const links = [...byId("service-rows").querySelectorAll(".service-link")];
  if (!links.length) return;
  const row = document.activeElement && document.activeElement.closest("tr[data-name]");
  const at = row ? links.indexOf(row.querySelector(".service-link")) : -1;
  links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))].focus();
}

const commandOn = (verb) => () => {
  const name = serviceMeant();
  if (name) openCommand(verb, name);
};

function jump(id) {
  const section = byId(id);
  section.scrollIntoView();
  section.focus({ preventScroll: true });
}

// `inDrawer`: also while a service's drawer is open.
const KEYS = [
  { key: "?", text: "this list", run: () => byId("help-dialog").showModal(), inDrawer: true },
  { key: "/", text: "find services", run: () => byId("filter").focus() },
  { key: "j", text: "next service", run: () => moveTo(1) },
  { key: "k", text: "service before", run: () => moveTo(-1) },
  { key: "Enter", text: "show the service", named: true },
  { key: "o", text: "open its breaker", run: commandOn("force-open"), inDrawer: true },
  { key: "c", text: "close it", run: commandOn("force-close"), inDrawer: true },
  { key: "d", text: "disable it", run: commandOn("disable"), inDrawer: true },
  { key: "r", text: "reset it", run: commandOn("reset"), inDrawer: true },
  { key: "1", text: "to the services", run: () => jump("services") },
  { key: "2", text: "to the timeline", run: () => jump("timeline") },
  { key: "3", text: "to the events", run: () => jump("events") },
  { key: "t", text: "light, dark, as the system", run: nextTheme, inDrawer: true },
  { key: "Esc", text: "close what is open; empty the search", named: true },
];

const keysOn = () => kept.get("keys") !== "off";

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  if (event.key === "Escape" && document.activeElement === byId("filter")) {
    byId("filter").value = "";
    byId("filter").dispatchEvent(new Event("input"));
    return;
  }
  if (!keysOn() || event.target.closest("input, select, textarea, [contenteditable]")) return;
  const open = [...document.querySelectorAll("dialog[open]")];
  const found = KEYS.find((one) => one.key === event.key && one.run);
  if (!found || open.some((dialog) => dialog.id !== "detail" || !found.inDrawer)) return;
  event.preventDefault();
  found.run();
}

byId("key-list").append(...KEYS.map(({ key, text }) => element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, text))));
byId("keys-on").checked = keysOn();
byId("keys-on").addEventListener("change", () => kept.set("keys", byId("keys-on").checked ? "on" : "off"));
byId("help").addEventListener("click", () => byId("help-dialog").showModal());
addEventListener("keydown", onKey);

start();
