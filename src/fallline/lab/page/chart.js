// One kind of chart for all experiments: lines over axes, a key, and the numbers in a table behind it.
import { DASHES, drawn, element, sample } from "/elements.js";
import { text } from "/numbers.js";

const [WIDTH, HEIGHT] = [600, 240]; // units of the box that the lines are drawn in
const ROWS = 20;
const ORDER = [0, 1, 2, 3, 4, 5, 7, 6]; // of the palette's colours: two blues would have the same dash

// `x` and `y` name the axes, `series` are {name, x, y}, null where there is no number. The vertical axis is
// logarithmic, and says so, if no number is negative and they span more than two powers of ten; `linear` forbids that.
export function chart({ x, y, series, linear = false }) {
  const across = scale(series.flatMap((one) => one.x), false);
  const up = scale(series.flatMap((one) => one.y), !linear);
  if (!up) return element("p", {}, "There is nothing to draw yet.");
  const name = `${y}${up.log ? " (log scale)" : ""} against ${x}`;
  return element("figure", { class: "chart" },
    element("figcaption", {}, name),
    element("div", { class: "axes" }, ticksUp(up), box(series, across, up, name), ticksAcross(across)),
    element("ul", { class: "key" }, ...series.map(keyed)), numbers(x, series));
}

const keyed = ({ name }, index) => element("li", {}, sample(colour(index), index), ` ${name}`);

function scale(values, mayBeLog) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return null;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const log = mayBeLog && low >= 0 && high > 100 * Math.min(...known.filter((value) => value > 0));
  if (log) low = Math.max(Math.min(...known.filter((value) => value > 0)), high / 1e12);
  if (low === high) [low, high] = [low - 1, high + 1];
  const [from, to] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const part = (value) => ((log ? Math.log10(value) : value) - from) / (to - from);
  return { log, part, ticks: log ? powers(from, to) : rounds(from, to) };
}

function rounds(from, to) {
  const rough = (to - from) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step);
}

function powers(from, to) {
  const every = Math.max(1, Math.ceil((to - from) / 6));
  const first = Math.ceil(from / every - 1e-9);
  const count = Math.floor(to / every + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) => 10 ** ((first + index) * every));
}

const colour = (index) => ORDER[index % ORDER.length];
const percent = (part) => (100 * part).toFixed(2) + "%";

function box(series, across, up, name) {
  const lines = series.map((one, index) =>
    drawn("path", { class: `fl-line fl-colour-${colour(index)} fl-dash-${index % DASHES}`, d: path(one, across, up) }));
  const grid = up.ticks.map((tick) => {
    const y = percent(1 - up.part(tick));
    return drawn("line", { class: "grid", x1: 0, x2: "100%", y1: y, y2: y });
  });
  const inner = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", width: "100%", height: "100%" };
  return drawn("svg", { class: "box", role: "img", "aria-label": name }, ...grid, drawn("svg", inner, ...lines));
}

function path({ x, y }, across, up) {
  let [data, pen] = ["", "M"];
  y.forEach((value, index) => {
    if (value === null || (up.log && value <= 0)) {
      pen = "M";
      return;
    }
    // What lies under a logarithmic axis leaves the box.
    const down = Math.min(2 * HEIGHT, HEIGHT * (1 - up.part(value)));
    data += `${pen}${(WIDTH * across.part(x[index])).toFixed(1)} ${down.toFixed(1)}`;
    pen = "L";
  });
  return data;
}

function ticksUp(up) {
  const ticks = up.ticks.map((tick) =>
    drawn("text", { x: "100%", dx: -6, y: percent(1 - up.part(tick)), dy: 4, "text-anchor": "end" }, text(tick, 3)));
  return drawn("svg", { class: "up", "aria-hidden": "true" }, ...ticks);
}

function ticksAcross(across) {
  const anchor = (part) => (part < 0.05 ? "start" : part > 0.95 ? "end" : "middle");
  const ticks = across.ticks.map((tick) => {
    const part = across.part(tick);
    return drawn("text", { x: percent(part), y: 15, "text-anchor": anchor(part) }, text(tick, 3));
  });
  return drawn("svg", { class: "across", "aria-hidden": "true" }, ...ticks);
}

// The numbers of all series at the places of the longest one, some rows of them.
function numbers(x, series) {
  const longest = series.reduce((most, one) => (one.x.length > most.x.length ? one : most));
  const every = Math.max(1, Math.ceil(longest.x.length / ROWS));
  const places = longest.x.filter((_, index) => index % every === 0);
  const values = series.map((one) => new Map(one.x.map((place, index) => [place, one.y[index]])));
  const rows = places.map((place) => [place, ...values.map((known) => known.get(place) ?? null)]);
  return element("details", {}, element("summary", {}, "Numbers of the lines"),
    table([x, ...series.map(({ name }) => name)], rows, "Numbers of the lines"));
}

// A table that scrolls sideways where it must.
export function table(columns, rows, name) {
  const cell = (value, index) => {
    const shown = value === null ? "" : typeof value === "number" ? text(value, 4) : value;
    return index ? element("td", {}, shown) : element("th", { scope: "row" }, shown);
  };
  const head = columns.map((column) => element("th", { scope: "col" }, column));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, element("table", {},
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell))))));
}
