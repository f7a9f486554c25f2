"""How long a page takes to compute the paths of five optimizers by itself, from JavaScript that the rules print.

In headless Chromium, on a machine as it is: each round walks all five for 400 steps on a surface at a new rate,
as when a slider is dragged; of the rounds the median, the 99th percentile and the worst, in milliseconds. The first
rounds, in which the browser compiles, are told apart. Last the same five by `fallline.landscape.path`.

    python -m benchmarks.page_paths --rounds 300
"""

from __future__ import annotations

import argparse
import base64
import shutil
import time
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from fallline.landscape import path, surfaces
from fallline.pages.modules import modules

RULES = ("gradient_descent", "momentum", "rmsprop", "adam", "lamb")
STEPS = 400
ROUNDS = """
async ([sources, names, on, typed, rounds, steps]) => {
  const load = (name) => import(`data:text/javascript;base64,${sources[name]}`);
  const [{path}, {rules}, {surfaces}] = await Promise.all(["descent.js", "rules.js", "surfaces.js"].map(load));
  let surface = surfaces[on];
  if (typed) {
    const {formula} = await load("formula.js");
    surface = {...surface, ...formula(typed, globalThis.math)};
  }
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    for (const name of names) path(rules[name], surface, {steps, lr: 0.001 * (1 + round / rounds)});
    times.push(performance.now() - began);
    await new Promise(requestAnimationFrame);
  }
  return times;
}
"""
TYPED = "(x**2 + y - 11)**2 + (x + y**2 - 7)**2"


def told(name: str, times: list[float]) -> None:
    first, rest = times[:5], times[5:]
    print(
        f"{name:28} median {median(rest):6.2f}  99 % {np.percentile(rest, 99):6.2f}  worst {max(rest):6.2f}  "
        f"first {', '.join(f'{one:.1f}' for one in first)}"
    )


def by_python(on: str, rounds: int) -> list[float]:
    times = []
    for round in range(rounds):
        began = time.perf_counter()
        for name in RULES:
            path(surfaces.find(on), name, steps=STEPS, lr=0.001 * (1 + round / rounds))
        times.append(1000 * (time.perf_counter() - began))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    texts = modules()
    sources: dict[str, Any] = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=texts["math.js"])
        for on in ("ravine", "himmelblau", "goldstein-price"):
            told(f"page, {on}", page.evaluate(ROUNDS, [sources, RULES, on, "", rounds, STEPS]))
        told("page, typed himmelblau", page.evaluate(ROUNDS, [sources, RULES, "himmelblau", TYPED, rounds, STEPS]))
        browser.close()
    for on in ("ravine", "himmelblau"):
        told(f"Python, {on}", by_python(on, 20))


if __name__ == "__main__":
    main()
