// Small parts that pages share. Text goes in as text, never as markup.

// el("td", { class: "number", onclick: act }, "text", node, ...)
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// kind: good, bad, wait, or none for neutral
export function badge(kind, text) {
  return el("span", { class: "badge", "data-kind": kind }, text);
}

// Keeps the children of `parent` in step with `items`: nodes of the same key stay, so focus and scroll stay too.
// make(item) -> node; update(node, item) afterwards and at every later round.
export function keyed(parent, items, key, make, update = () => {}) {
  const have = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = have.get(name);
    if (node) have.delete(name);
    else {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of have.values()) node.remove();
}

// Writes only what differs, so that a screen reader and the selection are left alone.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  const s = Math.max(0, seconds);
  if (s < 1.5) return "now";
  if (s < 90) return `${Math.round(s)} s ago`;
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 172800) return `${Math.round(s / 3600)} h ago`;
  return `${Math.round(s / 86400)} days ago`;
}

// A <time> whose text is relative and whose title is absolute; call `tick()` now and then to renew all of them.
export function when(unix) {
  const node = el("time", { "data-unix": unix });
  return renew(node, Date.now() / 1000);
}

function renew(node, now) {
  const unix = Number(node.dataset.unix);
  const date = new Date(unix * 1000);
  node.dateTime = date.toISOString();
  node.title = date.toLocaleString();
  put(node, ago(now - unix));
  return node;
}

// `skew`: seconds that the server's clock is ahead of ours
export function tick(skew = 0) {
  const now = Date.now() / 1000 + skew;
  for (const node of document.querySelectorAll("time[data-unix]")) renew(node, now);
}

export function toast(text, kind = "") {
  let place = document.querySelector(".toasts");
  if (!place) {
    place = el("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(place);
  }
  const node = el("div", { class: "toast", "data-kind": kind }, text);
  place.append(node);
  setTimeout(() => node.remove(), 6000);
}

// What a place shows when it has nothing to show. kind: empty, loading, failed. `cat`: address of the picture, or null.
export function note(kind, title, lines = [], cat = null) {
  return el(
    "div",
    { class: "note", "data-kind": kind },
    cat ? el("img", { src: cat, alt: "" }) : null,
    el("strong", {}, title),
    lines.map((line) => el("p", {}, line)),
  );
}

// keys({ u: ["hide or show what is closed", act] }): single keys outside of fields, and ? for the list of them.
export function keys(table) {
  const dialog = el("dialog", { "aria-labelledby": "keys-title" });
  const list = el("dl", { class: "keys" });
  for (const [key, [text]] of Object.entries({ ...table, "?": ["show these keys"] })) {
    list.append(el("dt", {}, el("kbd", {}, key)), el("dd", {}, text));
  }
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  dialog.append(el("h2", { id: "keys-title" }, "Keys"), list, close);
  document.body.append(dialog);
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.key === "?") dialog.showModal();
    else if (Object.hasOwn(table, event.key)) table[event.key][1](event);
    else return;
    event.preventDefault();
  });
  return () => dialog.showModal();
}
