"""Lessons to begin with: what to look for in one sentence, and the state of the page that shows it."""

from __future__ import annotations

from typing import Any


def _walk(rule: str, lr: float, schedule: str | None = None, **hyperparameters: float) -> dict[str, Any]:
    named = None if schedule is None else {"name": schedule}
    return {"rule": rule, "lr": lr, "hyperparameters": hyperparameters, "schedule": named}


def _picture(name: str, sentence: str, surface: str, *optimizers: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A preset whose state is the body of a request for a picture."""
    return {"name": name, "sentence": sentence, "state": {"surface": surface, "optimizers": list(optimizers), **rest}}


def _tab(name: str, sentence: str, tab: str) -> dict[str, Any]:
    """A preset that opens one of the tabs below."""
    return {"name": name, "sentence": sentence, "state": {"tab": tab}}


PRESETS: list[dict[str, Any]] = [
    _picture(
        "Zig-zag across a ravine",
        "Gradient descent jumps from wall to wall and creeps along the floor; momentum cancels the jumps and adds up "
        "along the floor.",
        "ravine", _walk("gradient_descent", 0.0392), _walk("momentum", 0.01),
    ),
    _picture(
        "Past 2/curvature",
        "The curvature across this ravine is 50, so 2/curvature is 0.04: a learning rate just below it arrives, one "
        "just above it leaves the map, and a small one crawls.",
        "ravine", _walk("gradient_descent", 0.0392), _walk("gradient_descent", 0.041), _walk("gradient_descent", 0.002),
    ),
    _picture(
        "Nesterov looks ahead",
        "Both overshoot the minimum; Nesterov's momentum brakes before the slope turns up, and swings less.",
        "ravine", _walk("momentum", 0.01), _walk("nesterov", 0.01),
    ),
    _picture(
        "Leaving a saddle",
        "Beside the ridge the gradient hardly points down; what divides by the gradient's size leaves soonest.",
        "saddle", _walk("gradient_descent", 0.03), _walk("momentum", 0.01), _walk("adagrad", 0.3), _walk("adam", 0.05),
    ),
    _picture(
        "A plateau",
        "Far out the slope is nearly nothing without a minimum being near: gradient descent hardly moves there, "
        "momentum gathers speed, and adaptive methods take long steps at once.",
        "plateau", _walk("gradient_descent", 0.3), _walk("momentum", 0.3), _walk("adagrad", 0.3), _walk("adam", 0.05),
    ),
    _picture(
        "Adagrad stalls",
        "Adagrad divides by all gradients that it ever saw, so its effective step only shrinks; RMSprop forgets the "
        "old ones and goes on.",
        "rosenbrock", _walk("adagrad", 0.3), _walk("rmsprop", 0.02),
    ),
    _picture(
        "A step for each direction",
        "RMSprop divides each coordinate by the size of its own gradients: the level direction gets longer steps, the "
        "steep one shorter.",
        "ravine", _walk("gradient_descent", 0.0098), _walk("rmsprop", 0.1), conditioning=200,
    ),
    _picture(
        "Adam's first steps",
        "Without bias correction Adam's first steps are three times as long as the learning rate says: look at the "
        "effective step at the beginning.",
        "ravine", _walk("adam", 0.1), _walk("adam_uncorrected", 0.1),
    ),
    _picture(
        "A bend in the valley",
        "All find the valley at once; following it round the bend is what takes long.",
        "rosenbrock", _walk("gradient_descent", 0.002), _walk("momentum", 0.001), _walk("adam", 0.1),
    ),
    _picture(
        "Local minima",
        "Where a path ends depends on the method and on the start: drag it.",
        "himmelblau", _walk("gradient_descent", 0.005), _walk("momentum", 0.003), _walk("adam", 0.1),
    ),
    _picture(
        "Sharp and flat",
        "A step longer than 2/curvature can't stay in the sharp hollow: the large learning rate ends in the flat one.",
        "sharp-and-flat", _walk("gradient_descent", 0.02), _walk("gradient_descent", 0.3),
    ),
    _picture(
        "Noise leaves a poor minimum",
        "Noise in the gradient carries the path out of the sharp hollow, and it ends in the flat one; set the noise to "
        "0, and it stays.",
        "sharp-and-flat", _walk("gradient_descent", 0.03, "cosine"), noise=8, seed=0,
    ),
    _picture(
        "Decay shrinks the circle",
        "With noise a constant learning rate ends in a circle round the minimum; one that decays comes to rest nearer.",
        "ravine", _walk("gradient_descent", 0.1), _walk("gradient_descent", 0.1, "cosine"),
        conditioning=5, noise=3, seed=1, steps=300,
    ),
    _tab(
        "Averages with and without correction",
        "An average that starts at 0 is too low at first; a longer window is smoother, and later.",
        "ema",
    ),
    _tab("Batch size", "Per sample seen, small batches get further, and end in a wider circle.", "batch"),
    _tab("Schedules", "Each law's learning rate against the step.", "schedules"),
    _tab(
        "Initialisation",
        "He's weights keep a signal's size through ReLU layers; smaller ones let it vanish, larger ones explode.",
        "initialisation",
    ),
]  # fmt: skip
