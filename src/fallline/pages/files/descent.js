// The path that a rule takes on a surface, with all that led it there: what fallline.landscape.path is in Python.

/**
 * Follows a rule; all numbers are NaN from where the path ran off to infinity.
 *
 * `rule` and `surface` are what Rule.javascript() and Surface.javascript() export. `schedule(step)`, from step 0, is a
 * factor on the learning rate; `noise` holds two numbers a step that are added to the gradient, and two for the end.
 * Of `points`, `gradients` and each of the `states` there are two numbers a step, x and y, the start first.
 */
export function path(rule, surface, {start = surface.start, steps = surface.steps, schedule, noise, ...given} = {}) {
  const values = {...rule.hyperparameters, ...given};
  const tensor = rule.begin(Float64Array.from(start));
  const shared = rule.shared();
  const room = (width) => new Float64Array(width * (steps + 1)).fill(NaN);
  const [points, gradients, losses] = [room(2), room(2), room(1)];
  const states = Object.fromEntries(rule.states.map((name) => [name, room(2)]));
  const {p, g} = tensor;
  for (const name of rule.states) states[name].set(tensor.states[name]);
  for (let step = 0; ; step++) {
    const [loss, x, y] = surface.slope(p[0], p[1]);
    g[0] = x + (noise ? noise[2 * step] : 0);
    g[1] = y + (noise ? noise[2 * step + 1] : 0);
    points.set(p, 2 * step);
    gradients.set(g, 2 * step);
    losses[step] = loss;
    if (step === steps || !Number.isFinite(loss + g[0] + g[1])) break;
    const numbers = schedule ? {...values, lr: values.lr * schedule(step)} : values;
    rule.step([tensor], numbers, shared);
    for (const name of rule.states) states[name].set(tensor.states[name], 2 * step + 2);
  }
  return {points, losses, gradients, states};
}
