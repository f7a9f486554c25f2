// The picture as a file: SVG with every style written out, or PNG made of it.
import { drawn, element, find } from "/elements.js";

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "fill-rule",
  "vector-effect", "paint-order", "overflow", "font-family", "font-size", "font-weight"];
const [LINE, SHARPNESS] = [20, 2]; // a line of the key in pixels; a PNG's pixels to one of the page

export function saving(player) {
  find("save-svg").addEventListener("click", () => {
    const { markup } = pictureOf(player());
    save(new Blob([markup], { type: "image/svg+xml" }), "svg", player());
  });
  find("save-png").addEventListener("click", async () => {
    const { markup, width, height } = pictureOf(player());
    const image = new Image();
    image.src = "data:image/svg+xml," + encodeURIComponent(markup);
    await image.decode();
    const canvas = element("canvas", { width: SHARPNESS * width, height: SHARPNESS * height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(blob, "png", player()));
  });
}

function save(blob, kind, { scene }) {
  const href = URL.createObjectURL(blob);
  element("a", { href, download: `fallline-${scene.title.replaceAll(/\W+/g, "-")}.${kind}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

// What the stage shows, tilted or flat, and a key with the learning rates below it.
function pictureOf(player) {
  const { stage, canvas, scene, root } = player;
  const [width, mapHeight] = [stage.clientWidth, stage.clientHeight];
  const key = player.trails.filter((trail) => trail.shown);
  const height = mapHeight + LINE * (key.length + 1);
  const size = { width, height: mapHeight };
  const map = canvas.hidden
    ? [...stage.querySelectorAll("[data-part] > svg")].map((layer) => plain(layer, size))
    : [drawn("image", { href: canvas.toDataURL(), ...size })];
  const style = getComputedStyle(root);
  const page = colour(style.getPropertyValue("background-color"));
  const words = { fill: colour(style.color), "font-family": "system-ui, sans-serif", "font-size": 13 };
  const lines = key.map((trail, row) => {
    const y = mapHeight + LINE * (row + 1);
    const line = { x1: 4, x2: 38, y1: y, y2: y, ...styles(getComputedStyle(trail.line)) };
    const rate = trail.learningRate === null ? "" : `, learning rate ${trail.learningRate}`;
    const said = `${trail.name}${rate}; ${trail.outcome}`;
    return [drawn("line", line), drawn("text", { x: 46, y: y + 4, ...words }, said)];
  });
  const whole = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}` },
    drawn("title", {}, scene.title), drawn("rect", { width, height, fill: page }), ...map, ...lines.flat());
  return { markup: new XMLSerializer().serializeToString(whole), width, height };
}

// A copy that looks the same without a stylesheet.
function plain(original, size) {
  const copy = original.cloneNode(true);
  const copies = [copy, ...copy.querySelectorAll("*")];
  [original, ...original.querySelectorAll("*")].forEach((element, index) => {
    const computed = getComputedStyle(element);
    for (const [name, value] of Object.entries(styles(computed))) copies[index].setAttribute(name, value);
    if (computed.visibility === "hidden") copies[index].setAttribute("visibility", "hidden");
    copies[index].removeAttribute("class");
  });
  for (const [name, value] of Object.entries(size)) copy.setAttribute(name, value);
  return copy;
}

function styles(computed) {
  const found = STYLES.map((name) => [name, computed.getPropertyValue(name)]);
  return Object.fromEntries(found.map(([name, value]) =>
    [name, ["fill", "stroke"].includes(name) && value !== "none" ? colour(value) : value]));
}

// Any colour of CSS as the hexadecimal one that every program reads.
const seen = new Map();
function colour(css) {
  if (!seen.has(css)) {
    const context = element("canvas", { width: 1, height: 1 }).getContext("2d");
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    seen.set(css, "#" + [red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join(""));
  }
  return seen.get(css);
}
