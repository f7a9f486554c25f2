"""Paths in a page equal Python's: every rule on every surface, and schedules, in Chromium.

A path that magnifies roundings, as round a minimum by steps that stay long, can equal no other for ever: there the page
must only be as near as Python's own path is to the one that starts a rounding beside it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fallline import rules
from fallline.lab.descent import SCHEDULES, schedule_parameters
from fallline.landscape import Formula, Path, Surface, derivatives_of, path, surfaces
from fallline.pages.assets import asset
from fallline.schedules import cosine
from tests.browser.test_rules_in_javascript import encoded

if TYPE_CHECKING:
    from playwright.sync_api import Browser

STEPS = 400
#: Which steps the page sends.
EVERY = 8
#: Of the rate that a rule's record gives for surfaces: far fewer paths magnify roundings.
SHARE = 0.1
#: The least number of paths, of all, that agree to 1e-9.
STRICT = 410
OPTIONS: dict[str, dict[str, Any]] = {
    name: {"lr": SHARE * rules.RECORDS[name].surface_lr, "steps": STEPS} for name in rules.ALL
}
YOURS = Surface(
    "yours", Formula("abs(x)**3 + tanh(y)/2**x + sqrt(1 + abs(y)) - tan(0.3*x)"), ((-2, 2), (-2, 2)), (0.5, 0.7)
)

#: Modules by name become what they export, in `loaded`.
LOAD = """
const load = (source) => import(`data:text/javascript;base64,${source}`);
const defaults = async (sources) => {
  const loaded = {};
  for (const [name, source] of Object.entries(sources)) loaded[name] = (await load(source)).default;
  return loaded;
};
"""
PATHS = f"""
async ([engine, factors, rules, surfaces, cases]) => {{
  {LOAD}
  const {{schedules}} = await load(factors);
  const [{{path}}, rule, surface] = [await load(engine), await defaults(rules), await defaults(surfaces)];
  // JSON is quick, and has no numbers that are none.
  const walk = ([name, on, options]) => {{
    if (options.schedule) options.schedule = schedules[options.schedule]({{}}, options.steps);
    const {{points, losses, gradients, states}} = path(rule[name], surface[on], options);
    const kept = (values, width) => [...values].filter((_, i) => Math.floor(i / width) % {EVERY} === 0);
    return [kept(points, 2), kept(losses, 1), ...[gradients, ...Object.values(states)].map((one) => kept(one, 2))];
  }};
  return JSON.stringify(cases.map(walk));
}}
"""


@pytest.fixture(scope="module")
def evaluate(browser: Browser) -> Any:
    page = browser.new_page()
    yield page.evaluate
    page.close()


def walked(evaluate: Any, cases: list[tuple[str, Surface, dict[str, Any]]]) -> list[list[np.ndarray[Any, Any]]]:
    """Points, losses, gradients and states of paths in the page."""
    formulas = {name: encoded(rules.ALL[name].javascript()) for name in {name for name, _, _ in cases}}
    grounds = {surface.name: encoded(surface.javascript()) for surface in {surface for _, surface, _ in cases}}
    given = [(name, surface.name, options) for name, surface, options in cases]
    found = json.loads(
        evaluate(PATHS, [encoded(asset("descent.js")), encoded(asset("schedules.js")), formulas, grounds, given])
    )
    return [[np.array(values, np.float64) for values in one] for one in found]


def apart(found: list[np.ndarray[Any, Any]], known: Path) -> float:
    """How far they are apart, relative to the largest number of each place, gradient and state."""
    far = 0.0
    for values, truth in zip(found, [known.points, known.losses, known.gradients, *known.states.values()], strict=True):
        truth = np.where(np.isfinite(truth), truth, np.nan).reshape(len(known.losses), -1)[::EVERY]
        here = values.reshape(truth.shape)
        if not np.array_equal(np.isnan(here), np.isnan(truth)):
            return np.inf
        # What is 0 but for rounding, as a gradient at its minimum, is compared with what was on the way there.
        size = np.maximum.accumulate(np.nan_to_num(np.abs(truth).max(1, keepdims=True)))
        far = max(far, float(np.nanmax(np.abs(here - truth) / np.where(size > 0, size, 1.0))))
    return far


def nudged(surface: Surface, name: str, options: dict[str, Any], known: Path) -> float:
    """How far a path of Python's is from the one that has other roundings, at its start and in its gradients."""
    start = tuple(np.nextafter(surface.start, np.inf).tolist())
    beside = path(surface, name, start, noise=1e-16 * float(np.abs(known.gradients[0]).max()), **options)
    values = (beside.points, beside.losses, beside.gradients, *beside.states.values())
    return apart([one[::EVERY] for one in values], known)


def test_every_rule_on_every_surface(evaluate: Any) -> None:
    cases = [(name, surface, OPTIONS[name]) for name in rules.ALL for surface in surfaces.ALL.values()]
    wrong, strict = [], 0
    for (name, surface, options), values in zip(cases, walked(evaluate, cases), strict=True):
        known = path(surface, name, **options)
        distance = apart(values, known)
        strict += distance <= 1e-9
        if distance > 1e-9 and distance > 1e3 * nudged(surface, name, options, known):
            wrong.append((name, surface.name, distance))
    assert not wrong
    assert strict >= STRICT


DEMONSTRATED = [
    (one.method, surface, {"lr": one.lr, "start": one.start or surface.start, **one.hyperparameters})
    for surface in surfaces.ALL.values()
    for one in surface.demonstrations
    if one.ending == "reached"
]


def test_demonstrations_reach_the_same_minima(evaluate: Any) -> None:
    cases = [(rules.name_of(rules.find(name)), surface, options) for name, surface, options in DEMONSTRATED]
    for (name, surface, options), values in zip(cases, walked(evaluate, cases), strict=True):
        known = path(surface, name, **options)
        assert apart(values, known) < 1e-9, (name, surface.name)


def test_your_own_formula_with_noise_and_a_schedule(evaluate: Any) -> None:
    noise = 0.01 * np.random.default_rng(3).standard_normal((STEPS + 1, 2))
    options = {"lr": 0.01, "steps": STEPS, "noise": noise.ravel().tolist(), "schedule": "cosine"}
    (found,) = walked(evaluate, [("adam", YOURS, options)])
    assert apart(found, path(YOURS, "adam", None, STEPS, noise=0.01, seed=3, schedule=cosine(STEPS), lr=0.01)) < 1e-9


def test_a_path_that_runs_away_is_no_number_from_there_on(evaluate: Any) -> None:
    (found,) = walked(evaluate, [("gradient_descent", surfaces.ravine, {"lr": 1.0, "steps": STEPS})])
    assert np.isnan(found[0]).any()
    assert apart(found, path(surfaces.ravine, "sgd", None, STEPS, lr=1.0)) < 1e-9


HESSIANS = f"""
async ([surfaces, places]) => {{
  {LOAD}
  const found = await defaults(surfaces);
  return Object.values(found).map((surface) => places.map(([x, y]) => surface.hessian(x, y)));
}}
"""


def test_second_derivatives(evaluate: Any) -> None:
    places = np.random.default_rng(0).uniform(-2, 2, (20, 2)).tolist()
    all_surfaces = [*surfaces.ALL.values(), YOURS]
    sources = {surface.name: encoded(surface.javascript()) for surface in all_surfaces}
    for surface, found in zip(all_surfaces, evaluate(HESSIANS, [sources, places]), strict=True):
        known = [derivatives_of(surface.function).hessian(*place) for place in places]
        np.testing.assert_allclose(np.array(found, np.float64), known, rtol=1e-9, atol=1e-12, err_msg=surface.name)


def test_a_surface_that_branches_is_refused() -> None:
    branched = Surface("branched", lambda x, y: x if x > 0 else y, ((-1, 1), (-1, 1)), (0, 0))
    with pytest.raises(TypeError, match=r"the surface 'branched' can't be written as one formula .*without branches"):
        branched.javascript()


FACTORS = f"""
async ([source, schedules, steps]) => {{
  {LOAD}
  const known = (await load(source)).schedules;
  const factors = ([name, numbers]) => {{
    const factor = known[name](numbers, steps);
    return Array.from({{length: 2 * steps}}, (_, step) => factor(step));
  }};
  return [Object.keys(known), schedules.map(factors)];
}}
"""


def test_schedules(evaluate: Any) -> None:
    """With the numbers that a schedule begins with, and with others; before and after its end."""
    defaults = {name: schedule_parameters(name) for name in SCHEDULES}
    others = {
        name: {key: 3 if isinstance(one, int) else 0.4 for key, one in defaults[name].items()} for name in defaults
    }
    cases = [*defaults.items(), *others.items()]
    names, found = evaluate(FACTORS, [encoded(asset("schedules.js")), [*cases, ("constant", {})], 50])
    assert names == ["constant", *SCHEDULES]
    for (name, numbers), factors in zip(cases, found, strict=False):
        known = SCHEDULES[name](50, **numbers)
        np.testing.assert_allclose(factors, [known(step) for step in range(100)], rtol=1e-12, err_msg=name)
    assert set(found[-1]) == {1}
