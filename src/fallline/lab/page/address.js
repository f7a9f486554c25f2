// The address that holds the page's state. Whatever an address says is read as what it must be, against the catalogue;
// what can't be read keeps its default and is named in `unread`.
import { LIMITS, MOST_OPTIMIZERS, PLAIN, YOURS, stateOf, surfaceOf } from "/state.js";

const [LARGEST, LONGEST_TEXT] = [1e12, 1000];
const ARROWS = ["gradient", "momentum", "step"];
const RATES = ["each", "tuned", "same"];
const SPEEDS = ["5", "20", "60", "200"];

// Writing

export function addressOf(state) {
  const query = new URLSearchParams();
  const own = state.surface === YOURS;
  const put = (key, value) => String(value) !== String(PLAIN[key] ?? "") && query.set(key, value);
  for (const key of ["lesson", "surface"]) put(key, state[key]);
  if (own) for (const key of ["formula", "view"]) query.set(key, state[key]);
  for (const key of ["conditioning", "noise", "batch", "seed"]) put(key, state[key]);
  if (state.start) query.set("start", state.start);
  query.set("steps", state.steps);
  put("rates", state.rates);
  for (const one of state.optimizers) query.append("optimizer", written(one));
  put("tab", state.tab);
  for (const [key, value] of Object.entries(state.fields)) query.set(`tab.${key}`, value);
  put("race", state.race);
  if (state.at !== null) query.set("at", state.at);
  for (const key of ["arrows", "tilted", "speed", "hidden"]) put(key, state[key]);
  if (state.tilted) put("turn", state.turn);
  return "#" + query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%2F", "/");
}

function written({ rule, lr, hyperparameters, schedule, decay }) {
  const { name, ...parameters } = schedule ?? {};
  const parts = [rule, `lr:${lr}`, ...Object.entries(hyperparameters).map(([key, value]) => `${key}:${value}`)];
  const ofLaw = Object.entries(parameters).map(([key, value]) => `schedule.${key}:${value}`);
  if (schedule) parts.push(`schedule:${name}`, ...ofLaw);
  if (decay !== null) parts.push(`decay:${decay}`);
  return parts.join(",");
}

// Reading

const refused = Symbol("refused");
const oneOf = (options) => (text) => (options.includes(text) ? text : refused);
const someOf = (options) => (text) => text.split(",").filter((part) => options.includes(part));
const anyText = (text) => (text.length <= LONGEST_TEXT ? text : refused);

function number(text, low = -LARGEST, high = LARGEST) {
  const value = text.trim() === "" ? NaN : Number(text);
  return value >= low && value <= high ? value : refused;
}
const limited = (key) => (text) => number(text, ...LIMITS[key]);
const whole = (low, high) => (text) => {
  const value = number(text, low, high);
  return Number.isInteger(value) ? value : refused;
};
const numbers = (count) => (text) => {
  const values = text.split(",").map((part) => number(part));
  return values.length === count && !values.includes(refused) ? values : refused;
};

// What an address says, or null if it says nothing of a picture. `tabs` are the names of the tabs there are.
export function stateAt(hash, catalogue, tabs) {
  const query = new URLSearchParams(hash.slice(1));
  if (!query.has("surface") && !query.has("optimizer")) return null;
  const unread = [];
  const state = { ...stateOf(catalogue.presets[0], catalogue), lesson: "", fields: {}, unread };
  const surfaces = catalogue.surfaces.map((surface) => surface.name);
  const readers = {
    lesson: oneOf(catalogue.presets.map((preset) => preset.name)),
    surface: oneOf([...surfaces, YOURS]), formula: anyText, view: numbers(4), conditioning: limited("conditioning"),
    noise: limited("noise"), batch: whole(...LIMITS.batch), seed: whole(...LIMITS.seed), start: numbers(2),
    steps: whole(...LIMITS.steps), rates: oneOf(RATES), tab: oneOf(tabs), race: anyText,
    at: whole(0, LIMITS.steps[1]), arrows: someOf(ARROWS), tilted: (text) => text === "true",
    turn: (text) => number(text, -180, 180), speed: oneOf(SPEEDS),
    hidden: (text) => text.split(",").map(Number).filter((index) => index >= 0 && index < MOST_OPTIMIZERS),
  };
  for (const [key, read] of Object.entries(readers)) {
    if (!query.has(key)) continue;
    const value = read(query.get(key));
    if (value === refused) unread.push(key);
    else state[key] = value;
  }
  if (!query.has("steps")) state.steps = surfaceOf(state.surface, catalogue)?.steps ?? PLAIN.steps;
  const optimizers = query.getAll("optimizer").map((text) => optimizerAt(text, catalogue));
  const good = optimizers.filter((one) => one !== refused).slice(0, MOST_OPTIMIZERS);
  if (good.length < optimizers.length) unread.push("optimizer");
  if (good.length) state.optimizers = good;
  for (const [key, value] of query)
    if (/^tab\.[a-z]{1,20}$/.test(key) && value.length <= LONGEST_TEXT) state.fields[key.slice(4)] = value;
  return state;
}

function optimizerAt(text, catalogue) {
  const [name, ...parts] = text.split(",");
  const rule = catalogue.rules.find((one) => one.name === name);
  if (!rule) return refused;
  const found = { rule: name, lr: rule.lr.default, hyperparameters: {}, schedule: null, decay: null };
  for (const part of parts) {
    const [key, value = ""] = part.split(":");
    if (!readPart(found, key, value, rule, catalogue)) return refused;
  }
  return found;
}

function readPart(found, key, value, rule, catalogue) {
  if (key === "schedule") {
    const known = catalogue.schedules.some((one) => one.name === value);
    found.schedule = known ? { name: value } : null;
    return known;
  }
  const [, parameter] = key.split("schedule.");
  if (parameter !== undefined) {
    const law = catalogue.schedules.find((one) => one.name === found.schedule?.name);
    const read = law && Object.hasOwn(law.parameters, parameter) ? number(value) : refused;
    if (read !== refused) found.schedule[parameter] = read;
    return read !== refused;
  }
  if (key === "lr" || key === "decay") {
    const read = limited(key)(value);
    if (read !== refused) found[key] = read;
    return read !== refused;
  }
  if (!Object.hasOwn(rule.hyperparameters, key)) return false;
  const choice = rule.hyperparameters[key].scale === "choice";
  const read = choice ? { true: true, false: false }[value] ?? refused : number(value);
  if (read !== refused) found.hyperparameters[key] = read;
  return read !== refused;
}
