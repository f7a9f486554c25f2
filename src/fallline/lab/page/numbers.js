// Numbers as people read them, and the scales that sliders run on.

export const text = (value, digits = 6) => String(Number(value.toPrecision(digits)));

const SCALES = {
  linear: [(value) => value, (place) => place],
  log: [Math.log, Math.exp],
  // As suits momenta: from 0.9 to 0.99 is as far as from 0.99 to 0.999.
  complement: [(value) => -Math.log(1 - value), (place) => 1 - Math.exp(-place)],
};

// The share of the way from `low` to `high` at which a value lies, 0 or 1 beyond them.
export function share(value, { low, high, scale }) {
  const [forward] = SCALES[scale];
  const inside = Math.min(high, Math.max(low, value));
  return (forward(inside) - forward(low)) / (forward(high) - forward(low));
}

// The number at a share of the way, with as many digits as a slider can choose.
export function at(part, { low, high, scale }) {
  if (part <= 0) return low;
  if (part >= 1) return high;
  const [forward, backward] = SCALES[scale];
  const value = backward(forward(low) + part * (forward(high) - forward(low)));
  const rounded = scale === "complement" ? 1 - Number((1 - value).toPrecision(2)) : Number(value.toPrecision(3));
  return Number(Math.min(high, Math.max(low, rounded)).toPrecision(9));
}
