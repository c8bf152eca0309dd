// The rollout live: hosts, their steps with times, the gate, why it stopped, and the orders that make sense now.
import { live } from "../static/live.js";
import { badge, el, keyed, put, toast } from "../static/parts.js";

const KINDS = {
  done: "good", undone: "good", rolling: "wait", running: "wait", undoing: "wait", aborting: "wait", paused: "wait",
  stopped: "bad", failed: "bad", stuck: "bad",
};
const ORDERS = {
  pause: ["Pause", ""],
  resume: ["Resume", ""],
  retry: ["Retry", ""],
  begin: ["Begin anew", ""],
  undo: ["Undo everything", "Undo the rollout on every agent, one after the other?"],
  abort: ["Abort", "Undo what is half done, leave what is done, and end the rollout?"],
};
const MARKS = { waiting: "waiting", failed: "failed, as before again", stuck: "out of service" };
const $ = (selector) => document.querySelector(selector);
let board = null;

function draw(now) {
  board = now;
  const hosts = now.hosts;
  const done = hosts.filter((host) => host.mark === (now.goal === "undo" ? "undone" : "done")).length;
  $("#state").replaceChildren(badge(KINDS[now.state] ?? "", now.state === "none" ? "nothing begun" : now.state));
  const reason = now.stopped || now.trouble;
  $("#reason").hidden = !reason;
  put($("#reason"), reason ? (now.stopped ? `Stopped. ${reason}` : reason) : "");
  put($("#counts"), counts(now, done));
  $("#note").hidden = !now.note;
  put($("#note"), now.note);
  const meter = $(".meter");
  meter.hidden = !hosts.length;
  meter.setAttribute("aria-valuemax", hosts.length);
  meter.setAttribute("aria-valuenow", done);
  meter.firstElementChild.style.width = `${hosts.length ? (100 * done) / hosts.length : 0}%`;
  keyed($(".orders"), now.orders, (word) => word, button);
  keyed($("#hosts"), hosts, (host) => host.name, makeHost, drawHost);
}

function counts(now, done) {
  if (!now.hosts.length) return "";
  const out = now.hosts.filter((host) => ["rolling", "undoing"].includes(host.mark));
  const at = out.map((host) => {
    const step = host.steps.find((one) => ["running", "undoing"].includes(one.progress));
    return step ? `${host.name}, ${step.title}` : host.name;
  });
  const failed = now.hosts.filter((host) => ["failed", "stuck"].includes(host.mark)).length;
  return [
    `${done} of ${now.hosts.length} ${now.hosts.some(isMaster) ? "hosts" : "agents"} ${now.goal === "undo" ? "as before" : "done"}`,
    at.length ? `at work: ${at.join("; ")}` : "",
    failed ? `${failed} failed` : "",
    now.leaving ? "the package is being uninstalled" : "",
    now.store ? `store ${now.store}` : "",
    `plan ${now.plan}`,
  ].filter(Boolean).join(" · ");
}

function isMaster(host) {
  return host.kind === "station";
}

function button(word) {
  const [text] = ORDERS[word];
  return el("button", { type: "button", onclick: () => order(word) }, text);
}

async function order(word) {
  const [text, question] = ORDERS[word];
  if (question && !confirm(question)) return;
  try {
    const reply = await fetch(`v1/${word}`, { method: "POST" });
    const said = await reply.json();
    if (reply.ok) draw(said);
    else toast(said.message, "bad");
  } catch (error) {
    toast(`${text}: ${error.message}`, "bad");
  }
}

function makeHost(host) {
  return el("article", { class: "card host", "aria-label": host.name },
    el("header", {}, el("h3", {}, host.name), ...(isMaster(host) ? [el("span", { class: "soft small" }, "master")] : []),
      el("span", { class: "mark" }), el("span", { class: "soft small why" })),
    el("ol", { class: "steps" }));
}

function drawHost(node, host) {
  const word = host.steps.length ? (MARKS[host.mark] ?? host.mark) : "nothing to do";
  const mark = node.querySelector(".mark");
  if (mark.textContent !== word) mark.replaceChildren(badge(KINDS[host.mark] ?? "", word));
  put(node.querySelector(".why"), host.reason);
  keyed(node.querySelector(".steps"), host.steps, (step) => step.name, makeStep, drawStep);
}

function makeStep(step) {
  return el("li", {},
    el("span", { class: "title" }, step.title), el("span", { class: "word" }), " ",
    el("span", { class: "soft small time" }), el("div", { class: "error" }));
}

function drawStep(node, step) {
  node.dataset.progress = step.progress;
  node.title = step.changes.join("\n");
  put(node.querySelector(".word"), step.name === "gate" && step.progress === "done" ? "passed" : step.progress);
  const time = node.querySelector(".time");
  time.dataset.since = step.since ?? "";
  time.dataset.until = step.until ?? "";
  times(time);
  put(node.querySelector(".error"), step.error);
}

function times(node) {
  const since = Number(node.dataset.since);
  if (!since) return put(node, "");
  const until = Number(node.dataset.until) || Date.now() / 1000;
  node.title = new Date(since * 1000).toLocaleString();
  return put(node, length(Math.max(0, until - since)));
}

function length(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

setInterval(() => board && document.querySelectorAll(".steps .time").forEach(times), 1000);
live("v1/events", { events: { rollout: draw }, mark: $(".live"), silence: 30 });
