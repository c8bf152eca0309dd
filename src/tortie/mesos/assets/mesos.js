// The master's page: agents, frameworks and tasks as /state has them, asked for again every two seconds.

import { badge, el, keyed, put } from "../static/parts.js";

const EVERY = 2000;
const SHOWN = 50;
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
// Where rows become blocks, cells say what they are.
const cells = (name) => () => {
  const heads = [...document.querySelectorAll(`#${name} thead th`)];
  return el("tr", {}, heads.map((head, at) => el("td", { "data-label": at ? head.textContent : null })));
};

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
  const ended = (task) => task.statuses.at(-1)?.timestamp ?? 0;
  const all = found.frameworks.flatMap((f) => f.completed_tasks.map((t) => ({ ...t, of: f.name })));
  const done = all.sort((a, b) => ended(b) - ended(a)).slice(0, SHOWN);
  const agents = [...found.slaves].sort((a, b) => a.hostname.localeCompare(b.hostname, undefined, { numeric: true }));
  const count = (id) => tasks.filter((task) => task.slave_id === id).length;
  keyed(body("agents"), agents, (a) => a.id, cells("agents"), (row, a) => show(row, [
    a.hostname,
    badge(a.active ? "good" : "bad", a.active ? "connected" : "away"),
    count(a.id),
    part(a.used_resources.cpus, a.resources.cpus),
    part(a.used_resources.mem, a.resources.mem),
  ]));
  keyed(body("frameworks"), found.frameworks, (f) => f.id, cells("frameworks"), (row, f) => show(row, [
    f.name,
    badge(f.connected ? "good" : "bad", f.connected ? "connected" : "away"),
    f.tasks.length,
    f.roles?.join(", ") ?? f.role,
  ]));
  for (const [name, list] of [["tasks", tasks], ["completed", done]]) {
    keyed(body(name), list, (t) => `${t.framework_id} ${t.id}`, cells(name), (row, t) => show(row, [
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
  put(document.querySelector("#completed .more"), all.length > SHOWN ? `the last ${SHOWN} of ${all.length}` : "");
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
