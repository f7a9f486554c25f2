// Elements, and the two kinds of field that numbers are put in. Text never becomes HTML here.
import { at, share, text } from "/numbers.js";

export const [COLOURS, DASHES] = [8, 6]; // as many as the player's stylesheet has
const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Options for a select: pairs of value and text.
export function fill(select, options) {
  select.replaceChildren(...options.map(([value, shown]) => element("option", { value }, shown)));
}

// The library's own MathML as an element; nothing but MathML is ever made of it.
export function equation(mathml) {
  return document.importNode(new DOMParser().parseFromString(mathml, "application/xml").documentElement, true);
}

// A line in one of the palette's colours and dashes, for a key.
export function sample(colour, dash) {
  const line = drawn("line", { class: `fl-line fl-dash-${dash % DASHES}`, x1: 0, x2: 34, y1: 6, y2: 6 });
  const box = { class: `fl-sample fl-colour-${colour % COLOURS}`, viewBox: "0 0 36 12", "aria-hidden": "true" };
  return drawn("svg", box, line);
}

// Calls `change` with an input's number once it is one that the input allows.
export function watchNumber(input, change) {
  input.addEventListener("input", () => input.value !== "" && input.checkValidity() && change(input.valueAsNumber));
}

// What a person is typing is left alone.
export function showNumber(input, value) {
  if (document.activeElement !== input || input.valueAsNumber !== value) input.value = text(value, 12);
}

// A number field and a slider over `range` {low, high, scale} beside it. `called` is the whole name for a reader that
// hears only it. Returns the element, `show` and `enable`.
export function slider(label, called, range, change) {
  const number = element("input", { type: "number", step: "any", "aria-label": called });
  const track = element("input", { type: "range", min: 0, max: 1, step: 0.005, "aria-label": `${called}, slider` });
  const show = (value) => {
    showNumber(number, value);
    track.value = share(value, range);
    track.setAttribute("aria-valuetext", text(value));
  };
  const changed = (value) => {
    show(value);
    change(value);
  };
  watchNumber(number, changed);
  track.addEventListener("input", () => changed(at(track.valueAsNumber, range)));
  const enable = (enabled) => (number.disabled = track.disabled = !enabled);
  const whole = element("div", { class: "slider" }, element("label", {}, `${label} `, number), track);
  return { element: whole, show, enable };
}
