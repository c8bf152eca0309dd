// The front page: what the cluster consists of and how it fares, live.
import { live } from "../static/live.js";
import { badge, el, keyed, put } from "../static/parts.js";

const WORDS = { good: "well", wait: "waiting", bad: "failing", off: "off" };
const UNKNOWN = {
  services: "Not known: Marathon does not answer.",
  frameworks: "Not known: no master answers.",
  agents: "Not known: no master answers.",
};
const NONE = {
  parts: "The door knows no part.",
  services: "No app runs on Marathon.",
  frameworks: "No framework is registered.",
  agents: "No agent has registered.",
};

function make() {
  return el("li", {}, el("span", { class: "name" }), el("span", { class: "mark" }), el("span", { class: "text" }));
}

function update(node, line) {
  const [name, mark, text] = node.children;
  const link = name.querySelector("a");
  if (line.link && (!link || link.getAttribute("href") !== line.link || link.textContent !== line.name)) {
    name.replaceChildren(el("a", { href: line.link }, line.name));
  } else if (!line.link) put(name, line.name);
  if (mark.dataset.state !== line.state) {
    mark.dataset.state = line.state;
    mark.replaceChildren(badge(line.state === "off" ? "" : line.state, WORDS[line.state]));
  }
  put(text, line.text);
}

function draw(board) {
  for (const part of Object.keys(NONE)) {
    const place = document.getElementById(part);
    const lines = board[part] ?? [];
    place.querySelector(".none")?.remove();
    keyed(place, lines, (line) => `${line.name} ${line.link}`, make, update);
    if (!lines.length) place.append(el("li", { class: "none" }, (board[part] ? NONE : UNKNOWN)[part]));
  }
  keyed(document.getElementById("links"), board.links, (line) => line.name, () => el("li"), leads);
  put(document.getElementById("deployments"), board.deployments ? `${board.deployments} deploying` : "");
  rollout(board.rollout);
  put(document.getElementById("sum"), sum(board));
  document.getElementById("board").removeAttribute("aria-busy");
}

function rollout(line) {
  const place = document.getElementById("rollout");
  place.hidden = !line;
  if (!line) return;
  const mark = place.querySelector(".mark");
  if (mark.textContent !== line.name) mark.replaceChildren(badge(line.state, line.name));
  place.querySelector("a").href = line.link;
  put(place.querySelector(".text"), line.text);
}

function sum(board) {
  const all = Object.keys(NONE).flatMap((part) => board[part] ?? []);
  for (const state of ["bad", "wait"]) {
    const names = all.filter((line) => line.state === state).map((line) => line.name);
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    if (names.length) return `${names.slice(0, 3).join(", ")}${more}: ${WORDS[state]}`;
  }
  if (board.rollout?.name === "rolling") return "The network is being rolled out";
  if (board.rollout?.name === "undoing") return "The rollout of the network is being undone";
  if (board.rollout) return `The rollout of the network is ${board.rollout.name}`;
  return "All is well";
}

// A page that does not answer yet is named, but is no link.
function leads(node, line) {
  const link = node.querySelector("a");
  if (line.link) {
    // `:PORT/...` is another port of the host by which this page was reached.
    const href = line.link.startsWith(":") ? `http://${location.hostname}${line.link}` : line.link;
    if (link?.getAttribute("href") !== href) node.replaceChildren(el("a", { class: "button", href }, line.name));
  } else if (link || !node.firstChild) {
    node.replaceChildren(el("span", { class: "button absent" }, line.name, el("span", { class: "soft small" }, " no answer yet")));
  }
  if (!line.link) node.firstChild.title = line.text;
}

document.getElementById("logout")?.addEventListener("click", async () => {
  await fetch("acs/api/v1/auth/logout", { method: "POST" });
  location.assign("login");
});

live("door/events", { events: { board: draw }, mark: document.querySelector(".live"), silence: 30 });
