// A page in Chromium, driven over stdin and stdout: a line of JSON for each thing to do,
// [what, ...arguments], and a line for what came of it, {value} or {error}. The tests, in
// Python, hold both this and the gateway, and can so break one under the other.
"use strict";

const readline = require("node:readline");
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const [executablePath, deadline] = process.argv.slice(2);
let browser;
let context;
let page;
let complaints = [];
let withheld = null;
let skew = 0;

// What a reader of the page sees there: nothing of what is hidden.
const seen = (selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility({ visibilityProperty: true })).map((node) => node.innerText);

async function open(url, options) {
  if (context) await context.close();
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(Number(deadline));
  page = await context.newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(error.stack || String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  if (withheld) await page.route(withheld, (route) => (route.request().headers().accept === "text/event-stream" ? route.abort() : route.continue()));
  withheld = null;
  if (skew) await page.addInitScript((ms) => { const now = Date.now; Date.now = () => now() + ms; }, skew);
  skew = 0;
  await page.goto(url);
}

// Violations of WCAG 2.2 A and AA and of good practice, with the elements.
async function inspect() {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ` + nodes.map((node) => node.html + "\n    " + node.failureSummary.replace(/\n/g, "\n    ")).join("\n  "));
}

// Asked from here, again and again: the page's own policy forbids it to evaluate text.
async function until(condition) {
  const end = Date.now() + Number(deadline);
  while (!await condition()) {
    if (Date.now() > end) throw new Error("it did not become true");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

const actions = {
  open,
  inspect,
  reload: () => page.reload().then(() => true),
  text: (selector) => page.evaluate(seen, selector),
  run: (script) => page.evaluate(script),
  shows: (selector, text) => until(async () => (await page.evaluate(seen, selector)).some((one) => one.includes(text))),
  until: (script) => until(() => page.evaluate(script)),
  click: (selector) => page.click(selector),
  fill: (selector, text) => page.fill(selector, text),
  check: (selector) => page.check(selector, { force: true }),
  select: (selector, value) => page.selectOption(selector, value),
  press: (key) => page.keyboard.press(key),
  // Streams at such an address do not come through to the next page that is opened.
  withhold: (address) => { withheld = address; },
  // The clock of the next page that is opened is wrong by so much.
  skew: (ms) => { skew = ms; },
  offline: (yes) => context.setOffline(yes),
  media: (options) => page.emulateMedia(options),
  size: (width, height) => page.setViewportSize({ width, height }),
  shot: (path, options) => page.screenshot({ path, ...options }).then(() => true),
  complaints: () => complaints,
};

// Not everything that Playwright does has an end of its own.
function within(work) {
  return Promise.race([work, new Promise((resolve, reject) => setTimeout(() => reject(new Error("it takes too long")), 2 * Number(deadline)).unref())]);
}

async function main() {
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  process.stdout.write("{}\n");
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [what, ...rest] = JSON.parse(line);
    let said;
    try {
      const value = await within(actions[what](...rest));
      said = { value: value === undefined ? null : value };
    } catch (error) {
      said = { error: `${line}: ${error.message}`, shown: page ? await within(page.evaluate(() => document.body.innerText)).catch(() => "") : "" };
    }
    process.stdout.write(JSON.stringify(said) + "\n");
  }
  await browser.close();
}

main();
