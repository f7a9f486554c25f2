"""One decision over several problems: by hand, against that of one problem, and how often it is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from fallline.racing.decision import Entrant, OverProblems, ProblemRuns, decide, decide_over, fixed
from fallline.racing.decision.choice import choose
from fallline.racing.decision.records import Floats
from tests.racing.decision.cases import given, searched

NAN = math.nan
SEEDS = np.array([-0.02, 0.0, 0.01, 0.01, 0.0, -0.01, 0.02, -0.01])
OTHER = np.array([0.0, 0.01, -0.02, 0.02, -0.01, 0.0, 0.01, -0.01])
STEPS = np.array([10.0, 20.0, 40.0, 80.0])


def problem(name: str, *arms: Entrant, untrained: float | None = 1.0, **rest: Any) -> ProblemRuns:
    return ProblemRuns(name, arms, False, untrained, **rest)


def three(gap: float, seed: int, **rest: Any) -> list[Entrant]:
    rng = np.random.default_rng(seed)
    return [searched(f"arm{place}", 0.3 + gap * place, rng, **rest) for place in range(3)]


def ends(found: OverProblems) -> Floats:
    return np.array([pair for pair in found.distances.values() if pair is not None])


@pytest.mark.parametrize("examples", [0, 50])
def test_one_problem_is_decided_as_its_race_is(examples: int) -> None:
    arms = three(0.01, 0, examples=examples)
    alone, found = (
        decide(arms, higher_is_better=False, untrained=2.0),
        decide_over([ProblemRuns("p", arms, False, 2.0)]),
    )
    chosen = [choose(one, 1.0, 2.0, np.random.default_rng([0, *one.name.encode()])) for one in arms]
    gain = 2.0 - min(one.loss for one in chosen if one is not None)
    own = np.array([pair for pair in alone.distances.values() if pair is not None])
    assert ends(found) * gain == pytest.approx(own, rel=1e-9, abs=1e-12)
    assert (found.take, found.winner, found.tied) == (alone.take and alone.take.arm, alone.winner, alone.tied)
    assert [*found.behind] == [*alone.behind]
    assert found.without == {}


def test_two_problems_by_hand() -> None:
    """The mean of two normalised paired differences, with Satterthwaite's degrees of freedom."""
    first = [given("a", 0.2 + SEEDS), given("b", 0.3 + OTHER)]
    second = [given("a", 10.0 + 30 * SEEDS), given("b", 15.0 + 30 * OTHER)]
    found = decide_over([problem("p", *first), problem("q", *second, untrained=50.0)])
    variance = float((OTHER - SEEDS).var(ddof=1)) / 8
    parts = variance / (2 * 0.8) ** 2, 900 * variance / (2 * 40.0) ** 2
    freedom = sum(parts) ** 2 / sum(part**2 / 7 for part in parts)
    middle = (0.1 / 0.8 + 5.0 / 40.0) / 2
    reach = float(student.ppf(0.975, freedom)) * math.sqrt(sum(parts))
    assert found.distances["b"] == pytest.approx((middle - reach, middle + reach))
    assert found.distances["a"] == (0.0, 0.0)
    assert found.shares == {"a": {"p": 0.0, "q": 0.0}, "b": {"p": pytest.approx(0.125), "q": pytest.approx(0.125)}}
    assert (found.take, found.winner) == ("a", "a")
    assert found.behind == {"b": pytest.approx(middle - reach)}


def test_units_signs_and_order_do_not_matter() -> None:
    def made(scale: float, *, higher: bool) -> ProblemRuns:
        sign = -scale if higher else scale
        arms = [
            replace(one, trials=sign * one.trials + 3, validation=sign * one.validation + 3, test=sign * one.test + 3)
            for one in three(0.02, 1)
        ]
        return ProblemRuns("q", arms, higher, sign * 2.0 + 3)

    whole = decide_over([ProblemRuns("p", three(0.01, 0), False, 2.0), made(1.0, higher=False)])
    for scale, higher in ((1e-3, False), (1e4, True)):
        other = decide_over([made(scale, higher=higher), ProblemRuns("p", three(0.01, 0)[::-1], False, 2.0)])
        assert ends(other) == pytest.approx(ends(whole), rel=1e-6, abs=1e-9)
        assert [*other.distances] == [*whole.distances]
        assert (other.take, other.tied, other.winner) == (whole.take, whole.tied, whole.winner)


def test_luck_with_the_same_points_does_not_average_out() -> None:
    def widest(*seeds: int, searches: bool = True) -> float:
        arms = three(0.0, 3, noise=0.001) if searches else [given("a", 0.2 + SEEDS), given("b", 0.2 + OTHER)]
        found = decide_over([ProblemRuns(f"p{place}", arms, False, 2.0, seed=one) for place, one in enumerate(seeds)])
        return float(ends(found).max())

    alone, same, own, pairs = widest(0), widest(0, 0, 0, 0), widest(0, 1, 2, 3), widest(0, 0, 1, 1)
    assert own < pairs < same < 1.05 * alone
    assert own < 0.7 * same
    assert widest(0, 0, 0, searches=False) == widest(0, 1, 2, searches=False) < widest(0, searches=False)


@pytest.mark.parametrize(
    ("losses", "share", "diverged"),
    [
        ([NAN] * 8, 1.0, True),
        ([7.0, 9.0, 8.0, 7.0, 8.0, 8.0, 7.0, 1e5], 1.0, False),  # worse than untrained counts as untrained
        ([0.2] * 7 + [1e5], 0.125, False),
        ([0.2] * 7 + [NAN], 0.125, False),
    ],
)
@pytest.mark.parametrize("examples", [False, True])
def test_no_run_counts_for_more_than_the_untrained_model(
    losses: list[float], share: float, diverged: bool, examples: bool
) -> None:
    def arm(name: str, values: Floats) -> Entrant:
        return fixed(name, values, values, values[:, None] + np.array([-0.01, 0.01] * 10) if examples else None)

    sound = arm("a", np.full(8, 0.2))
    found = decide_over(
        [problem("p", sound, arm("b", np.array(losses))), problem("q", sound, arm("b", np.full(8, 0.2)))]
    )
    assert found.shares["b"] == {"p": pytest.approx(share), "q": pytest.approx(0.0)}
    assert found.diverged == ({"b": ("p",)} if diverged else {})
    assert ("b diverged as a whole on p, and counts as untrained there." in found.lines) == diverged
    assert found.take == "a"


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (problem("q", given("a", 0.2 + SEEDS), given("b", 0.3 + OTHER), untrained=None), "the untrained model has no"),
        (problem("q", given("a", 0.2 + SEEDS), given("b", 0.3 + OTHER), untrained=NAN), "the untrained model has no"),
        (problem("q", given("a", 1.0 + SEEDS), given("b", 1.0 + OTHER)), "no arm is better than the untrained model"),
        (problem("q", given("a", 2.0 + SEEDS), given("b", 2.0 + OTHER)), "no arm is better than the untrained model"),
        (problem("q", given("a", np.array([NAN] * 8)), given("b", np.array([NAN] * 8))), "no arm is better than"),
        (problem("q", given("a", np.array([0.2])), given("b", np.array([0.3]))), "one seed tells nothing of chance"),
    ],
)
def test_what_does_not_count(left: ProblemRuns, reason: str) -> None:
    counts = problem("p", given("a", 0.2 + SEEDS), given("b", 0.3 + OTHER))
    found = decide_over([counts, left])
    assert found.problems == ("p",)
    assert found.left_out["q"].startswith(reason)
    assert replace(found, left_out={}, lines=()) == replace(decide_over([counts]), lines=())
    assert f"q is left out: {found.left_out['q']}." in found.lines
    nothing = decide_over([left])
    assert (nothing.take, nothing.at_most_below_best, nothing.problems) == (None, None, ())
    assert nothing.lines[0] == "Nothing can be taken over these problems."
    assert str(nothing).splitlines() == list(nothing.lines)


def test_arms_that_were_not_in_every_race_are_not_compared() -> None:
    a, b, c = given("a", 0.2 + SEEDS), given("b", 0.3 + OTHER), given("c", 0.1 + OTHER)
    found = decide_over([problem("p", a, b, c), problem("q", a, b)])
    assert (found.apart, found.distances["c"], found.take) == (("c",), None, "a")
    assert found.winner is None  # c might be better
    assert found.lines[1] == "With 95 % confidence no arm that is compared is better over 2 problems."
    assert "Not compared, as not in every race: c." in found.lines
    assert [*found.shares] == ["a", "b"]
    alone = decide_over([problem("p", a, b), problem("q", a, c)])
    assert (alone.take, alone.at_most_below_best, alone.tied) == ("a", None, ())
    none = decide_over([problem("p", a), problem("q", b)])
    assert none.take is None
    assert none.left_out == {"p": "no arm was in every race", "q": "no arm was in every race"}


@pytest.mark.parametrize(
    ("gaps", "take", "other"),
    [
        ((0.1, 0.1, 0.1), "a", {}),
        ((0.4, -0.1, -0.1), "a", {"p": True}),  # a's lead is one problem's
        ((-0.1, -0.1, 0.3), "a", {"r": True}),
        ((0.001, 0.001, -0.0015), "a", {"p": False, "q": False}),
    ],
)
def test_leaving_problems_out(gaps: Sequence[float], take: str, other: dict[str, bool]) -> None:
    problems = [
        problem(name, given("a", 0.4 + SEEDS), given("b", 0.4 + gap + OTHER))
        for name, gap in zip("pqr", gaps, strict=True)
    ]
    found = decide_over(problems)
    assert found.take == take
    assert {name: one.behind for name, one in found.without.items() if one.take != take} == other
    for name, one in found.without.items():
        rest = decide_over([each for each in problems if each.problem != name])
        assert (one.take, one.at_most_below_best) == (rest.take, rest.at_most_below_best)
    said = "It would be taken as well with any one of the problems left out."
    assert (said in found.lines) == (not other)
    for name, behind in other.items():
        assert f"Without {name}, b would be taken{', and a be behind for certain' if behind else ''}." in found.lines


def curves(*halvings: float) -> Floats:
    """Losses at `STEPS` of eight runs, all of which have the same ones."""
    return np.array([halvings] * 8)


def test_steps_come_as_geometric_means() -> None:
    def made(name: str, slow: Floats, **rest: Any) -> ProblemRuns:
        fast = curves(4.0, 1.0, 1.0, 1.0)
        arms = [given(name, 0.2 + seeds, curves=one) for name, seeds, one in
                (("fast", SEEDS, fast), ("slow", OTHER, slow))]  # fmt: skip
        return problem(name, *arms, steps=STEPS, **rest)

    twice, four = made("p", curves(9.0, 4.0, 1.0, 1.0)), made("q", curves(9.0, 9.0, 4.0, 1.0))
    untold = replace(four, problem="r", steps=None)
    found = decide_over([twice, four, untold])
    assert found.take == "fast"
    assert found.decided_by == "speed"
    assert found.speeds is not None
    assert found.speeds.of["slow"].ratio == pytest.approx(math.sqrt(8.0))
    assert found.speed_problems == ("p", "q")
    assert "as a geometric mean over p and q" in found.legend
    missed = decide_over([twice, made("q", curves(NAN, NAN, NAN, NAN))])
    assert missed.speed_problems == ("p",)  # no level that both reach
    assert decide_over([untold]).speeds is None
    assert "How fast the arms are is not told by these races." in decide_over([untold]).lines


def test_an_arm_that_misses_the_level_on_one_problem_has_an_open_end() -> None:
    def made(name: str, last: Floats) -> ProblemRuns:
        rows = (("a", 0.2, curves(4.0, 2.0, 1.0, 1.0)), ("b", 0.2, curves(4.0, 2.0, 1.0, 1.0)), ("c", 0.9, last))
        return problem(name, *(given(arm, level + SEEDS, curves=one) for arm, level, one in rows), steps=STEPS)

    found = decide_over([made("p", curves(9.0, 4.0, 2.0, 1.0)), made("q", curves(9.0, 9.0, 9.0, 9.0))])
    assert found.speeds is not None
    assert (found.speeds.of["c"].high, found.speeds.of["c"].missed) == (math.inf, 8)
    assert math.isnan(found.speeds.of["c"].ratio)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["speed"]["c"][2] is None
    assert found.speeds.of["c"].low == 0.0  # eight seeds that agree to the last digit are too few to tell it


@pytest.mark.parametrize(("margin", "behind"), [(0.0, ["b"]), (0.05, ["b"]), (0.3, [])])
def test_a_margin_is_a_share_of_each_gain(margin: float, behind: list[str]) -> None:
    def made(name: str, scale: float) -> ProblemRuns:
        arms = (given("a", scale * (0.2 + SEEDS / 10)), given("b", scale * (0.3 + SEEDS / 10)))
        return problem(name, *arms, untrained=scale, margin=scale * margin)

    found = decide_over([made("p", 1.0), made("q", 7.0)])
    assert found.margin == pytest.approx(margin / 0.8)
    assert [*found.behind] == behind


def test_the_lines_and_the_table() -> None:
    arms = [given("[red]a", 0.2 + SEEDS, configuration={"lr": 0.1}), given("b", 0.3 + SEEDS), given("c", 0.2 + OTHER)]
    others = [replace(arms[0], configurations=[{"lr": 0.5}]), *arms[1:]]
    found = decide_over([problem("two-words", *arms), problem("q", *others)])
    reach = round(100 * found.distances["[red]a"][1], 1)  # type: ignore[index]
    assert found.lines == (
        "Take [red]a, the first by name of those that nothing tells apart.",
        f"With 95 % confidence it ends at most {reach} % of the gain below whichever arm is best over 2 problems, on "
        "average.",
        "Behind for certain on average: b by at least 12 %.",
        "Not told apart: [red]a and c.",
        "Its lr was tuned on each: from 0.1 to 0.5.",
        "It would be taken as well with any one of the problems left out.",
        "How fast the arms are is not told by these races.",
        "This holds for two-words and q as they are, of equal weight, and tells nothing of other problems.",
    )
    page = str(found).splitlines()
    rows = [line.split() for line in page if line.endswith(("0", "13", "12"))]
    assert [row[0] for row in rows] == ["[red]a", "c", "b"]
    assert max(map(len, page[len(found.lines) :])) <= 120
    assert repr(found) == "OverProblems(two-words and q, take '[red]a'; print it for the table)"


def test_json_is_plain() -> None:
    found = decide_over([problem("p", *three(0.05, 0)), problem("q", *three(0.05, 1))])
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["take"] == "arm0"
    assert told["problems"] == ["p", "q"]
    assert told["distances"] == {name: list(pair) for name, pair in found.distances.items() if pair}
    assert told["without"]["p"] == {"take": "arm0", "at_most_below_best": 0.0, "behind": False}
    assert told["ranking"][0] == "arm0"
    assert [*told["configurations"]["p"]] == ["lr"]


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ([], "problems must be at least one"),
        ([problem("p", given("a", SEEDS)), problem("p", given("a", SEEDS))], "each with a name of its own"),
        ([problem("p", given("a", SEEDS), given("a", SEEDS))], "Every arm must have a name of its own"),
        ([problem("p", given("a", SEEDS), given("b", SEEDS[:3]))], "the same seeds"),
    ],
)
def test_bad_input(problems: list[ProblemRuns], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decide_over(problems)


def test_equal_arms_are_seldom_told_apart_and_a_gap_on_all_problems_often() -> None:
    """The long table is in `benchmarks/over_problems.py`."""
    false = named = alone = 0
    for number in range(60):
        for gap in (0.0, 0.012):
            rng = np.random.default_rng([number, 5])
            problems = [
                ProblemRuns(
                    f"p{place}",
                    [searched("a", 0.3, rng, noise=0.02), searched("b", 0.3 + gap, rng, noise=0.02)],
                    False,
                    2.0,
                    seed=place,
                )
                for place in range(4)
            ]
            found = decide_over(problems)
            if gap:
                named += "b" in found.behind
                alone += "b" in decide_over(problems[:1]).behind
            else:
                false += bool(found.behind)
    assert false <= 4
    assert named >= 2 * alone
    assert named >= 30


def test_who_wins_within_a_margin_is_not_tied_as_well() -> None:
    """As with one race: b is worse, but not for certain by more than matters."""
    arms = [given("a", 0.2 + SEEDS / 10), given("b", 0.204 + OTHER / 10)]
    alone = decide(arms, higher_is_better=False, untrained=1.0, margin=0.004)
    found = decide_over([ProblemRuns(name, arms, False, 1.0, margin=0.004) for name in ("p", "q")])
    for one in (alone, found):
        assert (one.winner, one.tied, dict(one.behind)) == ("a", ("b",), {})
        assert any(line.startswith("Not worse than a for certain by more than ") for line in one.lines)
