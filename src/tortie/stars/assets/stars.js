// The Stars page: one state from the collector drives picture, matrix, details and time line.

import { clock, live } from "../static/live.js";
import { ago, el, keyed, keys, note, put, svg, tick, when } from "../static/parts.js";
import { above, curve, places } from "./layout.js";

const $ = (selector) => document.querySelector(selector);
const TICK = "M-5 0.5 L-1.5 4 L5 -4";
const CROSS = "M-4 -4 L4 4 M4 -4 L-4 4";
const QUESTION = "M-3.5 -2.5 a3.5 3.5 0 1 1 3.5 3.5 v1.5 M0 6 v0.1";
const WORDS = {
  timeout: "no answer",
  refused: "refused",
  dns: "name unknown",
  unreachable: "no route",
  reset: "cut off",
  protocol: "not HTTP",
};
const WHY = {
  timeout: "Packets are dropped on the way. A policy that does not allow this connection looks exactly like this.",
  refused: "The packets arrive, but nothing listens on this port.",
  dns: "The name has no address: the task may not be running, or the resolver cannot be reached.",
  unreachable: "A host on the way says that it has no route.",
  reset: "The connection was opened and cut off before an answer.",
  protocol: "Something answers on this port, but not with HTTP.",
};

let state = null; // the last state of the collector
let skew = 0; // seconds its clock is ahead of ours
let gone = null; // since when the stream is lost
let view = read();

function read() {
  const query = new URLSearchParams(location.hash.slice(1));
  return { unreachable: query.get("unreachable") !== "0", markers: query.get("markers") !== "0", edge: query.get("edge") };
}

function write() {
  const query = new URLSearchParams();
  if (!view.unreachable) query.set("unreachable", "0");
  if (!view.markers) query.set("markers", "0");
  if (view.edge) query.set("edge", view.edge);
  const hash = query.toString();
  if (hash !== location.hash.slice(1)) history.pushState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  draw();
}

function now() {
  return Date.now() / 1000 + skew;
}

const keyOf = (edge) => `${edge.from}>${edge.to}`;

// open, shut, or stale when its probe has not measured for three periods
function kind(edge) {
  const source = state.nodes.find((node) => node.id === edge.from);
  const period = Math.max(source?.period ?? state.period, state.period);
  if (edge.at !== null && now() - edge.at > 3 * period + 3) return "stale";
  return edge.reachable ? "open" : "shut";
}

function word(edge) {
  if (kind(edge) === "stale") return "not measured lately";
  return edge.reachable ? "reaches" : `does not reach (${WORDS[edge.error] ?? "no answer"})`;
}

function draw() {
  document.body.classList.toggle("no-markers", !view.markers);
  $("#toggle-unreachable").setAttribute("aria-pressed", view.unreachable);
  $("#toggle-markers").setAttribute("aria-pressed", view.markers);
  if (!state) return;
  const names = new Map(state.nodes.map((node) => [node.id, node.name]));
  const edges = state.edges.filter((edge) => view.unreachable || edge.reachable);
  picture(edges, names);
  words(edges);
  matrix(names);
  details(names);
  changes();
  tick(skew);
}

function picture(edges, names) {
  const { radius, at } = places(state.nodes.map((node) => node.id));
  const graph = $("#graph");
  graph.classList.toggle("dense", state.nodes.length > 8);
  let lines = graph.querySelector(".edges");
  if (!lines) {
    lines = svg("g", { class: "edges" });
    graph.append(lines, svg("g", { class: "nodes" }));
  }
  keyed(lines, edges, keyOf, (edge) => newEdge(keyOf(edge)), (group, edge) => {
    const form = curve(at.get(edge.from), at.get(edge.to), radius);
    const sort = kind(edge);
    const said = `${names.get(edge.from)} ${word(edge)} ${names.get(edge.to)}, port ${edge.port}`;
    group.setAttribute("class", `edge ${sort}`);
    group.setAttribute("aria-label", said);
    group.setAttribute("aria-pressed", view.edge === keyOf(edge));
    Object.assign(group.dataset, { from: edge.from, to: edge.to, reachable: edge.reachable });
    put(group.querySelector("title"), said);
    for (const path of group.querySelectorAll(".near, .line")) path.setAttribute("d", form.path);
    group.querySelector(".line").setAttribute("class", `line ${sort}`);
    group.querySelector(".tip").setAttribute("class", `tip ${sort}`);
    group.querySelector(".tip").setAttribute("transform", form.tip);
    group.querySelector(".sign").setAttribute("transform", form.middle);
    group.querySelector(".sign path").setAttribute("d", { open: TICK, shut: CROSS, stale: QUESTION }[sort]);
    const dot = group.querySelector(".marker");
    dot.style.offsetPath = `path("${form.path}")`;
    dot.style.display = sort === "open" ? "" : "none";
  });
  const up = state.nodes.filter((node) => node.answers);
  keyed(graph.querySelector(".nodes"), up, (node) => node.id, newNode, (group, node) => {
    const place = at.get(node.id);
    group.setAttribute("transform", `translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})`);
    group.querySelector("circle").setAttribute("r", radius);
    put(group.querySelector(".id"), node.id.length > 3 ? "" : node.id); // a longer one stands beside the circle
    group.querySelector(".id").style.fontSize = `${(radius * (node.id.length > 1 ? 0.62 : 0.9)).toFixed(0)}px`;
    const name = node.name === node.id && node.id.length <= 3 ? "" : node.name;
    put(group.querySelector(".name"), name);
    const up = above(place);
    group.querySelector(".name").setAttribute("y", up ? -radius - 28 : radius + 22);
    group.querySelector(".age").setAttribute("y", up ? -radius - 10 : radius + (name ? 40 : 20));
    group.querySelector(".age").dataset.unix = node.at;
  });
  ages();
}

function newEdge(key) {
  const choose = () => select(view.edge === key ? null : key);
  const press = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  };
  return svg(
    "g",
    { tabindex: 0, role: "button", onclick: choose, onkeydown: press },
    svg("title"),
    svg("path", { class: "near" }),
    svg("path", { class: "line" }),
    svg("path", { class: "tip", d: "M0 0 L-13 -6.5 L-13 6.5 Z" }),
    svg("circle", { class: "marker", r: 5 }),
    svg("g", { class: "sign" }, svg("circle", { class: "ring", r: 15 }), svg("circle", { class: "disc", r: 11 }), svg("path")),
  );
}

function newNode() {
  return svg(
    "g",
    { class: "node" },
    svg("circle"),
    svg("text", { class: "id" }),
    svg("text", { class: "name" }),
    svg("text", { class: "age" }),
  );
}

function ages() {
  for (const text of document.querySelectorAll(".node .age")) put(text, `answered ${ago(now() - text.dataset.unix)}`);
}

// What the picture says when there is nothing, or not everything, to draw.
function words(edges) {
  const silent = state.nodes.filter((node) => !node.answers);
  const up = state.nodes.length - silent.length;
  const bright = state.edges.filter((edge) => edge.reachable).length;
  const counted = [`${up} of ${state.nodes.length} probes answer`];
  if (up) counted.push(`${bright} of ${state.edges.length} connections open`);
  put($("#summary"), state.nodes.length ? counted.join(", ") : "");
  const place = $("#note");
  const shown = up ? "" : state.nodes.length ? (silent.every((node) => node.asked) ? "silent" : "first") : "none";
  if (place.dataset.shown !== shown) {
    place.dataset.shown = shown;
    place.replaceChildren(...empty(shown));
  }
  const lines = up && silent.length ? [`Without an answer: ${silent.map((node) => node.name).join(", ")}.`] : [];
  if (!up && state.nodes.length) lines.push("No measurements: a row fills when its probe answers the collector.");
  const hidden = state.edges.length - edges.length;
  if (hidden) lines.push(`${hidden} closed ${hidden === 1 ? "connection is" : "connections are"} hidden.`);
  put($("#matrix-note"), lines.join(" "));
}

function empty(shown) {
  const cat = "static/cat.svg";
  const ports = [...new Set(state.nodes.map((node) => portOf(node.url)))].join(", ");
  if (shown === "none")
    return [note("empty", "No probe is known yet.", ["Start star-collect with --resources-file, or POST one to /resources."], cat)];
  if (shown === "first") return [note("loading", "Asking the probes for the first time.", [], cat)];
  if (shown === "silent")
    return [
      note("empty", "No probe has answered yet.", [
        `Is port ${ports} open from management-ui?`,
        "This picture fills by itself as soon as a probe answers.",
      ], cat),
    ];
  return [];
}

function portOf(url) {
  return new URL(url, "http://none").port || "80";
}

function matrix(names) {
  const table = $("#matrix");
  const columns = state.nodes.map((node) => node.id);
  const found = new Map(state.edges.map((edge) => [keyOf(edge), edge]));
  const heads = ["from \\ to", ...columns.map((id) => names.get(id))];
  const head = table.tHead;
  if (head.dataset.of !== heads.join("\n")) {
    head.dataset.of = heads.join("\n");
    head.replaceChildren(el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text))));
    table.tBodies[0].replaceChildren();
  }
  keyed(table.tBodies[0], state.nodes, (node) => node.id, (node) => newRow(node, columns), (row, node) => {
    put(row.querySelector("small"), node.answers ? "" : node.asked ? WORDS[node.error] ?? "no answer" : "not asked yet");
    for (const cell of row.querySelectorAll("td[data-to]")) {
      const edge = found.get(`${node.id}>${cell.dataset.to}`);
      fillCell(cell, edge && (view.unreachable || edge.reachable) ? edge : null);
    }
  });
}

function newRow(node, columns) {
  const cells = columns.map((id) => (id === node.id ? el("td", { class: "none" }, "–") : el("td", { "data-to": id })));
  return el("tr", {}, el("th", { scope: "row" }, node.name, el("small")), cells);
}

function fillCell(cell, edge) {
  const sort = edge ? kind(edge) : "none";
  cell.className = sort;
  if (!edge) {
    put(cell, "·");
    cell.title = "nothing to show: its probe does not answer, does not ask this one, or the closed ones are hidden";
    return;
  }
  let button = cell.querySelector("button");
  if (!button) {
    button = el("button", { type: "button", onclick: () => select(view.edge === keyOf(edge) ? null : keyOf(edge)) });
    cell.replaceChildren(button);
    cell.removeAttribute("title");
  }
  const took = edge.latencyMs === null ? "yes" : `${edge.latencyMs < 10 ? edge.latencyMs.toFixed(1) : edge.latencyMs.toFixed(0)} ms`;
  put(button, { open: `✓ ${took}`, shut: `✗ ${WORDS[edge.error] ?? "no"}`, stale: "? stale" }[sort]);
  button.setAttribute("aria-pressed", view.edge === keyOf(edge));
}

function details(names) {
  const edge = state.edges.find((one) => keyOf(one) === view.edge);
  $("#details").hidden = !edge;
  if (!edge) return;
  put($("#details-title"), `${names.get(edge.from)} → ${names.get(edge.to)}`);
  const rows = [
    ["Port", `${edge.port} (tcp, HTTP)`],
    ["Measured", kind(edge) === "stale" ? "not lately" : edge.reachable ? "✓ reaches" : `✗ ${WORDS[edge.error] ?? "does not reach"}`],
    ["Since", edge.since === null ? "not known to this probe" : when(edge.since)],
    ["Last probe", edge.at === null ? "not known to this probe" : when(edge.at)],
  ];
  if (edge.reachable && edge.latencyMs !== null) rows.push(["First byte after", `${edge.latencyMs.toFixed(1)} ms`]);
  if (edge.detail) rows.push(["The probe says", edge.detail]);
  $("#details dl").replaceChildren(...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  put($("#details-why"), edge.reachable ? "" : (WHY[edge.error] ?? ""));
}

function changes() {
  const latest = state.changes.slice(-60).reverse();
  keyed($("#changes"), latest, (one) => `${one.at}/${one.text}`, (one) =>
    el(
      "li",
      {},
      el("span", { class: "at", title: new Date(one.at * 1000).toLocaleString() }, clock(new Date(one.at * 1000))),
      el("span", { class: one.up ? "up" : "down", "aria-hidden": "true" }, one.up ? "✓" : "✗"),
      el("span", {}, one.text, one.up || !WORDS[one.reason] ? null : el("span", { class: "soft" }, ` (${WORDS[one.reason]})`)),
    ),
  );
  put($("#changes-note"), latest.length ? "" : "Nothing has changed since the collector started.");
}

function select(key) {
  view.edge = key;
  write();
}

function toggle(name) {
  view[name] = !view[name];
  write();
}

function failed(title, line) {
  if (state) return;
  $("#note").replaceChildren(note("failed", title, [line], "static/cat.svg"));
  $("#note").dataset.shown = "failed";
}

function take(data) {
  state = data;
  skew = data.now - Date.now() / 1000;
  gone = null;
  draw();
}

$("#toggle-unreachable").addEventListener("click", () => toggle("unreachable"));
$("#toggle-markers").addEventListener("click", () => toggle("markers"));
$("#close-details").addEventListener("click", () => select(null));
$("#show-keys").addEventListener("click", keys({
  u: ["show or hide closed connections", () => toggle("unreachable")],
  m: ["show or hide the moving markers", () => toggle("markers")],
  Escape: ["close the details", () => select(null)],
}));
addEventListener("popstate", () => {
  view = read();
  draw();
});
setInterval(() => {
  if (!state) return;
  ages();
  tick(skew);
  if (gone) draw(); // measurements grow old without anybody telling us
}, 1000);

$("#note").replaceChildren(note("loading", "Asking the collector.", []));
$("#note").dataset.shown = "loading";
draw();
if (new URLSearchParams(location.search).get("example") === "true") {
  const reply = await fetch("v1/state?example=true");
  take(await reply.json());
  put($(".live"), "example");
} else {
  live("v1/events", {
    mark: $(".live"),
    silence: 15,
    events: { state: take },
    lost: (since) => {
      gone = since;
      failed("The collector does not answer.", "This page tries again by itself.");
    },
  });
}

// For checks from outside: what is drawn now.
window.stars = {
  edges: () =>
    [...document.querySelectorAll("#graph .edge")].map((group) => ({
      from: group.dataset.from,
      to: group.dataset.to,
      reachable: group.dataset.reachable === "true",
    })),
  nodes: () => [...document.querySelectorAll("#graph .node")].map((group) => group.dataset.key),
  state: () => state,
};
