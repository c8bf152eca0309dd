// The rollout live: what happens now, agents with their steps, the gate's words, why it stopped, and the orders that
// make sense now.
import { clock, live } from "../static/live.js";
import { ago, badge, el, keyed, put, toast } from "../static/parts.js";
import { drawDetails, drawHost, heads, makeHost, span } from "./hosts.js";
import { merged } from "./merge.js";
import { HELP, KINDS, ORDERS, headline, sentence } from "./words.js";

const $ = (selector) => document.querySelector(selector);
let board = null;
let skew = 0; // seconds that the server's clock is ahead of this one
let stale = null; // since when the framework has been silent
let asking = false;
let pressed = false; // a button, and what became of it is not shown yet

const now = () => (stale ? stale.getTime() : Date.now()) / 1000 + skew;

function take(told) {
  skew = told.time - Date.now() / 1000;
  stale = null;
  board = told;
  draw();
}

function change(told) {
  skew = told.time - Date.now() / 1000;
  merged(board, told);
  draw();
}

function draw() {
  put($("#what"), headline(board));
  const word = board.state === "none" ? "nothing begun" : board.state;
  if ($("#state").textContent !== word) $("#state").replaceChildren(badge(KINDS[board.state] ?? "", word));
  put($("#now .doing"), sentence(board));
  put($("#now .then"), board.now.length && board.state === "paused" ? "; then it pauses" : "");
  progress();
  reason();
  $("#note").hidden = !board.note;
  put($("#note"), board.note);
  facts();
  orders();
  $("#agents").hidden = !board.hosts.length;
  const steps = heads($("#hosts"), board.hosts);
  const doing = { steps, now: now() };
  const rows = [...$("#hosts").children].slice(1);
  const same = rows.length === board.hosts.length && board.hosts.every((host, at) => rows[at].dataset.key === host.name);
  if (same) board.hosts.forEach((host, at) => drawHost(rows[at], host, doing));
  else keyed($("#hosts"), [null, ...board.hosts], (host) => host?.name ?? "", makeHost, (node, host) => host && drawHost(node, host, doing));
  times();
}

function progress() {
  const { all, done, failed, of } = board.counts;
  const share = $(".share");
  share.style.visibility = all ? "visible" : "hidden";
  const meter = $(".meter");
  meter.setAttribute("aria-valuemax", all);
  meter.setAttribute("aria-valuenow", done);
  meter.firstElementChild.style.width = `${all ? (100 * done) / all : 0}%`;
  const back = board.goal === "undo" ? "as before" : "done";
  put($("#counts"), `${done} of ${all} ${of} ${back}${failed ? `, ${failed} failed` : ""}`);
}

function reason() {
  const place = $("#reason");
  const text = board.stopped || board.trouble;
  place.hidden = !text;
  const key = JSON.stringify([board.stopped, board.trouble, board.orders]);
  if (place.dataset.said === key) return;
  place.dataset.said = key;
  place.dataset.kind = board.stopped ? "bad" : "wait";
  const helps = board.stopped ? board.orders.map((word) => [ORDERS[word], HELP[word](board)]) : [];
  place.replaceChildren(
    el("strong", {}, board.stopped ? "Why it stopped" : "It waits"),
    el("p", { class: "why" }, text),
    helps.length ? el("dl", {}, helps.flatMap(([name, what]) => [el("dt", {}, name), el("dd", {}, what)])) : "",
  );
}

function facts() {
  const asked = board.asked;
  const rows = [
    ["Last order", asked ? `${ORDERS[asked.word] ?? asked.word}, by ${asked.by || "somebody"}` : "", asked?.at],
    ["Begun", board.begun ? new Date(board.begun * 1000).toLocaleString() : ""],
    [board.ended ? "It took" : "Under way", board.begun ? span((board.ended ?? now()) - board.begun) : ""],
    ["Store", board.store],
    ["Skipped", board.skipped.map((step) => step.title).join(", ")],
    ["Plan", board.plan],
    ["Product", board.artefact.slice(0, 12)],
  ].filter(([, text]) => text);
  keyed($(".facts"), rows, ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd", {})), fact);
}

function fact(node, [name, text, at]) {
  const place = node.lastElementChild;
  put(place, at ? `${text}, ${ago(now() - at)}` : text);
  if (name === "Skipped") place.title = "switched off in the package's options";
  if (name === "Product") place.title = `in /opt/tortie/${board.artefact} on every agent`;
}

// Whoever pressed a button that is gone afterwards stays among the buttons.
function orders() {
  const group = $(".orders");
  const focused = document.activeElement;
  const held = group.contains(focused) || (pressed && focused === document.body);
  keyed(group, board.orders, (word) => word, (word) => el("button", { type: "button", onclick: () => order(word) }, ORDERS[word]));
  for (const button of group.children) button.disabled = asking || stale !== null;
  if (asking) return; // buttons take no focus while they are disabled
  if (held && !group.contains(document.activeElement)) group.firstElementChild?.focus();
  pressed = false;
}

async function order(word) {
  if ((word === "undo" || word === "abort") && !(await sure(word))) return;
  asking = pressed = true;
  try {
    const reply = await fetch(`v1/${word}`, { method: "POST" });
    const said = await reply.json();
    asking = false;
    if (reply.ok) board = said;
    else toast(said.message, "bad");
  } catch (error) {
    toast(`${ORDERS[word]}: ${error.message}`, "bad");
  } finally {
    asking = false;
  }
  draw();
}

function sure(word) {
  const dialog = $("#sure");
  put(dialog.querySelector("h2"), `${ORDERS[word]}?`);
  put(dialog.querySelector("p"), HELP[word](board));
  put(dialog.querySelector(".yes"), ORDERS[word]);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

function gone(since) {
  stale = since;
  const place = $("#gone");
  place.hidden = false;
  place.replaceChildren(
    el("strong", {}, `The framework has been silent since ${clock(since)}`),
    el("p", { class: "why" }, board ? "What is shown is how it was then. Nodes and containers do not need the framework; the rollout goes on from here when it runs again." : "The rollout is shown when it answers."),
    el("p", { class: "why" }, "This page asks again by itself. ", el("code", {}, "dcos marathon app list"), " says whether the framework's app runs."),
  );
  if (board) draw();
}

function back() {
  stale = null;
  $("#gone").hidden = true;
}

function times() {
  const [doing, ...more] = board.now; // of several, each row says its own
  put($("#now .since"), doing?.since && !more.length ? `for ${span(now() - doing.since)}` : "");
  for (const node of document.querySelectorAll("#hosts [data-since]")) {
    put(node, span(now() - Number(node.dataset.since)));
  }
}

setInterval(() => {
  if (!board || stale) return;
  facts();
  times();
}, 1000);
const beat = (told) => (skew = told.time - Date.now() / 1000);
live("v1/events", { events: { rollout: take, change, beat }, mark: $(".live"), silence: 30, lost: gone, opened: back });
document.querySelector("#hosts").addEventListener("click", (event) => {
  const button = event.target.closest("h3 button");
  const row = button?.closest("article");
  if (!row) return;
  const open = row.toggleAttribute("data-open");
  button.setAttribute("aria-expanded", String(open));
  drawDetails(row, board.hosts.find((host) => host.name === row.dataset.key));
});
