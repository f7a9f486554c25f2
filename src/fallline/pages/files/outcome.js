// What became of a path, in words: what fallline.landscape.Outcome is in Python.

const NEAR = 0.05; // how near counts as there, in the surface's own units
const LAST = 20; // points before a path leaves the map, at which the curvature is looked at
const {abs, hypot, max} = Math;

/**
 * Judges a path: {ending, sentence, place, step}. `limit` is the rule's of `limits.js`, if it has one, and `rates` are
 * the learning rates of the steps.
 */
export function outcome({points}, surface, {limit, rates, hyperparameters}) {
  const count = points.length / 2;
  const at = (step) => [points[2 * step], points[2 * step + 1]];
  const places = Array.from({length: count}, (_, step) => at(step));
  for (const minimum of surface.minima) {
    const step = forGood(places.map((place) => distance(place, minimum) <= NEAR));
    if (step !== null) {
      return {ending: "reached", sentence: `reached ${written(minimum)} at step ${step}`, place: minimum, step};
    }
  }
  const off = forGood(places.map((place) => !shows(surface, place)));
  if (off !== null) {
    const from = max(0, off - LAST);
    const reason = overTheLimit(surface, places.slice(from, off), rates.slice(from, off), limit, hyperparameters);
    return {ending: "left", sentence: `left the map at step ${off}${reason}`, place: null, step: off};
  }
  const end = places.at(-1);
  const rest = restingPlace(surface, end);
  const step = rest && forGood(places.map((place) => distance(place, rest) <= NEAR));
  if (rest && step !== null && step < count - 1) {
    const sentence = `trapped at ${written(rest)}, ${kind(surface, rest)}, from step ${step} on`;
    return {ending: "trapped", sentence, place: rest, step};
  }
  const away = surface.minima.map((minimum) => distance(end, minimum)).sort((a, b) => a - b)[0];
  const far = away === undefined ? "" : `, ${general(away, 2)} from the nearest minimum`;
  const sentence = `still moving after ${count - 1} steps, at ${written(end)}${far}`;
  return {ending: "moving", sentence, place: null, step: null};
}

const distance = ([x, y], [a, b]) => hypot(x - a, y - b);
const shows = ({view}, place) => place.every((value, axis) => view[axis][0] <= value && value <= view[axis][1]);

/** The first step from which on something holds to the end, else null. */
function forGood(holds) {
  const first = holds.lastIndexOf(false) + 1;
  return first < holds.length ? first : null;
}

/** The two curvatures of a Hessian matrix, the lowest first, each with its direction. */
function curvatures([xx, xy, yy]) {
  const [middle, radius] = [(xx + yy) / 2, hypot((xx - yy) / 2, xy)];
  const high = xx >= yy ? [radius + (xx - yy) / 2, xy] : [xy, radius + (yy - xx) / 2];
  const length = hypot(...high);
  const [a, b] = length > 0 ? high.map((value) => value / length) : [1, 0];
  return [[middle - radius, [-b, a]], [middle + radius, [a, b]]];
}

/** The level point near this one, where one of Newton's steps leads; null where there is none so near. */
function restingPlace(surface, [x, y]) {
  const slope = surface.slope(x, y).slice(1);
  const hessian = surface.hessian(x, y);
  if (!hessian.every(Number.isFinite)) return null;
  const found = curvatures(hessian);
  const largest = max(...found.map(([curvature]) => abs(curvature)));
  // Where the surface is level in a direction, as along y in one dimension, that direction is left alone.
  const step = [0, 0];
  for (const [curvature, [a, b]] of found) {
    if (abs(curvature) <= 1e-15 * largest) continue;
    const along = (a * slope[0] + b * slope[1]) / curvature;
    step[0] += along * a;
    step[1] += along * b;
  }
  const [xx, xy, yy] = hessian;
  const explained = [xx * step[0] + xy * step[1], xy * step[0] + yy * step[1]];
  const close = explained.every((value, axis) => abs(value - slope[axis]) <= 1e-9 + 1e-5 * abs(slope[axis]));
  return hypot(...step) <= NEAR && close ? [x - step[0], y - step[1]] : null;
}

/** What a level point is, by its curvatures. */
function kind(surface, [x, y]) {
  const [[low], [high]] = curvatures(surface.hessian(x, y));
  if (low >= 0) return "a local minimum";
  return high > 0 ? "a saddle point" : "a maximum";
}

/** Says so if the learning rate was over the rule's limit of stability before the path left the map. */
function overTheLimit(surface, places, rates, limit, hyperparameters) {
  const highest = places.map(([x, y]) => curvatures(surface.hessian(x, y))[1][0]);
  const curvature = highest.reduce((a, b) => max(a, b), -Infinity);
  const rate = rates.length ? rates.reduce((a, b) => max(a, b)) : 0;
  if (!limit || !(curvature > 0)) return "";
  const most = limit.factor(hyperparameters) / curvature;
  if (rate <= most) return "";
  return ` because the learning rate, ${general(rate)}, is over ${limit.formula} = ${general(most, 3)}`;
}

/** A point with up to three decimals, and no negative zeros. */
const written = (place) => `(${place.map((value) => general(Number(value.toFixed(3)) + 0)).join(", ")})`;

/** A number with so many significant digits, as Python's format "g" writes it. */
export function general(value, digits = 6) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [mantissa, power] = value.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const bare = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return bare(value.toFixed(digits - 1 - exponent));
  return `${bare(mantissa)}e${exponent < 0 ? "-" : "+"}${String(abs(exponent)).padStart(2, "0")}`;
}
