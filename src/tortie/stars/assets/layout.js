// Where things are drawn: numbers in, numbers out. A node's place depends only on its rank among all known resources,
// so nothing moves when a probe begins or ceases to answer.

export const WIDTH = 800;
export const HEIGHT = 600;

export function places(ids) {
  const n = ids.length;
  const radius = Math.max(14, Math.min(38, 250 / Math.max(n, 1)));
  const middle = { x: WIDTH / 2, y: HEIGHT / 2 };
  if (n === 1) return { radius, at: new Map([[ids[0], middle]]) };
  // Three read from left over the top to the right, two from left to right, more like a clock.
  const first = n === 2 ? Math.PI : n === 3 ? (5 / 6) * Math.PI : -Math.PI / 2;
  const wide = n === 3 ? 290 : WIDTH / 2 - radius - 70;
  const high = n === 3 ? 270 : HEIGHT / 2 - radius - 60;
  const drop = n === 3 ? 72 : 0;
  const at = new Map(
    ids.map((id, i) => {
      const angle = first + (i * 2 * Math.PI) / n;
      return [id, { x: middle.x + wide * Math.cos(angle), y: middle.y + drop + high * Math.sin(angle) }];
    }),
  );
  return { radius, at };
}

// The name goes to the side that faces away from the others: above in the upper half, below elsewhere.
export function above(place) {
  return place.y < HEIGHT / 2 - 1;
}

// The curve of one direction; the other direction bends to the other side.
export function curve(a, b, radius) {
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const far = Math.hypot(dx, dy) || 1;
  const bend = 0.13 * far;
  const c = { x: (a.x + b.x) / 2 - (dy / far) * bend, y: (a.y + b.y) / 2 + (dx / far) * bend };
  const from = step(a, c, radius + 6);
  const tip = step(b, c, radius + 5);
  const to = step(b, c, radius + 17);
  const middle = { x: (from.x + 2 * c.x + to.x) / 4, y: (from.y + 2 * c.y + to.y) / 4 };
  const angle = (Math.atan2(tip.y - to.y, tip.x - to.x) * 180) / Math.PI;
  return {
    path: `M${spot(from)} Q${spot(c)} ${spot(to)}`,
    tip: `translate(${spot(tip)}) rotate(${angle.toFixed(1)})`,
    middle: `translate(${spot(middle)})`,
  };
}

function step(from, towards, length) {
  const far = Math.hypot(towards.x - from.x, towards.y - from.y) || 1;
  return { x: from.x + ((towards.x - from.x) / far) * length, y: from.y + ((towards.y - from.y) / far) * length };
}

function spot(p) {
  return `${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
}
