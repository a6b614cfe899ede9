// Small things that every other file uses. What the gateway says is only ever put in
// as text, never as markup. These files are classic scripts of one page: what one
// declares at its top, those after it can use.
"use strict";

const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// The page is touched only where something is new: a screen reader then reads only that,
// a selection stays, and nothing is laid out again for nothing.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, key, value) {
  if (node.dataset[key] !== value) node.dataset[key] = value;
}

function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function symbol(name) {
  return drawing("svg", { class: "symbol", "aria-hidden": "true" }, drawing("use", { href: "#s-" + name }));
}

function setSymbol(svg, name) {
  setAttribute(svg.firstElementChild, "href", "#s-" + name);
}

function button(text, attributes, onClick) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", onClick);
  return made;
}

// Where a service's drawer is: an address that can be sent to somebody.
const serviceAddress = (name) => location.origin + location.pathname + "#service/" + encodeURIComponent(name);

// Makes the children of `parent` those of `items`, in their order, each made once a key
// and updated after that. Returns nothing; what it keeps is on the parent.
function updateList(parent, items, keyOf, make, update) {
  const old = parent.made || new Map();
  const made = new Map();
  items.forEach((item, i) => {
    const key = keyOf(item);
    const row = old.get(key) || make(item);
    made.set(key, row);
    if (parent.children[i] !== row.node) parent.insertBefore(row.node, parent.children[i] || null);
    update(row, item);
  });
  for (const [key, row] of old) {
    if (!made.has(key)) row.node.remove();
  }
  parent.made = made;
}

// One of several, as a row of buttons: [{value, text}]. Tells when another is chosen.
function chooser(parent, choices, value, onChoice) {
  const buttons = choices.map((choice) => {
    const one = button(choice.text, { class: "chip", "aria-pressed": String(choice.value === value) }, () => {
      for (const other of buttons) setAttribute(other, "aria-pressed", String(other === one));
      onChoice(choice.value);
    });
    return one;
  });
  parent.replaceChildren(...buttons);
}

// A name and a value, in a <dl>.
function fact(list, label, title) {
  const value = element("dd");
  const box = element("div", { title }, element("dt", {}, label), value);
  list.append(box);
  return { box, value };
}

const announced = { words: [], timer: 0 };

// For those who listen. What comes within a moment is said together, and not too much.
function announce(text) {
  announced.words.push(text);
  if (announced.timer) return;
  announced.timer = setTimeout(() => {
    const { words } = announced;
    announced.words = [];
    announced.timer = 0;
    const more = words.length > 5 ? ", and " + (words.length - 5) + " more changes" : "";
    setText(byId("announcer"), words.slice(0, 5).join(". ") + more);
  }, 300);
}

// What this browser keeps: nothing, where it may keep nothing.
const kept = {
  get(key, where = localStorage) {
    try {
      return where.getItem("switchgear-" + key);
    } catch (error) {
      return null;
    }
  },
  set(key, value, where = localStorage) {
    try {
      where.setItem("switchgear-" + key, value);
    } catch (error) {
      // Then it is asked for again.
    }
  },
};

// What the page knows now; live.js fills it, everybody reads it.
const known = { health: null, services: [], byName: new Map(), drills: null, series: null, events: [] };
