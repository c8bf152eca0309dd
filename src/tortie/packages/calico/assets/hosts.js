// One row for each agent: its mark, its steps with times, what its gate found, and on demand what changes there.
import { badge, el, keyed, put } from "../static/parts.js";
import { KINDS } from "./words.js";

const MARKS = { failed: "failed", stuck: "out of service", rolling: "at work", undone: "as before" };

export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 0.1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

// The columns: every step that some agent has, in the order of the steps; gives their names.
export function heads(place, hosts) {
  const longest = hosts.reduce((most, host) => (host.steps.length > most.length ? host.steps : most), []);
  const all = new Map(longest.map((step) => [step.name, step.title]));
  for (const host of hosts) for (const step of host.steps) if (!all.has(step.name)) all.set(step.name, step.title);
  const gate = all.get("gate");
  if (gate) {
    all.delete("gate");
    all.set("gate", gate);
  }
  const names = [...all.keys()];
  const first = hosts.some((host) => host.kind === "station") ? "Host" : "Agent";
  const key = [first, ...names].join();
  if (place.dataset.steps !== key) {
    place.dataset.steps = key;
    place.style.setProperty("--steps", Math.max(0, names.length - 1));
    place.firstElementChild.dataset.key = "";
    place.firstElementChild.replaceChildren(...[first, "", ...all.values(), "In all"].map((text) => el("span", {}, text)));
  }
  return names;
}

export function makeHost(host) {
  const id = `of-${host.name}`;
  return el("article", { "aria-label": host.name },
    el("h3", {}, el("button", { type: "button", class: "plain", "aria-expanded": "false", "aria-controls": id, title: "What changes there" }, host.name),
      host.kind === "station" && host.name !== "master" ? el("span", { class: "soft small" }, " master") : null),
    el("span", { class: "mark" }), el("ol", { class: "steps", role: "list" }), el("span", { class: "all number soft small" }),
    el("p", { class: "why" }), el("div", { class: "details", id }));
}

export function drawHost(node, host, doing) {
  // Most of fifty agents are as they were at the last change.
  const key = JSON.stringify(host) + doing.steps.join();
  if (node[DRAWN] === key) return;
  node[DRAWN] = key;
  node.dataset.mark = host.mark;
  const word = host.steps.length ? (MARKS[host.mark] ?? host.mark) : "nothing to do";
  const mark = node.querySelector(".mark");
  if (mark.textContent !== word) mark.replaceChildren(badge(KINDS[host.mark] ?? (host.mark === "rolling" ? "wait" : ""), word));
  put(node.querySelector(".why"), host.reason ? `${host.reason}${host.mark === "failed" ? ". It is as it was before." : ""}` : "");
  keyed(node.querySelector(".steps"), host.steps, (step) => step.name, makeStep, (item, step) => drawStep(item, step, host, doing));
  const ended = host.steps.every((step) => step.until !== null) && host.steps.length;
  const begun = Math.min(...host.steps.map((step) => step.since ?? Infinity));
  put(node.querySelector(".all"), ended ? span(Math.max(...host.steps.map((step) => step.until)) - begun) : "");
  drawDetails(node, host);
}

const DRAWN = Symbol("drawn");

function makeStep(step) {
  return el("li", {}, el("span", { class: "title" }, step.title), el("span", { class: "word" }, el("span", {})), el("span", { class: "time soft number" }));
}

function drawStep(node, step, host, doing) {
  node.style.setProperty("--at", doing.steps.indexOf(step.name) + 3);
  const failed = host.failed === step.name && step.progress !== "done";
  node.dataset.progress = failed && !["running", "undoing"].includes(step.progress) ? "failed" : step.progress;
  const gate = step.name === "gate" && step.progress === "done";
  const back = step.progress === "undone" && (failed ? "failed" : step.name === "gate" && "as before");
  const word = gate ? step.note || "passed" : back || step.progress;
  const place = node.querySelector(".word");
  put(place.firstElementChild, word);
  place.firstElementChild.className = gate ? "" : "plain"; // where there is a tick and a time, "done" is for who hears
  place.title = gate ? word : "";
  const time = node.querySelector(".time");
  if (step.since === null) {
    delete time.dataset.since;
    put(time, "");
  } else if (step.until === null) time.dataset.since = step.since;
  else {
    delete time.dataset.since;
    put(time, span(step.until - step.since));
  }
}

// Only of rows that are open.
export function drawDetails(node, host) {
  const place = node.querySelector(".details");
  if (!node.hasAttribute("data-open")) return place.replaceChildren();
  const at = (unix) => (unix ? new Date(unix * 1000).toLocaleTimeString([], { hour12: false }) : "");
  const rows = host.steps.map((step) =>
    el("tr", {}, el("th", { scope: "row" }, step.title),
      el("td", {}, [...step.changes, step.note, step.error].filter(Boolean).map((text) => el("div", {}, text))),
      el("td", { class: "number" }, step.tries > 1 ? `${step.tries} tries` : ""),
      el("td", { class: "number" }, at(step.since)), el("td", { class: "number" }, at(step.until))));
  const names = [["Step"], ["What it does there"], [""], ["From", "number"], ["To", "number"]];
  return place.replaceChildren(el("div", { class: "scroll" }, el("table", { class: "small" },
    el("thead", {}, el("tr", {}, names.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))), el("tbody", {}, rows))));
}
