"""The files of a page that computes by itself, under a strict policy; formulas read by math.js equal Python's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fallline import rules
from fallline.landscape import Formula, FormulaError, Surface, derivatives_of, path, surfaces
from fallline.pages.modules import modules

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

POLICY = "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'"
#: A program of the page's own: what a test evaluates is outside of the policy.
MAIN = """
import {path} from "./descent.js";
import {formula, mathjs} from "./formula.js";
import {limits} from "./limits.js";
import {general, outcome} from "./outcome.js";
import {rules} from "./rules.js";
import {schedules} from "./schedules.js";
import {surfaces} from "./surfaces.js";

let evaluates = false;
try {
  evaluates = Function("return true")();
} catch {} // the policy
const known = {path, formula, general, outcome, limits, rules, schedules, surfaces};
Object.assign(globalThis, known, {evaluates, ready: mathjs()});
"""
#: Formulas that Python can read, too; at the places there are kinks, poles and ends of where they are defined.
FORMULAS = (
    "x**2 + 3*abs(y)", "(1 - x)**2 + 100*(y - x**2)**2", "abs(x*y - 1)**3/(1 + abs(x))", "sin(x)*cos(y)*tan(x/4)",
    "exp(-x**2 - y**2/2) + log(3 + x)", "sqrt(2 + x*y) - tanh(x - y)", "2**x*e**(-y)", "2**3**x - x**-2", "x**2.5 + y",
    "-x**2 + --y", "1e1*x + .5*y + 5.*x - 007", "pi*x/(y - 1)", "log(x)*y",
    "20+x**2-10*cos(2*pi*x)+y**2-10*cos(2*pi*y)",
    "(x**2 + y - 11)**2\n+ (x + y**2 - 7)**2", "abs(x)", "x**(1 + 1)", "abs(abs(x) - 1)*2 + y/abs(3 + y)",
    "((((((x + y))))))", "sin(sin(sin(sin(sin(sin(x))))))", "-(-(-(x))) + 2**-(x)**2", "x*y*x*y*x",
)  # fmt: skip
PLACES = [(0.5, 0.25), (-1.5, 0.75), (2.0, -1.0), (0.0, 0.0), (1.0, 1.0), (1.7, 0.6), (-0.3, -1.2), (2.0, 0.5)]
#: What neither reads; whatever math.js makes of it.
REFUSED = (
    "", "  ", "2x", "x y", "x(y)", "x^2", "sin x", "sin", "sin(x, y)", "sin(x)(y)", "foo(x)", "x to y", "x mod y",
    "0x1f", "(x", "x)", "x.y", "1..2", ".", "1e200*x", "x % 2", "x!", "x'", "[x]", "{x}", "x = 2", "f(x) = x", "'x'",
    '"x"', "x; y", "x ? y : 1", "x < y", "x\\y", "2e*x", "1e", "x**y", "(0 - 2)**x", "x**65", "x**(60 + 5)", "i",
    "true", "Infinity", "NaN", "null", "undefined", "__proto__", "constructor", "constructor(x)", "toString(x)",
    "import(x)", "eval(x)", "x" * 201, "x.constructor", "log(x)[1]",
    "(((((((x)))))))", "-sin(sin(sin(sin(sin(sin(x))))))", "-------x", "((((((x**2))))))",
    "sec(x)", "x**", "*x", "()", "_", "x_1", "Ｘ", "x\u00d7y",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    for name, text in {**modules(), "main.js": MAIN}.items():
        (folder / name).write_text(text, "utf-8")
    html = '<!doctype html><title>Paths</title><script type="module" src="main.js"></script>'
    (folder / "index.html").write_text(html, "utf-8")

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_message(self, *said: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shown = browser.new_page()
    said: list[str] = []
    shown.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.goto(f"http://127.0.0.1:{server.server_port}/index.html")
    shown.wait_for_function("globalThis.ready")
    shown.evaluate("ready.then((math) => { globalThis.math_ = math; })")
    yield shown
    shown.close()
    server.shutdown()
    server.server_close()
    assert [line for line in said if not ("404" in line or "unsafe-eval" in line)] == []


def test_the_policy_holds(page: Page) -> None:
    """And so what reads formulas needs no eval."""
    assert page.evaluate("evaluates") is False


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_have_the_same_derivatives(text: str, page: Page) -> None:
    here = "([text, places]) => { const f = formula(text, math_); "
    here += "return [f.uses, places.map(([x, y]) => [f.slope(x, y), f.hessian(x, y)])]; }"
    uses, found = page.evaluate(here, [text, PLACES])
    known = Formula(text)
    assert uses == sorted(known.uses)
    exact = derivatives_of(known)
    for place, (slope, hessian) in zip(PLACES, found, strict=True):
        np.testing.assert_allclose(slope, exact.slope(*place), rtol=1e-12, atol=1e-14, err_msg=f"{text} at {place}")
        if 0.0 not in place:
            np.testing.assert_allclose(
                hessian, exact.hessian(*place), rtol=1e-9, atol=1e-12, err_msg=f"{text} at {place}"
            )


REFUSE = """(text) => {
  try { formula(text, math_); return null; } catch (error) { return [error.constructor.name, error.message]; }
}"""


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_formula_is_refused_in_a_sentence(text: str, page: Page) -> None:
    with pytest.raises(FormulaError):
        Formula(text)
    found = page.evaluate(REFUSE, text)
    assert found is not None
    assert found[0] == "FormulaError", found
    assert found[1]


def test_a_typed_formula_is_walked_on(page: Page) -> None:
    text = "(x**2 + y - 11)**2 + (x + y**2 - 7)**2"
    walk = (
        "([text, start]) => { const {points} = path(rules.adam, formula(text, math_), {start, steps: 400, lr: 0.1}); "
    )
    points = np.array(page.evaluate(walk + "return [...points]; }", [text, [-0.5, -4]])).reshape(-1, 2)
    known = path(Surface("yours", Formula(text), ((-6, 6), (-6, 6)), (-0.5, -4)), "adam", steps=400, lr=0.1)
    np.testing.assert_allclose(points, known.points, rtol=1e-9)


def test_the_files_hold_all_rules_and_surfaces(page: Page) -> None:
    assert page.evaluate("Object.keys(surfaces)") == [*surfaces.ALL]
    assert page.evaluate("Object.values(rules).every((one) => one.begin && one.step && one.shared)")


#: Paths of every kind of end: at rates that make a point, and at rates too high for many a rule.
JUDGED = [
    *((one.method, surface, one.lr, one.start, dict(one.hyperparameters), surface.steps)
      for surface in surfaces.ALL.values() for one in surface.demonstrations),
    *((name, surface, lr, None, {}, 60)
      for name in ("sgd", "momentum", "nesterov", "adam") for surface in surfaces.ALL.values()
      for lr in (0.01, 0.3, 10.0)),
]  # fmt: skip
JUDGE = """
(cases) => cases.map(([name, on, points, rates, hyperparameters]) =>
  outcome({points: points.map((value) => value ?? NaN)}, surfaces[on], {limit: limits[name], rates, hyperparameters}))
"""


def test_what_became_of_a_path_is_told_in_the_same_words(page: Page) -> None:
    found = [path(surface, name, start, steps, lr=lr, **given) for name, surface, lr, start, given, steps in JUDGED]
    cases = [
        [rules.name_of(one.rule), one.surface.name, [None if np.isnan(x) else x for x in one.points.ravel().tolist()],
         [one.hyperparameters["lr"]] * (len(one.points) - 1), one.hyperparameters]
        for one in found
    ]  # fmt: skip
    endings = set()
    for known, told in zip(found, page.evaluate(JUDGE, cases), strict=True):
        assert told["sentence"] == known.description
        assert (told["ending"], told["step"]) == (known.outcome.ending, known.outcome.step)
        endings.add(told["ending"])
    assert endings == {"reached", "trapped", "left", "moving"}


def test_numbers_are_written_as_python_writes_them(page: Page) -> None:
    numbers = [0.0, 1.0, -2.5, 0.1 + 0.2, 1e-5, 123456.7, 1234567.0, 9.9999999, 1e22, 1.5e-300, 0.0001, 100.0, 1 / 3]
    for digits in (2, 3, 6):
        assert page.evaluate(
            "([numbers, digits]) => numbers.map((one) => general(one, digits))", [numbers, digits]
        ) == [f"{one:.{digits}g}" for one in numbers]
