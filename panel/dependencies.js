// Who needs whom, as a picture in layers: who calls stands left of whom it calls. The
// same as text is below it, with links; the picture is for the eye and the mouse.
"use strict";

const NODE = { wide: 158, tall: 40, across: 46, down: 14 };
const picture = { shape: "" };

// ---- the layout -----------------------------------------------------------------------------

// [{name, needs: [{name, soft}]}] of those that are connected at all.
function connected() {
  const names = new Set();
  for (const service of known.services) {
    for (const need of dependenciesOf(service)) {
      if (!known.byName.has(need.name)) continue;
      names.add(service.name);
      names.add(need.name);
    }
  }
  return known.services.filter((service) => names.has(service.name))
    .map((service) => ({ name: service.name, needs: dependenciesOf(service).filter((need) => known.byName.has(need.name)) }));
}

// How far right: one more than the furthest of those that need it. The configuration has
// no cycles; should there be one, it ends here all the same.
function layersOf(nodes) {
  const layer = new Map(nodes.map((node) => [node.name, 0]));
  for (let round = 0; round < nodes.length; round++) {
    let moved = false;
    for (const node of nodes) {
      for (const need of node.needs) {
        const least = layer.get(node.name) + 1;
        if (layer.get(need.name) < least && least < nodes.length) {
          layer.set(need.name, least);
          moved = true;
        }
      }
    }
    if (!moved) break;
  }
  const layers = [];
  for (const node of nodes) (layers[layer.get(node.name)] ||= []).push(node.name);
  return layers.filter(Boolean);
}

// Few lines cross where each stands near the middle of its neighbours; some sweeps do.
function untangle(layers, nodes) {
  const near = new Map(nodes.map((node) => [node.name, []]));
  for (const node of nodes) {
    for (const need of node.needs) {
      near.get(node.name).push(need.name);
      near.get(need.name).push(node.name);
    }
  }
  for (let sweep = 0; sweep < 6; sweep++) {
    const place = new Map();
    for (const layer of layers) layer.forEach((name, i) => place.set(name, (i + 0.5) / layer.length));
    const middle = (name) => near.get(name).reduce((sum, other) => sum + place.get(other), 0) / near.get(name).length;
    for (const layer of layers) {
      const by = new Map(layer.map((name) => [name, middle(name)]));
      layer.sort((a, b) => by.get(a) - by.get(b));
    }
  }
}

function placed(layers) {
  const most = Math.max(...layers.map((layer) => layer.length));
  const at = new Map();
  layers.forEach((layer, column) => layer.forEach((name, i) => {
    const free = (most - layer.length) / 2;
    at.set(name, { x: 1 + column * (NODE.wide + NODE.across), y: 1 + (free + i) * (NODE.tall + NODE.down) });
  }));
  return { at, wide: layers.length * (NODE.wide + NODE.across) - NODE.across + 2, tall: most * (NODE.tall + NODE.down) - NODE.down + 2 };
}

// ---- drawing ------------------------------------------------------------------------------------

function drawNode(name, { x, y }) {
  const label = drawing("text", { x: 34, y: 17, class: "name" }, short(name));
  const state = drawing("text", { x: 34, y: 32, class: "word" });
  const use = drawing("use", { href: "#s-none", x: 11, y: 12, width: 16, height: 16 });
  const node = drawing("g", { class: "node", transform: `translate(${x} ${y})` },
    drawing("rect", { width: NODE.wide, height: NODE.tall, rx: 8 }), use, label, state, drawing("title", {}, name));
  node.addEventListener("click", () => openDetail(name));
  return { node, use, state };
}

const short = (name) => (name.length > 17 ? name.slice(0, 16) + "…" : name);

function drawEdge(from, to, soft) {
  const x1 = from.x + NODE.wide;
  const y1 = from.y + NODE.tall / 2;
  const y2 = to.y + NODE.tall / 2;
  const bend = (to.x - x1) / 2;
  const path = drawing("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${to.x - bend} ${y2} ${to.x - 5} ${y2}` });
  path.dataset.soft = String(soft);
  const head = drawing("path", { class: "edge-head", d: `M${to.x - 6} ${y2 - 4}l6 4-6 4z` });
  return drawing("g", { class: "edge-group" }, path, head);
}

function build(nodes) {
  const layers = layersOf(nodes);
  untangle(layers, nodes);
  const { at, wide, tall } = placed(layers);
  picture.nodes = new Map();
  picture.edges = [];
  const svg = drawing("svg", { width: wide, height: tall, viewBox: `0 0 ${wide} ${tall}`, "aria-hidden": "true" });
  for (const node of nodes) {
    for (const need of node.needs) {
      const edge = drawEdge(at.get(node.name), at.get(need.name), need.soft);
      picture.edges.push({ edge, to: need.name });
      svg.append(edge);
    }
  }
  for (const node of nodes) {
    const drawn = drawNode(node.name, at.get(node.name));
    picture.nodes.set(node.name, drawn);
    svg.append(drawn.node);
  }
  byId("dependency-picture").replaceChildren(svg);
}

function looks(name) {
  const service = known.byName.get(name);
  const condition = judged(service, known.health);
  const state = stateOf(service.breaker.state);
  return condition.level === "good" && state.level !== "good" ? { ...state, word: state.word.toLowerCase() } : condition;
}

function updateDependencies() {
  const nodes = connected();
  byId("dependencies").hidden = byId("nav-dependencies").hidden = !nodes.length;
  if (!nodes.length) return;
  const shape = JSON.stringify(nodes);
  if (shape !== picture.shape) {
    picture.shape = shape;
    build(nodes);
  }
  for (const [name, drawn] of picture.nodes) {
    const look = looks(name);
    setData(drawn.node, "level", look.level);
    setAttribute(drawn.use, "href", "#s-" + look.symbol);
    setText(drawn.state, look.word);
  }
  for (const { edge, to } of picture.edges) setData(edge, "level", looks(to).level === "good" ? "" : looks(to).level);
  updateDependencyText(nodes);
}

function updateDependencyText(nodes) {
  const lines = nodes.flatMap((node) => node.needs.map((need) => ({ from: node.name, ...need })));
  updateList(byId("dependency-text"), lines, (line) => line.from + "\n" + line.name, (line) => {
    const word = element("span");
    const to = element("a", { href: serviceAddress(line.name) }, line.name);
    const from = element("a", { href: serviceAddress(line.from) }, line.from);
    return { word, node: element("li", {}, from, line.soft ? " can do without " : " needs ", to, word) };
  }, (row, line) => setText(row.word, ", which is " + looks(line.name).word));
}
