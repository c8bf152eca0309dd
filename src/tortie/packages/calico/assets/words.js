// What the page says about a rollout.

export const KINDS = {
  done: "good", undone: "good", rolling: "wait", running: "wait", undoing: "wait", aborting: "wait", paused: "wait",
  stopped: "bad", failed: "bad", stuck: "bad",
};

export const ORDERS = {
  pause: "Pause", resume: "Resume", retry: "Retry", undo: "Undo everything", abort: "Abort", begin: "Begin anew",
};

// What an order would do, for who decides about it.
export const HELP = {
  pause: () => "The host at work goes on to its gate; no other one begins.",
  resume: () => "The next host begins.",
  retry: (board) => `Mend the reason first. ${failing(board) || "The host"} is tried again, then the rest.`,
  undo: () => "Every host is brought back to how it was before, the latest first. Where no node was before, none is left: containers on this network lose it there.",
  abort: () => "What is half done is undone; hosts that are done stay so, the others stay as they are. The rollout is over then.",
  begin: () => "The hosts are looked at again, and what they lack is rolled out.",
};

export function headline(board) {
  return board.leaving && board.state !== "removed" ? "The rollout, which is being uninstalled" : "The rollout";
}

function failing(board) {
  return board.hosts.find((host) => ["failed", "stuck"].includes(host.mark))?.name;
}

function act({ step, title, undo }) {
  if (step === "gate") return undo ? "looking whether it works as before" : "at its gate";
  return undo ? `undoing ${title}` : title;
}

const LOOKS = {
  done: "Each host passed its gate. Looking whether any of them lacks something by now.",
  none: "Looking at what each host lacks.",
  undone: "Looking at what each host lacks.",
  aborted: "Looking at what each host lacks.",
};

// One sentence: what is being done, or why nothing is.
export function sentence(board) {
  if (board.now.length) return board.now.map((one) => `${one.host}: ${act(one)}`).join("; ");
  const failed = failing(board);
  if (board.looking && LOOKS[board.state]) return LOOKS[board.state];
  return {
    paused: "No host is at work; none begins before Resume.",
    stopped: failed ? `${failed} is ${board.hosts.find((host) => host.name === failed).mark === "stuck" ? "out of service" : "as it was before"}; no other host is touched.` : "Nothing goes on before an order.",
    done: "Each host passed its gate. New agents and new members of the store are rolled out by themselves.",
    undone: "Each host is as it was. Nothing begins before Begin anew.",
    aborted: "What was done stays. Nothing begins before Begin anew.",
    removed: "Every host is as it was; the package can go.",
    none: "It begins by itself once agents and the store are there.",
  }[board.state] ?? "";
}

