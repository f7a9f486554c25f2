// Factors on the learning rate by the step, from 0: each takes its numbers, then the steps of the run.

const {PI, cos, floor, min, sqrt} = Math;
const between = (start, end, part) => end + ((start - end) * (1 + cos(PI * part))) / 2;

export const schedules = {
  constant: () => () => 1,
  linear: ({end = 0}, steps) => (step) => end + (1 - end) * (1 - min(step, steps) / steps),
  cosine: ({floor: low = 0}, steps) => (step) => between(1, low, min(step, steps) / steps),
  exponential: ({factor = 0.98}) => (step) => factor ** step,
  inverse_time: ({rate = 0.1}) => (step) => 1 / (1 + rate * step),
  inverse_square_root: ({k = 1}) => (step) => k / sqrt(step + 1),
  staircase: ({every = 50, factor = 0.5}) => (step) => factor ** floor(step / every),
  one_cycle: ({rise = 0.3, start = 1 / 25, end = 1 / 250_000}, steps) => {
    const peak = rise * steps - 1;
    return (step) => {
      if (step <= peak) return between(start, 1, step / peak);
      return between(1, end, min((step - peak) / (steps - 1 - peak), 1));
    };
  },
};
