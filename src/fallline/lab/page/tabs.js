// The small experiments below the picture, and the race that runs: tabs, of which only the open one computes.
import { chart, table } from "/chart.js";
import { element, fill, find } from "/elements.js";
import { live } from "/live.js";
import { ask, newest } from "/requests.js";

const SEED = { key: "seed", label: "Seed", value: "0" };
const EXPERIMENTS = [
  { name: "ema", title: "Averages", fields: [
    { key: "windows", label: "Windows", value: "2, 10, 50", list: true },
    { key: "noise", label: "Noise", value: "2" }, SEED] },
  { name: "batch", title: "Batch size", fields: [{ key: "lr", label: "Learning rate", value: "0.05" }, SEED] },
  { name: "schedules", title: "Schedules", linear: true, fields: [
    { key: "steps", label: "Steps", value: "200" }, { key: "lr", label: "Learning rate", value: "0.1" }] },
  { name: "initialisation", title: "Initialisation", fields: [
    { key: "depth", label: "Layers", value: "30" },
    { key: "activation", label: "Activation", value: "relu", options: ["relu", "tanh", "linear"] }, SEED] },
  { name: "minima", title: "Sharp and flat", fields: [
    { key: "lr", label: "Learning rates", value: "0.02, 0.04, 0.1, 0.3", list: true }] },
];
export const TABS = [...EXPERIMENTS.map(({ name }) => name), "live"];

export function tabs(lab) {
  const race = live(lab);
  const all = [...EXPERIMENTS.map((one) => experiment(lab, one)), race];
  const headings = all.map(({ name, title }) => element("button", { type: "button", role: "tab", id: `tab-${name}`,
    "aria-controls": `panel-${name}`, onclick: () => open(name) }, title));
  find("tabs").replaceChildren(...headings);
  find("tabs").addEventListener("keydown", (event) => {
    const here = headings.indexOf(event.target);
    const last = headings.length - 1;
    const keys = { ArrowRight: here === last ? 0 : here + 1, ArrowLeft: here ? here - 1 : last, Home: 0, End: last };
    const to = keys[event.key];
    if (to === undefined) return;
    event.preventDefault();
    headings[to].focus();
    headings[to].click();
  });
  find("panels").replaceChildren(...all.map(({ name, element: content }) => element("div", { role: "tabpanel",
    id: `panel-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }, content)));

  function open(name) {
    Object.assign(lab.state, { tab: name, fields: {} });
    lab.write();
    show();
  }

  let shown = "";
  function show() {
    const name = lab.state.tab || TABS[0];
    const now = JSON.stringify([name, lab.state.fields]);
    const changes = now !== shown;
    shown = now;
    all.forEach((one, index) => {
      const chosen = one.name === name;
      headings[index].setAttribute("aria-selected", String(chosen));
      headings[index].tabIndex = chosen ? 0 : -1;
      find(`panel-${one.name}`).hidden = !chosen;
      if (chosen && changes) one.show(lab.state.fields);
    });
    if (name !== race.name) race.hide();
  }

  return { show };
}

function experiment(lab, { name, title, fields, linear }) {
  const alert = element("p", { class: "alert", role: "alert" });
  const result = element("div", { class: "result" });
  const inputs = fields.map((field) => input(field));
  const request = newest(
    async (signal) => {
      const body = Object.fromEntries(fields.map((field, index) => [field.key, valueOf(field, inputs[index].value)]));
      const { sentence, table: { columns, rows }, ...lines } = await ask(`/api/tab/${name}`, body, signal);
      alert.textContent = "";
      result.replaceChildren(element("p", {}, sentence), chart({ ...lines, linear }), table(columns, rows, title));
    },
    (refusal) => (alert.textContent = refusal),
  );

  function input({ value, options }) {
    const changed = () => {
      const different = fields.map(({ key, value: standard }, index) => [key, inputs[index].value, standard]);
      lab.state.fields = Object.fromEntries(different.filter(([, now, standard]) => now !== standard));
      lab.write();
      request();
    };
    const plain = { type: "text", inputmode: "decimal", autocomplete: "off", value, oninput: changed };
    if (!options) return element("input", plain);
    const select = element("select", { onchange: changed });
    fill(select, options.map((option) => [option, option]));
    return select;
  }

  function show(values) {
    fields.forEach(({ key, value }, index) => (inputs[index].value = values[key] ?? value));
    request();
  }

  const labels = fields.map(({ label }, index) => element("label", {}, `${label} `, inputs[index]));
  const content = element("div", {}, element("div", { class: "row" }, ...labels), alert, result);
  return { name, title, element: content, show };
}

// Text as the server takes it; what is no number goes as it is, and the server's sentence says so.
function valueOf({ list, options }, text) {
  const one = (part) => (part.trim() === "" || Number.isNaN(Number(part)) ? part : Number(part));
  if (options) return text;
  return list ? text.split(",").map(one) : one(text);
}
