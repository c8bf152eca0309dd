// The Marathon page: apps, queue and deployments as the API gives them, fetched again when an event says so.

import { live } from "../static/live.js";
import { badge, el, keyed, keys, note, put, tick, when } from "../static/parts.js";

const $ = (selector) => document.querySelector(selector);
const rows = $("tbody");
const EVENTS = [
  "event_stream_attached",
  "status_update_event",
  "health_status_changed_event",
  "group_change_success",
  "deployment_info",
  "deployment_success",
  "deployment_failed",
  "app_terminated_event",
];
const REASONS = {
  UnfulfilledRole: "no resources of an accepted role",
  UnfulfilledConstraint: "its constraints do not allow the agent",
  InsufficientCpus: "not enough CPUs",
  InsufficientMemory: "not enough memory",
  InsufficientDisk: "not enough disk",
  InsufficientPorts: "a port is not free",
};

let apps = null;
let deployments = [];
let queue = new Map();
const open = new Set(view().getAll("open"));

// -- what the page shows has an address --------------------------------------------------------------------------

function view() {
  return new URLSearchParams(location.hash.slice(1));
}

function remember() {
  const now = new URLSearchParams();
  if ($("#search").value) now.set("q", $("#search").value);
  if ($("#state").value) now.set("state", $("#state").value);
  for (const id of open) now.append("open", id);
  history.replaceState(null, "", `#${now}`);
}

function recall() {
  $("#search").value = view().get("q") ?? "";
  $("#state").value = view().get("state") ?? "";
  open.clear();
  for (const id of view().getAll("open")) open.add(id);
  draw();
}

// -- fetching ----------------------------------------------------------------------------------------------------

let asked = 0;
let busy = false;

function soon() {
  if (asked) return;
  asked = setTimeout(fetchAll, 40);
}

async function fetchAll() {
  if (busy) {
    asked = setTimeout(fetchAll, 40);
    return;
  }
  asked = 0;
  busy = true;
  try {
    const paths = ["apps?embed=apps.tasks&embed=apps.lastTaskFailure&embed=apps.readiness", "deployments", "queue"];
    const answers = await Promise.all(paths.map((path) => fetch(`../v2/${path}`).then(answer)));
    apps = answers[0].apps;
    deployments = answers[1];
    queue = new Map(answers[2].queue.map((entry) => [entry.app.id, entry]));
    draw();
  } catch (error) {
    failed(error.message);
  } finally {
    busy = false;
  }
}

async function answer(reply) {
  if (!reply.ok) throw new Error(`Marathon answered ${reply.status}`);
  return reply.json();
}

function failed(text) {
  if (apps === null) $("#empty").replaceChildren(note("failed", "Marathon does not answer", [text]));
}

// -- drawing -----------------------------------------------------------------------------------------------------

export function stateOf(app) {
  if (app.deployments.length) return "deploying";
  const entry = queue.get(app.id);
  if (entry) return entry.delay.overdue ? "waiting" : "delayed";
  return app.instances === 0 && app.tasks.length === 0 ? "suspended" : "running";
}

function why(app) {
  return [launches(app), sickness(app), readiness(app)].filter(Boolean).join("; ");
}

function sickness(app) {
  const failed = app.tasks.map((task) => (task.healthCheckResults ?? []).find((one) => !one.alive)).filter(Boolean);
  const cause = failed.find((one) => one.lastFailureCause)?.lastFailureCause;
  return failed.length ? `${failed.length} of ${many(app.tasks.length, "task")} not healthy${cause ? `: ${cause}` : ""}` : "";
}

function readiness(app) {
  const unready = (app.readinessCheckResults ?? []).filter((one) => !one.ready).length;
  return unready ? `${unready} of ${many(app.tasks.length, "task")} not ready yet` : "";
}

function launches(app) {
  const entry = queue.get(app.id);
  if (!entry) return "";
  if (!entry.delay.overdue) return `tasks failed; next try in ${entry.delay.timeLeftSeconds} s`;
  const refused = entry.processedOffersSummary.rejectSummaryLastOffers.filter((one) => one.declined);
  if (!refused.length) return "waits for an offer of resources";
  return refused.map((one) => `${one.declined} of ${many(one.processed, "agent")}: ${REASONS[one.reason] ?? one.reason}`).join("; ");
}

function addresses(app, task) {
  const ports = app.ipAddress ? app.ipAddress.discovery.ports.map((port) => port.number) : [];
  const own = app.ipAddress || parameter(app, "net");
  if (own) {
    const found = task.ipAddresses.map((one) => one.ipAddress);
    return found.flatMap((ip) => (ports.length ? ports.map((port) => `${ip}:${port}`) : [ip]));
  }
  return task.ports.length ? task.ports.map((port) => `${task.host}:${port}`) : [task.host];
}

// In one line: ports of the same address behind it, and the first few only; the detail has them all.
function few(list) {
  if (!list.length) return "";
  const shown = list.length > 4 ? list.slice(0, 3) : list;
  const host = shown[0].match(/^[^:]+:(?=\d+$)/)?.[0];
  const same = host && shown.every((place) => place.startsWith(host));
  const line = same ? host + shown.map((place) => place.slice(host.length)).join(", ") : shown.join(" ");
  return list.length > shown.length ? `${line} and ${list.length - shown.length} more` : line;
}

function parameter(app, key) {
  return app.container?.docker?.parameters?.find((one) => one.key === key)?.value;
}

function wanted(app) {
  const state = $("#state").value;
  const text = $("#search").value.trim().toLowerCase();
  if (state && stateOf(app) !== state) return false;
  if (!text) return true;
  const labels = Object.entries(app.labels).map(([key, value]) => `${key}=${value}`);
  const places = app.tasks.flatMap((task) => [task.id, task.host, ...addresses(app, task)]);
  return [app.id, ...labels, ...places].some((one) => one.toLowerCase().includes(text));
}

function draw() {
  if (apps === null) return;
  const shown = apps.filter(wanted);
  const items = [];
  let group = null;
  shown.sort((a, b) => compare(parent(a.id), parent(b.id)) || compare(a.id, b.id));
  for (const app of shown) {
    if (parent(app.id) !== group) {
      group = parent(app.id);
      items.push({ kind: "group", key: `group ${group}`, group });
    }
    items.push({ kind: "app", key: app.id, app });
    if (open.has(app.id)) items.push({ kind: "detail", key: `detail ${app.id}`, app });
  }
  keyed(rows, items, (item) => item.key, make, update);
  rows.parentElement.hidden = !shown.length;
  drawEmpty(shown.length);
  drawDeployments();
  const tasks = apps.reduce((sum, app) => sum + app.tasksRunning, 0);
  put($("#sums"), `${shown.length} of ${many(apps.length, "app")}, ${many(tasks, "task")} running`);
  $("#board").setAttribute("aria-busy", "false");
}

function many(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function compare(a, b) {
  return a < b ? -1 : Number(a > b);
}

function parent(id) {
  return id.slice(0, id.lastIndexOf("/")) || "/";
}

function drawEmpty(count) {
  const none = apps.length
    ? note("empty", "No app fits the search", ["Clear the search field or choose another state."])
    : note("empty", "No apps yet", ["Put an app or a group: curl -X PUT -H 'Content-Type: application/json' …/v2/groups/NAME -d @FILE"], "static/cat.svg");
  $("#empty").replaceChildren(...(count ? [] : [none]));
}

function make(item) {
  if (item.kind === "group") return el("tr", { class: "group" }, el("th", { colspan: 7, scope: "rowgroup" }, item.group));
  if (item.kind === "detail") return el("tr", { class: "detail" }, el("td", { colspan: 7 }));
  const toggle = el("button", { class: "plain", type: "button", onclick: () => flip(item.app.id) }, item.app.id.slice(item.app.id.lastIndexOf("/") + 1));
  const inside = [["State", "state"], ["Instances", "counts"], ["Addresses", "lines mono addresses"], ["Hosts", "lines hosts"]];
  const cells = inside.map(([label, name]) => el("td", { "data-label": label }, el("div", { class: name })));
  const numbers = [["CPUs", "cpus"], ["Memory", "mem"]].map(([label, name]) => el("td", { class: `number ${name}`, "data-label": label }));
  return el("tr", { class: "app" }, el("th", { scope: "row" }, toggle), cells, numbers);
}

function flip(id) {
  if (!open.delete(id)) open.add(id);
  remember();
  draw();
}

const TASK = ["Task", "State", "Address", "Host", "Since"];
const KIND = { running: "good", deploying: "wait", waiting: "wait", delayed: "bad", suspended: "" };

function update(node, item) {
  if (item.kind === "group") return;
  if (item.kind === "detail") return detail(node.firstElementChild, item.app);
  const app = item.app;
  const state = stateOf(app);
  const reason = why(app);
  node.querySelector("button").setAttribute("aria-expanded", String(open.has(app.id)));
  changed(node.querySelector(".state"), state + reason, () => [badge(KIND[state], state), reason ? el("div", { class: "why" }, reason) : ""]);
  const counted = `${app.tasksRunning} of ${app.instances}`;
  changed(node.querySelector(".counts"), counted, () => [
    el("span", {}, counted),
    el("progress", { max: Math.max(app.instances, app.tasksRunning, 1), value: app.tasksRunning, "aria-label": `${counted} running` }),
  ]);
  const lines = app.tasks.map((task) => few(addresses(app, task)) || "no address yet");
  changed(node.querySelector(".addresses"), lines.join("\n"), () => lines.map((line) => el("span", {}, line)));
  const hosts = app.tasks.map((task) => task.host);
  changed(node.querySelector(".hosts"), hosts.join("\n"), () => hosts.map((host) => el("span", {}, host)));
  put(node.querySelector(".cpus"), String(Math.round(app.cpus * app.instances * 100) / 100));
  put(node.querySelector(".mem"), `${app.mem * app.instances} MB`);
}

// Draws anew only when what would be drawn has changed.
function changed(node, text, children) {
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...children());
}

function detail(cell, app) {
  const text = JSON.stringify([app.version, app.tasks, app.lastTaskFailure, app.labels]);
  changed(cell, text, () => {
    const failure = app.lastTaskFailure;
    const facts = [
      ["Runs", app.cmd ?? app.args?.join(" ") ?? "the image's own command"],
      ["Image", app.container?.docker?.image],
      ["Network", parameter(app, "net") ?? app.ipAddress?.networkName ?? app.container?.docker?.network],
      ["Labels", Object.entries(app.labels).map(([key, value]) => `${key}=${value}`).join(", ")],
      ["Constraints", app.constraints.map((one) => one.join(" ")).join(", ")],
      ["Last failure", failure ? `${failure.state} on ${failure.host}: ${failure.message || "no message"} (${failure.timestamp})` : ""],
      ["Definition", el("a", { href: `../v2/apps${app.id}` }, app.version)],
    ];
    const list = el("dl", {}, facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    const heads = TASK.map((name) => el("th", { scope: "col" }, name));
    const body = app.tasks.map((task) => el("tr", {},
      el("td", { class: "mono" }, task.id),
      el("td", { "data-label": TASK[1] }, badge(task.state === "TASK_RUNNING" ? "good" : "wait", task.state.replace("TASK_", "").toLowerCase())),
      el("td", { class: "mono", "data-label": TASK[2] }, addresses(app, task).join(" ")),
      el("td", { "data-label": TASK[3] }, task.host),
      el("td", { "data-label": TASK[4] }, when(Date.parse(task.startedAt ?? task.stagedAt) / 1000)),
    ));
    const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, body));
    return [list, app.tasks.length ? table : el("p", { class: "soft" }, "No tasks.")];
  });
}

function drawDeployments() {
  $("#deployments").hidden = !deployments.length;
  keyed($("#deployments .list"), deployments, (one) => one.id, () =>
    el("div", { class: "row" }, el("span", { class: "apps" }), el("progress", { max: 1, value: 0 }), el("span", { class: "soft small what" })),
  (node, one) => {
    put(node.querySelector(".apps"), one.affectedApps.join(", "));
    const bar = node.querySelector("progress");
    bar.max = one.totalSteps;
    bar.value = one.currentStep - 1;
    bar.setAttribute("aria-label", `step ${one.currentStep} of ${one.totalSteps}`);
    const what = [...new Set(one.currentActions.map((action) => action.action.replace("Application", "").toLowerCase()))];
    put(node.querySelector(".what"), `step ${one.currentStep} of ${one.totalSteps}: ${what.join(", ")}`);
  });
}

// -- begin -------------------------------------------------------------------------------------------------------

for (const field of ["#search", "#state"]) {
  $(field).addEventListener("input", () => {
    remember();
    draw();
  });
}
$("form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", recall);
recall();
keys({ "/": ["search", () => $("#search").focus()] });
live("../v2/events?plan-format=light", {
  events: Object.fromEntries(EVENTS.map((name) => [name, soon])),
  mark: $(".live"),
  opened: soon,
});
soon();
// Delays count down without any event.
setInterval(() => {
  tick();
  if (queue.size) soon();
}, 1000);
fetch("../v2/info").then(answer).then((info) => put($("#about"), ` · framework ${info.frameworkId ?? "not registered"}, leader ${info.leader}`)).catch((error) => put($("#about"), ` · ${error.message}`));
