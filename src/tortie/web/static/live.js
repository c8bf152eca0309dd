// Live updates for every page: server-sent events that resume, a visible mark when the stream is gone, back-off.
//
//   live("v1/events", { events: { state: (data) => draw(data) }, mark: document.querySelector(".live") });
//
// `events` maps event names to functions of (parsed data, event); data that is not JSON is handed over as text.
// `silence`: seconds without any event after which the stream counts as lost (0: only the browser's own signal counts);
// a server whose streams may be quiet sends `beat` events.

const FIRST = 1000;
const LONGEST = 15000;

export function live(url, { events = {}, mark = null, opened = null, lost = null, silence = 0 } = {}) {
  let source = null;
  let wait = FIRST;
  let lastId = "";
  let since = null; // when the data on the page stopped being fresh
  let quiet = 0;
  let retry = 0;
  let closed = false;

  function show(state, text) {
    if (!mark) return;
    mark.dataset.state = state;
    if (mark.textContent !== text) mark.textContent = text;
  }

  function stale() {
    clearTimeout(quiet);
    if (since === null) {
      since = new Date();
      lost?.(since);
    }
    show("stale", `stale since ${clock(since)}`);
  }

  function fresh(event) {
    clearTimeout(quiet);
    if (event?.lastEventId) lastId = event.lastEventId;
    since = null;
    wait = FIRST;
    show("live", "live");
    if (silence) quiet = setTimeout(again, silence * 1000);
  }

  function again() {
    if (closed) return;
    stale();
    source?.close();
    clearTimeout(retry);
    retry = setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST);
  }

  function open() {
    // The browser sends Last-Event-ID only when it reconnects by itself; this is the same for our own reconnects.
    const resume = lastId ? `${url.includes("?") ? "&" : "?"}last-event-id=${encodeURIComponent(lastId)}` : "";
    source = new EventSource(url + resume);
    source.onopen = (event) => {
      fresh(event);
      opened?.();
    };
    source.onerror = again;
    source.onmessage = fresh;
    source.addEventListener("beat", fresh);
    for (const [name, act] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        fresh(event);
        act(parsed(event.data), event);
      });
    }
  }

  show("waiting", "connecting");
  open();
  addEventListener("online", () => since !== null && !closed && again());
  return {
    close() {
      closed = true;
      clearTimeout(quiet);
      clearTimeout(retry);
      source?.close();
    },
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function clock(date) {
  return date.toLocaleTimeString([], { hour12: false });
}
