// Asking the gateway, and the token that it may want.
"use strict";

const TOKEN = "token";

class NeedsToken extends Error {}

// An answer that is no: with its status, and every line of what was wrong.
class Refused extends Error {
  constructor(status, said) {
    const lines = (said.errors || []).map((one) => (typeof one === "string" ? one : one.message || one.detail || JSON.stringify(one)));
    super([said.detail || said.title || "The gateway says " + status, ...lines].join("\n"));
    this.status = status;
  }
}

function request(path, options = {}) {
  const token = kept.get(TOKEN, sessionStorage);
  const headers = token ? { ...options.headers, Authorization: "Bearer " + token } : options.headers;
  return fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
}

async function said(answer) {
  try {
    return await answer.json();
  } catch (error) {
    return {};
  }
}

// What was asked for. /health answers 503 with all it knows when things are bad.
async function read(path) {
  const answer = await request(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(15000) });
  if (answer.status === 401) throw new NeedsToken((await said(answer)).detail);
  if (!answer.ok && !(answer.status === 503 && path === "/health")) throw new Refused(answer.status, await said(answer));
  return answer.json();
}

async function change(method, path, body) {
  const answer = await request(path, {
    method,
    headers: { "Content-Type": method === "PATCH" ? "application/merge-patch+json" : "application/json", Accept: "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const words = await said(answer);
  if (answer.status === 401) throw new NeedsToken(words.detail);
  if (!answer.ok) throw new Refused(answer.status, words);
  return words;
}

// ---- the token ---------------------------------------------------------------------

let tokenAsked = null;

// Resolves to whether one was given. Asked once, however many requests want it.
function askToken(why) {
  if (tokenAsked) return tokenAsked;
  const dialog = byId("token-dialog");
  setText(byId("token-why"), why || "");
  byId("token").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  tokenAsked = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      tokenAsked = null;
      resolve(dialog.returnValue === "given");
    }, { once: true });
  });
  return tokenAsked;
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (token) kept.set(TOKEN, token, sessionStorage);
  byId("token-dialog").close(token ? "given" : "");
});

// As often as a token is given that is not it.
async function withToken(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof NeedsToken) || !(await askToken(error.message))) throw error;
    }
  }
}

const changeWithToken = (method, path, body) => withToken(() => change(method, path, body));
const readWithToken = (path) => withToken(() => read(path));

// ---- one service -------------------------------------------------------------

const servicePath = (name) => "/api/v1/services/" + encodeURIComponent(name);

// One service with its policy, and whether that can be changed.
async function readService(name) {
  const answer = await request(servicePath(name), { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Refused(answer.status, await said(answer));
  return { service: await answer.json(), editable: answer.headers.has("Accept-Patch") };
}
