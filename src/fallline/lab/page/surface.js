// What is walked on: the surface or a formula of one's own, its conditioning, the gradients' noise, seed and steps.
import { equation, fill, find, showNumber, slider, watchNumber } from "/elements.js";
import { text } from "/numbers.js";
import { LIMITS, PLAIN, YOURS, surfaceOf } from "/state.js";

const VIEW = [0, 1, 2, 3].map((index) => `view-${index}`);
const GRAMMAR = "Numbers, x, y, pi, e, + - * / ** and ( ), sin, cos, tan, exp, log, sqrt, abs, tanh.";
const NOISE = { low: 0, high: 20, scale: "linear" };

export function surface(lab) {
  const { surfaces } = lab.catalogue;
  const [low, high] = LIMITS.conditioning;
  const conditioning = slider("Condition number", "Condition number", { low, high, scale: "log" }, (value) => {
    set({ conditioning: value });
    showEquation();
  });
  const noise = slider("Noise", "Noise: its standard deviation in one sample's gradient", NOISE, (value) => {
    set({ noise: value });
    note();
  });
  find("conditioning").append(conditioning.element);
  find("noise").append(noise.element);
  fill(find("surface"), [...surfaces.map(({ name, title }) => [name, title]), [YOURS, "Your own formula"]]);

  find("surface").addEventListener("change", () => {
    const { value } = find("surface");
    const { steps } = surfaceOf(value, lab.catalogue) ?? lab.state;
    set({ surface: value, start: null, steps, lesson: "" });
    lab.showAll();
  });
  find("formula").addEventListener("input", () => set({ formula: find("formula").value, start: null }));
  VIEW.forEach((id, index) => watchNumber(find(id), (value) =>
    set({ view: lab.state.view.with(index, value), start: null })));
  for (const key of ["batch", "seed", "steps"])
    watchNumber(find(key), (value) => {
      set({ [key]: value });
      note();
    });

  function set(changes) {
    Object.assign(lab.state, changes);
    lab.changed();
  }

  function note() {
    const { noise: sigma, batch } = lab.state;
    find("noise-note").textContent =
      sigma && batch > 1 ? `The mean over a batch of ${batch} has noise ${text(sigma / Math.sqrt(batch), 3)}.` : "";
  }

  // The ravine's own equation has its usual condition number in it.
  function showEquation() {
    const { surface: name, conditioning: kappa } = lab.state;
    const changed = name === "ravine" && kappa !== PLAIN.conditioning;
    const known = surfaceOf(name, lab.catalogue)?.equation;
    const shown = changed ? `f(x, y) = (x² + ${text(kappa)} y²) / 2` : known ? equation(known) : "";
    find("surface-equation").replaceChildren(shown);
  }

  function show() {
    const { state } = lab;
    const known = surfaceOf(state.surface, lab.catalogue);
    find("surface").value = state.surface;
    find("teaches").textContent = known?.teaches ?? GRAMMAR;
    showEquation();
    find("own-surface").hidden = Boolean(known);
    find("conditioning").hidden = state.surface !== "ravine";
    if (document.activeElement !== find("formula")) find("formula").value = state.formula;
    VIEW.forEach((id, index) => showNumber(find(id), state.view[index]));
    for (const key of ["batch", "seed", "steps"]) showNumber(find(key), state[key]);
    conditioning.show(state.conditioning);
    noise.show(state.noise);
    note();
  }

  return { show };
}
