from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fallline.racing.decision import Decision, Entrant, decide, fixed
from fallline.racing.decision.records import Floats
from tests.racing.decision.cases import given, searched

NAN, INF = math.nan, math.inf


def race(count: int = 3, *, gap: float = 0.05, examples: int = 0, seed: int = 0, **rest: Any) -> list[Entrant]:
    """Losses: each arm is worse than the one before it."""
    rng = np.random.default_rng(seed)
    return [searched(f"arm{place}", 0.3 + gap * place, rng, examples=examples, **rest) for place in range(count)]


def losses(arms: Sequence[Entrant], **rest: Any) -> Decision:
    return decide(arms, higher_is_better=False, **rest)


def flat(found: Decision) -> list[float]:
    ends = [end for pair in found.distances.values() for end in pair or (NAN, NAN)]
    return [*ends, *found.scores.values(), *found.behind.values()]


@pytest.mark.parametrize("examples", [0, 50])
def test_a_clear_race(examples: int) -> None:
    made = losses(race(examples=examples), untrained_validation=2.3)
    assert made.take is not None
    assert (made.take.arm, made.take.decided_by) == ("arm0", "alone")
    assert made.winner == "arm0"
    assert made.at_most_below_best == 0.0
    assert list(made.behind) == ["arm1", "arm2"]
    assert made.tied == ()
    assert made.settling is None
    for place, (name, ends) in enumerate(made.distances.items()):
        assert ends is not None
        assert ends[0] - 0.003 <= 0.05 * place <= ends[1] + 0.003  # no trial lies at the best place itself
        assert made.behind.get(name, 0.0) == ends[0]
    assert made.take.configuration is not None
    assert made.rates is not None
    assert made.rates.low <= made.take.configuration["lr"] <= made.rates.high


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.2])
def test_what_does_not_matter_is_neither_won_nor_lost(margin: float) -> None:
    made = losses(race(2), margin=margin)
    assert made.winner == (None if margin == 0.2 else "arm0")
    assert list(made.behind) == ([] if margin == 0.2 else ["arm1"])
    assert made.tied == (("arm0", "arm1") if margin == 0.2 else ())
    assert made.distances == losses(race(2)).distances


@pytest.mark.parametrize("examples", [0, 50])
@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_the_order_of_arms_is_no_matter(order: list[int], examples: int) -> None:
    arms = race(examples=examples, gap=0.01)
    assert losses([arms[place] for place in order]) == losses(arms)


@pytest.mark.parametrize("examples", [0, 50])
def test_the_sign_is_no_matter(examples: int) -> None:
    def negative(arm: Entrant) -> Entrant:
        shares = None if arm.examples is None else -arm.examples
        return replace(arm, trials=-arm.trials, validation=-arm.validation, test=-arm.test, examples=shares)

    arms = race(examples=examples, gap=0.01)
    there = losses(arms, untrained=2.3, untrained_validation=2.3)
    back = decide(
        [negative(arm) for arm in arms], higher_is_better=True, untrained=-2.3, untrained_validation=-2.3
    )  # fmt: skip
    assert {name: -score for name, score in back.scores.items()} == there.scores
    assert replace(back, scores={}, lines=(), higher_is_better=False) == replace(there, scores={}, lines=())


def moved(arm: Entrant, scale: float, shift: float) -> Entrant:
    def move(values: Floats) -> Floats:
        return scale * values + shift

    shares = None if arm.examples is None else move(arm.examples)
    return replace(
        arm, trials=move(arm.trials), validation=move(arm.validation), test=move(arm.test), examples=shares
    )  # fmt: skip


@pytest.mark.parametrize("examples", [0, 50])
@pytest.mark.parametrize(("scale", "shift"), [(2.0**20, 0.0), (2.0**-20, 0.0), (1.0, 8.0), (4.0, -3.0)])
def test_units_are_no_matter(scale: float, shift: float, examples: int) -> None:
    arms = race(examples=examples, gap=0.01)
    here, there = losses(arms), losses([moved(arm, scale, shift) for arm in arms])
    assert there.take == here.take
    for name, ends in here.distances.items():
        assert there.distances[name] == pytest.approx(tuple(scale * end for end in ends or ()), rel=1e-6)
        assert there.scores[name] == pytest.approx(scale * here.scores[name] + shift, rel=1e-9)


def test_twins_are_as_far_from_the_best() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 10))
    made = losses([given("a", one), given("b", other + 9), given("twin of a", one)])
    assert made.distances["a"] == made.distances["twin of a"] == (0.0, 0.0)
    assert made.winner is None
    assert made.tied == ("a", "twin of a")
    assert list(made.behind) == ["b"]
    assert made.settling is None
    assert made.take is not None
    assert (made.take.arm, made.take.decided_by) == ("a", "name")
    assert "With 95 % confidence no arm that is compared is better." in made.lines


def test_another_arm_changes_no_draws() -> None:
    three = losses(race(3))
    two = losses(race(3)[:2])
    assert {name: three.scores[name] for name in two.scores} == two.scores


def test_seeds_are_paired() -> None:
    rng = np.random.default_rng(0)
    common, own = 5 * rng.standard_normal(10), 0.1 * rng.standard_normal((2, 10))
    arms = [given("a", common + own[0]), given("b", common + own[1] + 0.5)]
    assert losses(arms).winner == "a"
    shuffled = [arms[0], given("b", rng.permutation(arms[1].test[0]))]
    assert losses(shuffled).winner is None


def test_what_the_test_split_alone_leaves_open() -> None:
    rng = np.random.default_rng(0)
    shares = rng.standard_normal((2, 10, 30)) + rng.standard_normal((2, 1, 30))
    arms = [given(name, one.mean(axis=1), examples=one) for name, one in zip("ab", shares, strict=True)]
    made = losses(arms)
    assert made.take is not None
    assert made.split_alone is not None
    order = [0, 1] if made.take.arm == "a" else [1, 0]
    found = ttest_rel(*shares[order].mean(axis=1)).confidence_interval(0.95)
    assert made.split_alone == pytest.approx(found.high)
    assert made.at_most_below_best is not None
    assert 0 < made.split_alone < made.at_most_below_best
    line = f"With endless seeds and trials, 30 test examples would still leave {made.split_alone:.3g} open."
    assert line in made.lines
    assert losses([replace(arm, examples=None) for arm in arms]).split_alone is None


@pytest.mark.parametrize(("bounds", "most"), [((0.0, 1.0), 1.0), ((0.0, 50.0), 3.81), ((0.0, INF), 3.81)])
def test_no_distance_is_longer_than_the_scale(bounds: tuple[float, float], most: float) -> None:
    made = losses([given("a", np.array([0.0, 0.6])), given("b", np.array([0.3, 0.3]))], bounds=bounds)
    assert made.distances["a"] == made.distances["b"] == pytest.approx((0.0, most), abs=0.01)


def test_an_arm_that_diverged_as_a_whole_keeps_nobody_from_winning() -> None:
    made = losses([*race(2), given("z", np.full(10, math.nan))])
    assert (made.winner, made.apart, list(made.behind)) == ("arm0", ("z",), ["arm1"])
    assert "With 95 % confidence no arm that is compared is better." in made.lines


def test_my_own_setting_is_judged_as_it_is() -> None:
    rng = np.random.default_rng(0)
    own = 0.3 + 0.005 * rng.standard_normal(10)
    made = losses([*race(2), fixed("mine", own, own, configuration={"lr": 3e-4})])
    assert made.take is not None
    assert "mine" in made.tied
    assert made.distances["mine"] is not None
    assert losses([fixed("mine", own - 0.2, own - 0.2, configuration={"lr": 3e-4}), *race(2)]).lines[0] == (
        "Keep mine with lr = 0.0003."
    )


# What can be said of little: never a number made up.

SPREAD = np.linspace(0.30, 0.31, 10)
ALL_BAD, HALF_BAD = np.full(10, NAN), np.where(np.arange(10) < 5, NAN, SPREAD - 0.05)
CONSTANT = np.full(10, 0.3)


def three_examples(name: str, level: float) -> Entrant:
    rng = np.random.default_rng(len(name))
    shares = level + 0.1 * rng.standard_normal((10, 3))
    return given(name, shares.mean(axis=1), examples=shares)


POOR: dict[str, tuple[list[Entrant], dict[str, Any], dict[str, Any], str]] = {
    "one arm": (
        [given("a", SPREAD)], {},
        {"take": "a", "most": None, "winner": None, "behind": [], "tied": (), "distances": {"a": None}},
        "There is nothing to compare it with.",
    ),
    "one seed": (
        [given("a", SPREAD[:1]), given("b", SPREAD[1:2])], {},
        {"take": "a", "most": None, "winner": None, "behind": [], "tied": (), "distances": {"a": None, "b": None}},
        "One seed tells nothing of chance, so no arm is told from another: run several.",
    ),
    "all diverged": (
        [given("a", ALL_BAD), given("b", ALL_BAD)], {},
        {"take": None, "most": None, "winner": None, "behind": [], "tied": (), "apart": ("a", "b"),
         "diverged": {"a": 10, "b": 10}, "distances": {"a": None, "b": None}, "scores": {}},
        "Nothing can be taken: a and b diverged.",
    ),
    "all diverged, untrained known": (
        [given("a", ALL_BAD), given("b", ALL_BAD)], {"untrained": 2.3},
        {"take": None, "apart": ("a", "b"), "scores": {}}, "Nothing can be taken: a and b diverged.",
    ),
    "one of two diverged": (
        [given("a", ALL_BAD), given("b", SPREAD)], {"untrained": 2.3},
        {"take": "b", "most": None, "winner": None, "apart": ("a",), "distances": {"a": None, "b": None}},
        "a is not compared, as a run that diverged has no score.",
    ),
    "half of the seeds diverged": (
        [given("a", HALF_BAD), given("b", SPREAD), given("c", SPREAD[::-1] + 0.1)], {},
        {"take": "b", "most": 0.0, "winner": None, "behind": ["c"], "apart": ("a",), "diverged": {"a": 5},
         "scores": {"b": 0.305, "c": 0.405}},
        "With 95 % confidence no arm that is compared is better.",
    ),
    "half of the seeds diverged, untrained known": (
        [given("a", HALF_BAD), given("b", SPREAD)], {"untrained": 2.3},
        {"take": "b", "winner": "b", "behind": ["a"], "apart": (), "diverged": {"a": 5},
         "scores": {"a": (0.2575 + 2.3) / 2 + 0.0013888888, "b": 0.305}},
        "Final runs diverged: a in 5 of 10.",
    ),
    "three examples": (
        [three_examples("a", 0.3), three_examples("bb", 0.31)], {},
        {"winner": None, "behind": [], "tied": ("a", "bb")},
        "3 test examples are few to tell what others would come to.",
    ),
    "one example": (
        [given("a", SPREAD, examples=SPREAD[:, None]), given("b", SPREAD[::-1], examples=SPREAD[::-1, None])], {},
        {"winner": None, "tied": ("a", "b")},
        "Scores do not split by test example, so how much hangs on this test split is not included.",
    ),
    "no examples": (
        [given("a", SPREAD), given("b", SPREAD[::-1])], {}, {"winner": None, "tied": ("a", "b")},
        "Scores do not split by test example, so how much hangs on this test split is not included.",
    ),
    "constant and equal": (
        [given("a", CONSTANT), given("b", CONSTANT)], {},
        {"take": "a", "most": 0.0, "winner": None, "behind": [], "tied": ("a", "b"),
         "distances": {"a": (0.0, 0.0), "b": (0.0, 0.0)}},
        "Take a, the first by name of those that nothing tells apart.",
    ),
    "constant and different": (
        [given("a", CONSTANT), given("b", CONSTANT + 0.5)], {},
        {"take": "a", "most": 0.0, "winner": "a", "behind": ["b"]}, "Behind for certain: b by at least 0.5.",
    ),
    "constant and different over two seeds": (
        [given("a", CONSTANT[:2]), given("b", CONSTANT[:2] + 0.5)], {},
        {"take": "a", "most": None, "winner": None, "behind": [], "tied": ("a", "b")},
        "If a and b differ as they seem to, 6 seeds would tell them apart in four of five races.",
    ),
    "one finalist": (
        [searched("a", 0.3, np.random.default_rng(0), finalists=1), given("b", SPREAD)], {}, {},
        "With one finalist, another draw of the trials of a is not included.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POOR)
def test_little_gives_what_can_be_said(name: str) -> None:
    arms, given_too, expected, line = POOR[name]
    made = losses(arms, **given_too)
    found = {
        "take": None if made.take is None else made.take.arm, "most": made.at_most_below_best, "winner": made.winner,
        "behind": list(made.behind), "tied": made.tied, "apart": made.apart, "diverged": dict(made.diverged),
        "distances": dict(made.distances), "scores": pytest.approx(made.scores, rel=1e-3),
    }  # fmt: skip
    for key, value in expected.items():
        assert found[key] == value, key
    assert line in made.lines
    told = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert told["take"] == (None if made.take is None else {
        "arm": made.take.arm, "configuration": None, "decided_by": made.take.decided_by,
    }) or name == "one finalist"  # fmt: skip


def test_all_that_is_said_of_one_arm() -> None:
    assert losses([given("a", SPREAD)]).lines == (
        "Take a.",
        "There is nothing to compare it with.",
        "This holds on this problem, budget and split only: 10 seeds.",
    )


def test_of_an_arm_that_is_not_compared_the_soundest_configuration_is_counted() -> None:
    runs = np.stack([SPREAD, SPREAD])
    runs[0, :2], runs[1, :1] = NAN, NAN
    arm = Entrant("a", np.array([0.1, 0.2]), np.array([0, 1]), runs, runs)
    made = losses([arm, given("b", SPREAD)])
    assert (made.apart, dict(made.diverged)) == (("a",), {"a": 1})
    known = losses([arm, given("b", SPREAD)], untrained=2.3)
    assert (known.apart, dict(known.diverged)) == ((), {"a": 1})


@pytest.mark.parametrize(
    ("given_too", "message"),
    [
        ({"untrained": NAN}, "untrained must be a finite number, not nan."),
        ({"untrained": INF}, "untrained must be a finite number, not inf."),
        ({"untrained_validation": NAN}, "untrained_validation must be a finite number, not nan."),
        ({"margin": NAN}, "margin must be a finite number, not nan."),
        ({"margin": -0.1}, "margin must be at least 0, not -0.1."),
        ({"bounds": (1.0, 0.0)}, "bounds must be the lower end of the score and then the upper one, not (1.0, 0.0)."),
        ({"bounds": (1.0, 1.0)}, "bounds must be the lower end of the score and then the upper one, not (1.0, 1.0)."),
        ({"bounds": (0.0, NAN)}, "bounds must be the lower end of the score and then the upper one, not (0.0, nan)."),
        ({"look": 0}, "look must be 1 for the first, 2 for the second and so on, not 0."),
    ],
)
def test_numbers_out_of_range_are_refused(given_too: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        losses(race(2), **given_too)
    assert str(caught.value) == message


def test_the_whole_of_what_is_said() -> None:
    steps = np.arange(10.0, 210.0, 10.0)
    rng = np.random.default_rng(4)
    names, levels, rates = ("adam", "lion", "sgd"), (0.300, 0.302, 0.4), (0.04, 0.03, 0.02)
    arms = [
        searched(name, level, rng, examples=100, curves=np.exp(-rate * steps) * np.ones((5, 10, 1)))
        for name, level, rate in zip(names, levels, rates, strict=True)
    ]
    made = losses(arms, steps=steps, untrained=2.3, untrained_validation=2.3, metric="loss")
    assert str(made).splitlines() == [
        "Take adam with lr = 0.0237.",
        "With 95 % confidence it ends at most 0.0104 above whichever arm is best.",
        "At this setting it gets to a validation loss of 0.00248 in 150 steps.",
        "For certain more steps, at theirs: lion 1.33 times (1.33 to 1.33); sgd at least 1.33 times.",
        "Runs that missed it: sgd in 10 of 10; they count as having needed every step.",
        "lr from 0.000133 to 0.75 keeps 90 % of its gain.",
        "Behind for certain: sgd by at least 0.0813.",
        "Not told apart: adam and lion.",
        "If adam and lion differ as they seem to, 178 seeds would tell them apart in four of five races.",
        "This holds on this problem, budget and split only: 10 seeds, 100 test examples and 16 trials an arm.",
    ]


SAY: list[tuple[int, str, str]] = [
    (5, "Not told apart: 5 arms.", "Not told apart: arm0, arm1, arm2, arm3 and arm4."),
    (4, "Not told apart: arm0, arm1, arm2 and arm3.", "Not told apart: 4 arms."),
]


@pytest.mark.parametrize(("count", "said", "not_said"), SAY)
def test_many_names_are_a_tables_work(count: int, said: str, not_said: str) -> None:
    made = losses(race(count, gap=0.0))
    assert said in made.lines
    assert not_said not in made.lines


@pytest.mark.parametrize(("higher", "side"), [(True, "below"), (False, "above")])
def test_which_side_of_the_best(higher: bool, side: str) -> None:
    runs = np.random.default_rng(0).standard_normal((2, 10))
    made = decide([given("a", runs[0]), given("b", runs[1])], higher_is_better=higher)
    assert (
        f"With 95 % confidence it ends at most {made.at_most_below_best:.3g} {side} whichever arm is best."
        in made.lines
    )


@pytest.mark.parametrize("arms", [2, 6])
@pytest.mark.parametrize("gap", [0.0, 0.01])
def test_what_is_said_of_distances_holds(arms: int, gap: float) -> None:
    """Of searched arms, against the true quality of the places that they take."""
    broken = wrong = 0
    for number in range(60):
        rng = np.random.default_rng([number, arms])
        made_arms = [searched(f"arm{place}", gap * place, rng) for place in range(arms)]
        made = losses(made_arms)
        assert made.take is not None
        true = {}
        for place, arm in enumerate(made_arms):
            assert arm.places is not None
            taken = np.concatenate([arm.trials[arm.finals, None], arm.validation], axis=1).sum(axis=1).argmin()
            true[arm.name] = gap * place + 0.5 * (arm.places[arm.finals[taken]] - 0.6) ** 2
        best = min(true.values())
        assert made.at_most_below_best is not None
        broken += true[made.take.arm] - best > made.at_most_below_best + 1e-12
        wrong += any(true[name] - best < least - 1e-12 for name, least in made.behind.items())
    assert broken <= 7
    assert wrong <= 7


@pytest.mark.parametrize(
    ("families", "told"),
    [
        ({}, "6 arms"),
        (dict.fromkeys("abc", "Adam"), "6 arms, 3 of Adam's family, d, e and f"),
        ({**dict.fromkeys("abc", "Adam"), "d": "momentum"}, "6 arms, 3 of Adam's family, d, e and f"),
        ({**dict.fromkeys("abc", "Adam"), **dict.fromkeys("ef", "momentum")},
         "6 arms, 3 of Adam's family, 2 of momentum's family and d"),
    ],
)  # fmt: skip
def test_many_arms_are_told_by_their_families(families: dict[str, str], told: str) -> None:
    losses = np.random.default_rng(0).standard_normal((6, 10))
    arms = [fixed(name, one, one) for name, one in zip("abcdef", losses, strict=True)]
    made = decide(arms, higher_is_better=False, families=families)
    assert f"Not told apart: {told}." in made.lines


@pytest.mark.parametrize(
    ("behind", "margin", "told"),
    [
        (0.5, 0.0, "Change from mine: a gains 0.4"),
        (0.005, 0.0, "What a gains over mine is not certain: -0.0"),
        (0.02, 0.3, "What a gains over mine does not matter: stay with it, if it is what you have."),
    ],
)
def test_whether_to_keep_ones_own_setting_is_told(behind: float, margin: float, told: str) -> None:
    rng = np.random.default_rng(0)
    losses = 0.3 + behind + 0.01 * rng.standard_normal(10)
    mine = fixed("mine", losses, losses, configuration={})
    made = decide([searched("a", 0.3, rng), mine], higher_is_better=False, margin=margin)
    assert made.take is not None
    assert made.take.arm == "a"
    low, high = made.gains["mine"]
    assert low < behind < high
    assert any(line.startswith(told) for line in made.lines), made.lines
    assert decide([mine, replace(mine, name="other")], higher_is_better=False).gains == {}
