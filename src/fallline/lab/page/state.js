// The page's whole state, and what the server is asked for it.

export const YOURS = "yours";
export const MOST_OPTIMIZERS = 12;
export const LIMITS = {
  conditioning: [1, 1e4], noise: [0, 1000], batch: [1, 65536], seed: [0, 2 ** 31 - 1], steps: [1, 5000],
  lr: [0, 1e6], decay: [0, 1000],
};

// What the page shows of it. `at` is the player's step, null the last one.
export const LOOK = {
  at: null, arrows: [], tilted: false, turn: -30, speed: "", hidden: [], tab: "", fields: {}, race: "",
};
export const PLAIN = {
  lesson: "", surface: "", formula: "x**2 + 3*y**2 + 2*sin(2*x)", view: [-3, 3, -3, 3], conditioning: 50, noise: 0,
  batch: 1, seed: 0, start: null, steps: 150, rates: "each", ...LOOK,
};

// A lesson's state: its body of a request, over the plain state. Lessons of a tab keep the picture that is there.
export function stateOf(preset, catalogue, before) {
  const { name, state: told } = preset;
  if (told.tab) return { ...before, lesson: name, tab: told.tab, fields: {} };
  const { steps } = surfaceOf(told.surface, catalogue);
  const kept = before ? { tab: before.tab, fields: before.fields, race: before.race } : {};
  const optimizers = structuredClone(told.optimizers).map((one) => ({ decay: null, ...one }));
  return { ...PLAIN, ...kept, steps, ...told, lesson: name, optimizers };
}

export const surfaceOf = (name, catalogue) => catalogue.surfaces.find((surface) => surface.name === name);

// The body of the requests for a picture and for a program. Averaging a batch of B samples divides their noise by √B.
export function bodyOf(state) {
  const { formula, view, noise, batch, seed, steps, rates, optimizers } = state;
  const own = { formula, view: [view.slice(0, 2), view.slice(2)] };
  return {
    surface: state.surface === YOURS ? own : state.surface,
    noise: noise / Math.sqrt(batch), seed, steps, rates, optimizers,
    ...(state.surface === "ravine" ? { conditioning: state.conditioning } : {}),
    ...(state.start ? { start: state.start } : {}),
  };
}
