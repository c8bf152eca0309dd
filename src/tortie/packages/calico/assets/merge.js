// What the server sends as a difference, laid over what is known.

export function merged(board, told) {
  const { hosts = [], ...fields } = told;
  Object.assign(board, fields);
  const known = new Map(board.hosts.map((host) => [host.name, host]));
  for (const { name, steps = [], ...rest } of hosts) {
    const host = known.get(name);
    Object.assign(host, rest);
    for (const step of steps) Object.assign(host.steps.find((one) => one.name === step.name), step);
  }
}
