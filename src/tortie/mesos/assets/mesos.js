// The master's page: agents, frameworks and tasks as /state has them, asked for again every two seconds.

import { badge, el, keyed, put } from "../static/parts.js";

const EVERY = 2000;
const KINDS = {
  TASK_RUNNING: "good",
  TASK_FINISHED: "good",
  TASK_STAGING: "wait",
  TASK_STARTING: "wait",
  TASK_KILLING: "wait",
  TASK_FAILED: "bad",
  TASK_LOST: "bad",
  TASK_ERROR: "bad",
  TASK_UNREACHABLE: "bad",
};
const mark = document.querySelector(".live");
let since = null;

const body = (name) => document.querySelector(`#${name} tbody`);
const cells = (count) => () => el("tr", {}, ...Array.from({ length: count }, () => el("td")));

function show(row, values) {
  values.forEach((value, index) => {
    const cell = row.children[index];
    if (value instanceof Node) {
      if (cell.textContent !== value.textContent) cell.replaceChildren(value);
    } else put(cell, String(value));
  });
}

function part(used, whole) {
  return `${+used.toFixed(2)} of ${+whole.toFixed(2)}`;
}

function addresses(task) {
  const running = task.statuses.filter((status) => status.state === "TASK_RUNNING").pop();
  const networks = running?.container_status?.network_infos ?? [];
  return networks.flatMap((network) => network.ip_addresses ?? []).map((a) => a.ip_address).join(", ");
}

function state(name) {
  return badge(KINDS[name] ?? "", name.replace("TASK_", "").toLowerCase());
}

function draw(found) {
  const hosts = new Map(found.slaves.map((agent) => [agent.id, agent.hostname]));
  const tasks = found.frameworks.flatMap((f) => [...f.tasks, ...f.unreachable_tasks].map((t) => ({ ...t, of: f.name })));
  const done = found.frameworks.flatMap((f) => f.completed_tasks.map((t) => ({ ...t, of: f.name }))).slice(-50).reverse();
  const count = (id) => tasks.filter((task) => task.slave_id === id).length;
  keyed(body("agents"), found.slaves, (a) => a.id, cells(5), (row, a) => show(row, [
    a.hostname,
    badge(a.active ? "good" : "bad", a.active ? "connected" : "away"),
    count(a.id),
    part(a.used_resources.cpus, a.resources.cpus),
    part(a.used_resources.mem, a.resources.mem),
  ]));
  keyed(body("frameworks"), found.frameworks, (f) => f.id, cells(4), (row, f) => show(row, [
    f.name,
    badge(f.connected ? "good" : "bad", f.connected ? "connected" : "away"),
    f.tasks.length,
    f.roles?.join(", ") ?? f.role,
  ]));
  for (const [name, list] of [["tasks", tasks], ["completed", done]]) {
    keyed(body(name), list, (t) => `${t.framework_id} ${t.id}`, cells(5), (row, t) => show(row, [
      t.id,
      state(t.state),
      addresses(t),
      hosts.get(t.slave_id) ?? "an agent that is gone",
      t.of,
    ]));
  }
  for (const section of document.querySelectorAll("section.card")) {
    const empty = !section.querySelector("tbody").children.length;
    section.querySelector(".empty").hidden = !empty;
    section.querySelector("table").hidden = empty;
  }
  put(document.querySelector("#about"), `${found.pid}, ${found.id}`);
}

async function round() {
  try {
    const reply = await fetch("state", { cache: "no-store" });
    if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
    draw(await reply.json());
    since = null;
    mark.dataset.state = "live";
    put(mark, "live");
  } catch {
    since ??= new Date();
    mark.dataset.state = "stale";
    put(mark, `stale since ${since.toLocaleTimeString()}`);
  }
  setTimeout(round, EVERY);
}

round();
