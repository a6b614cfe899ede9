// Small pictures of the last five minutes: requests as bars, latency as lines. The points
// are the gateway's (GET /api/v1/series), so a page just opened shows them too.
"use strict";

const CHART_POINTS = 75;
const UNIT = 4; // of width, a point
const WIDE = CHART_POINTS * UNIT;

function chartFrame(kind, height, paths) {
  const svg = drawing("svg", { class: "chart " + kind, viewBox: `0 0 ${WIDE} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": "nothing yet" });
  const layers = {};
  for (const name of paths) {
    layers[name] = drawing("path", { class: name, "vector-effect": "non-scaling-stroke" });
    svg.append(layers[name]);
  }
  return { svg, layers, height };
}

// Where the first of `count` points stands: the newest is at the right end.
const startOf = (count) => (CHART_POINTS - count) * UNIT;
const most = (values) => values.reduce((top, value) => (value > top ? value : top), 0);

// ---- requests: the service's own answers, fallbacks, errors ------------------------------

const makeTraffic = (height) => chartFrame("traffic", height, ["upstream", "fallback", "errors"]);

function updateTraffic(chart, series, seconds) {
  const { requests, fallback, server_errors: errors } = series;
  const peak = most(requests);
  const top = Math.max(peak, 1);
  const paths = { upstream: "", fallback: "", errors: "" };
  const first = startOf(requests.length);
  requests.forEach((total, i) => {
    let base = chart.height;
    const bar = (name, value) => {
      const tall = Math.min(base, (value / top) * (chart.height - 1));
      if (tall <= 0) return;
      paths[name] += `M${first + i * UNIT} ${base.toFixed(1)}v${(-tall).toFixed(1)}h${UNIT - 1}v${tall.toFixed(1)}z`;
      base -= tall;
    };
    const failed = Math.min(errors[i] || 0, total || 0);
    const stoodIn = Math.min(fallback[i] || 0, (total || 0) - failed);
    bar("upstream", (total || 0) - failed - stoodIn);
    bar("fallback", stoodIn);
    bar("errors", failed);
  });
  for (const [name, path] of Object.entries(paths)) setAttribute(chart.layers[name], "d", path);
  setAttribute(chart.svg, "aria-label", `Requests of the last five minutes: at most ${rate(peak / seconds)} a second`);
  return peak / seconds;
}

// ---- latency: the median, and the 95th of a hundred -----------------------------------------

const makeLatency = (height) => chartFrame("latency", height, ["p95", "p50"]);

// A line broken where there were no requests. A lone point is a short stroke.
function linePath(values, height, top) {
  const first = startOf(values.length) + UNIT / 2;
  let path = "";
  let open = false;
  values.forEach((value, i) => {
    if (value === null) {
      open = false;
      return;
    }
    const y = (height - 1 - (value / top) * (height - 3)).toFixed(1);
    path += open ? `L${first + i * UNIT} ${y}` : `M${first + i * UNIT - 1} ${y}h1`;
    open = true;
  });
  return path;
}

function updateLatency(chart, series) {
  const peak = most(series.p95_ms);
  const top = Math.max(peak, 0.01);
  for (const [name, values] of [["p50", series.p50_ms], ["p95", series.p95_ms]]) {
    setAttribute(chart.layers[name], "d", linePath(values, chart.height, top));
  }
  setAttribute(chart.svg, "aria-label", peak ? `Latency of the last five minutes: 95 of a hundred within ${milliseconds(peak)} at the worst` : "Latency: nothing yet");
  return peak;
}

// ---- the points ---------------------------------------------------------------------------------

const MEMBERS = ["requests", "server_errors", "fallback", "p50_ms", "p95_ms"];
const NO_POINTS = Object.fromEntries(MEMBERS.map((member) => [member, []]));

// What is new, behind what is known; or all of it, where that does not follow.
function joinSeries(old, more) {
  if (!old || more.first !== old.last + 1) return more;
  for (const [name, points] of Object.entries(more.services)) {
    const before = old.services[name];
    if (!before) continue;
    for (const member of MEMBERS) points[member] = before[member].concat(points[member]).slice(-CHART_POINTS);
  }
  return more;
}

const seriesOf = (name) => (known.series && known.series.services[name]) || NO_POINTS;
const pointSeconds = () => (known.series ? known.series.interval_seconds : 1);

// The whole gateway's requests, as one series.
function seriesOfAll() {
  const all = { requests: [], server_errors: [], fallback: [] };
  if (!known.series) return all;
  for (const points of Object.values(known.series.services)) {
    for (const member of Object.keys(all)) {
      const shift = CHART_POINTS - points[member].length;
      points[member].forEach((value, i) => {
        all[member][shift + i] = (all[member][shift + i] || 0) + (value || 0);
      });
    }
  }
  for (const member of Object.keys(all)) all[member] = Array.from(all[member], (value) => value || 0);
  return all;
}
