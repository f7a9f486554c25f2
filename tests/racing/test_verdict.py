import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from fallline.racing.arms.dimensions import Choice, Dimension, Range
from fallline.racing.judging.records import LARGEST_SCORE, Comparison, Entry, Final, Trial, Verdict
from fallline.racing.judging.verdict import decide

SPACE = {"lr": Range(1e-4, 10.0)}


def entry(
    name: str,
    finals: ArrayLike,
    *,
    validation: Sequence[float] | None = None,
    examples: np.ndarray | None = None,
    diverged: ArrayLike | None = None,
    trials_diverged: bool = False,
    step_seconds: float | Sequence[float] = 1e-5,
    bytes_per_parameter: float = 12.0,
) -> Entry:
    """An arm of 16 trials whose first ones have the given finals (finals, seeds), best by validation first."""
    scores = np.atleast_2d(np.asarray(finals, dtype=float))
    failed = np.zeros(scores.shape, dtype=bool) if diverged is None else np.asarray(diverged)
    validation = np.linspace(0.1, 1.6, 16).tolist() if validation is None else validation
    trials = tuple(Trial({"lr": 10.0 ** (i % 5 - 3)}, score, trials_diverged) for i, score in enumerate(validation))
    runs = tuple(Final(i, row, failed[i], None if examples is None else examples[i]) for i, row in enumerate(scores))
    return Entry(name, trials, runs, SPACE, bytes_per_parameter, step_seconds)


def noisy(name: str, level: float, *, seed: int = 0, noise: float = 0.02, seeds: int = 10, **more: Any) -> Entry:
    """An arm whose five finals all lie around one level: another draw of trials changes little."""
    scores = level + noise * np.random.default_rng([seed, *name.encode()]).standard_normal((5, seeds))
    return entry(name, scores, **more)


def judged(*entries: Entry, **changes: Any) -> Verdict:
    return decide(entries, **{"higher_is_better": False, "untrained": 2.3, **changes})


def numbers(comparison: Comparison) -> list[float]:
    found: list[float] = []
    for value in dataclasses.astuple(comparison):
        found += value if isinstance(value, tuple) else [value]
    return [value for value in found if isinstance(value, float)]


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and ". " not in text and text[0].isupper() and "\n" not in text


def test_a_clear_gap_wins() -> None:
    verdict = judged(noisy("sgd", 0.5), noisy("adam", 0.3), noisy("rmsprop", 0.6))
    assert verdict.winner == "adam"
    assert verdict.ranking == ("adam", "sgd", "rmsprop")
    assert verdict.ties == ()
    assert [one.other for one in verdict.comparisons] == ["sgd", "rmsprop"]
    assert all(one.separated and one.failed == () for one in verdict.comparisons)
    assert "adam wins (mean test loss 0.3" in verdict.sentence
    assert is_one_sentence(verdict.sentence)


def test_orientation_does_not_matter() -> None:
    examples = {
        name: np.random.default_rng(0).normal(level, 0.1, (5, 10, 30)) for name, level in (("a", 0.3), ("b", 0.5))
    }
    loss = judged(*(entry(name, one.mean(axis=2), examples=one) for name, one in examples.items()))
    mirrored = (entry(name, -one.mean(axis=2), examples=-one) for name, one in examples.items())
    gain = judged(*mirrored, higher_is_better=True, untrained=-2.3)
    assert gain.winner == loss.winner == "a"
    assert gain.comparisons[0].best_score == -loss.comparisons[0].best_score
    for field in ("difference", "settings_p", "study", "split", "smallest_difference"):
        assert getattr(gain.comparisons[0], field) == pytest.approx(getattr(loss.comparisons[0], field))


def test_each_arm_has_a_draw_of_trials_of_its_own() -> None:
    finals = np.linspace(0.3, 0.7, 5)[:, None] + np.zeros(10)
    study = judged(entry("a", finals), entry("b", finals)).comparisons[0].study
    assert study is not None
    low, high = study
    assert low < -0.05
    assert high > 0.05


def test_identical_arms_tie_in_the_order_of_their_names() -> None:
    same = np.random.default_rng(0).normal(0.3, 0.02, (5, 10))
    verdict = judged(entry("b", same), entry("a", same))
    assert verdict.winner is None
    assert verdict.ties == (("a", "b"),)
    assert verdict.comparisons[0].settings_p == 1.0
    assert (
        verdict.sentence.split(", it is a ")[1].split(" (mean")[0]
        == "tie, so no winner is named: a and b share the lead"
    )
    assert (
        "not told apart, since other seeds or other trials could change their order; step times can't be"
        in verdict.sentence
    )
    assert is_one_sentence(verdict.sentence)


@pytest.mark.parametrize(("smallest", "winner"), [(0.1, "adam"), (0.3, None)])
def test_a_gap_must_exceed_the_smallest_difference(smallest: float, winner: str | None) -> None:
    verdict = judged(noisy("adam", 0.3), noisy("sgd", 0.5), smallest_difference=smallest)
    assert verdict.winner == winner
    assert (verdict.ties == ()) == (winner is not None)
    if winner is None:
        assert verdict.comparisons[0].failed == ("split",)
        assert "a lead of no more than 0.3 does not count" in verdict.sentence


@pytest.mark.parametrize(
    ("best", "other", "smallest", "counts"),
    [
        (0.25, 0.5, 0.25, False),  # no more than that
        (0.25, 0.5, 0.25 - 1e-12 * 0.5, False),  # no more but for the rounding of sums
        (0.25, 0.5, 0.25 - 1e-11, True),
        (0.0, 0.0, 0.0, False),
    ],
)
def test_a_lead_of_just_the_smallest_difference_does_not_count(
    best: float, other: float, smallest: float, counts: bool
) -> None:
    arms = [entry(name, np.full((5, 10), level)) for name, level in (("a", best), ("b", other))]
    (comparison,) = judged(*arms, smallest_difference=smallest).comparisons
    assert ("split" in comparison.failed) == (not counts)


def test_smallest_difference_defaults_to_one_standard_error_over_the_examples() -> None:
    rng = np.random.default_rng(0)
    contributions = {name: rng.normal(level, 1.0, (5, 10, 40)) for name, level in (("a", 0.3), ("b", 0.5))}
    verdict = judged(*(entry(name, one.mean(axis=2), examples=one) for name, one in contributions.items()))
    best = contributions[verdict.ranking[0]][0].mean(axis=0)
    assert verdict.comparisons[0].smallest_difference == pytest.approx(best.std(ddof=1) / math.sqrt(40))


def test_one_lucky_test_example_does_not_win() -> None:
    correct = np.ones((5, 10, 360))
    correct[:, :, :20] = 0.0
    lucky = correct.copy()
    lucky[:, :, 0] = 1.0  # every seed gets this one right: p = 2/1024 for the settings
    arms = [entry(name, one.mean(axis=2), examples=one) for name, one in (("plain", correct), ("lucky", lucky))]
    verdict = judged(*arms, higher_is_better=True, untrained=0.1, smallest_difference=0.0, metric="accuracy")
    assert verdict.winner is None
    assert verdict.comparisons[0].failed == ("split",)
    assert "but other test examples could change their order, so no winner is named" in verdict.sentence
    without = [
        dataclasses.replace(arm, finals=tuple(dataclasses.replace(f, examples=None) for f in arm.finals))
        for arm in arms
    ]
    assert judged(*without, higher_is_better=True, untrained=0.1, smallest_difference=0.0).winner == "lucky"


def test_one_lucky_trial_does_not_win() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((5, 10))
    lucky = noise + np.array([0.2, 0.5, 0.5, 0.5, 0.5])[:, None]
    steady = noise[::-1] + 0.3
    verdict = judged(entry("lucky", lucky), entry("steady", steady))
    assert verdict.ranking[0] == "lucky"
    assert verdict.winner is None
    assert verdict.comparisons[0].failed == ("study",)
    assert "settings found for lucky are ahead" in verdict.sentence
    assert (
        "but other trials could change their order, so no winner is named: it is a tie with steady" in verdict.sentence
    )
    assert verdict.ties == (("lucky", "steady"),)


ROW = [8, 7, 9, 6, 10, *range(6), *range(11, 16)]  # places of the trials, the best five neighbours
LR = Range(1e-3, 1.0)


@pytest.mark.parametrize(
    ("good", "stratified", "space", "winner"),
    [
        # three good neighbours are never missed, three of sixteen drawn together in (13 / 16)**16 = 1 / 28
        (3, True, {"lr": LR}, "lucky"),
        (3, False, {"lr": LR}, None),
        (3, True, {"lr": LR, "momentum": Range(0.5, 0.999, "complement")}, None),
        (3, True, {"lr": Choice((0.1,))}, None),
        (2, True, {"lr": LR}, None),  # 9 / 256
    ],
)
def test_stratified_trials_of_one_range_are_drawn_among_neighbours(
    good: int, stratified: bool, space: Mapping[str, Dimension], winner: str | None
) -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal((5, 10))
    configurations = [{"lr": 10 ** (-3 + 0.2 * place), "momentum": 0.9} for place in ROW]

    def searched(name: str, levels: Sequence[float]) -> Entry:
        plain = entry(name, noise + np.array(levels)[:, None])
        trials = tuple(
            dataclasses.replace(trial, configuration=configuration)
            for trial, configuration in zip(plain.trials, configurations, strict=True)
        )
        return dataclasses.replace(plain, trials=trials, space=space, stratified=stratified)

    lucky = searched("lucky", [0.2] * good + [0.5] * (5 - good))
    verdict = judged(lucky, searched("steady", [0.3] * 5))
    assert (verdict.winner, verdict.comparisons[0].failed) == (winner, () if winner else ("study",))


def test_pairing_by_seed_sees_through_the_seeds_own_noise() -> None:
    luck = 0.3 * np.random.default_rng(0).standard_normal(10)
    finals = np.tile(luck, (5, 1)) + 0.001 * np.random.default_rng(1).standard_normal((5, 10))
    verdict = judged(entry("a", finals + 1.0), entry("b", finals + 1.05), smallest_difference=0.01)
    assert verdict.winner == "a"


@pytest.mark.parametrize(("seeds", "winner"), [(5, None), (6, "adam")])
def test_five_seeds_never_name_a_winner(seeds: int, winner: str | None) -> None:
    verdict = judged(noisy("adam", 0.3, seeds=seeds), noisy("sgd", 1.5, seeds=seeds))
    assert verdict.winner == winner
    assert verdict.comparisons[0].settings_p == 2 / 2**seeds
    assert any("seeds" in warning for warning in verdict.warnings)


@pytest.mark.parametrize("others", [1, 2, 11])
def test_a_lead_in_every_seed_is_as_clear_among_many(others: int) -> None:
    verdict = judged(noisy("adam", 0.3, seeds=6), *(noisy(f"arm{i}", 1.5 + i, seeds=6) for i in range(others)))
    assert verdict.winner == "adam"
    assert [one.adjusted_p for one in verdict.comparisons] == [2 / 64] * others


def test_a_lead_in_most_seeds_counts_for_less_among_many() -> None:
    pair = [noisy("adam", 0.3), noisy("sgd", 0.335)]
    (alone,) = judged(*pair).comparisons
    rest = [noisy(f"arm{i}", 0.6) for i in range(10)]
    joined = next(one for one in judged(*pair, *rest).comparisons if one.other == "sgd")
    assert alone.settings_p == alone.adjusted_p == joined.settings_p < joined.adjusted_p


def equal_arms(race: int, arms: int = 12) -> list[Entry]:
    """Arms of one optimizer, each with its own trials and seeds' noise: whoever is said to be behind is not."""
    rng = np.random.default_rng(race)
    return [simulated(f"arm{place}", 0.0, True, rng, curvature=0.3) for place in range(arms)]


@pytest.mark.parametrize("race", [1, 32, 43, 45, 60, 90, 118])
def test_of_twelve_equal_arms_none_is_behind(race: int) -> None:
    verdict = judged(*equal_arms(race), seed=race)
    assert verdict.ties == (verdict.ranking,)
    assert "behind" not in verdict.sentence
    # Held against the first one alone, after it was found to be the first of twelve, another would be behind it.
    best, *others = (next(arm for arm in equal_arms(race) if arm.name == name) for name in verdict.ranking)
    assert any(judged(best, other, seed=race).winner == best.name for other in others)


def test_of_twelve_arms_one_that_is_worse_is_behind() -> None:
    found = 0
    for race in range(10):
        rng = np.random.default_rng(race)
        arms = [simulated(f"arm{place}", 0.1 * (place == 11), True, rng) for place in range(12)]
        found += [one.other for one in judged(*arms, seed=race).comparisons if one.separated] == ["arm11"]
    assert found >= 8


def test_quick_effort_ranks_and_never_names_a_winner() -> None:
    verdict = judged(noisy("adam", 0.3), noisy("sgd", 0.5), effort_names_winner=False)
    assert verdict.winner is None
    assert verdict.ranking == ("adam", "sgd")
    assert "never names a winner" in verdict.sentence
    assert verdict.sentence.index("adam comes first") < verdict.sentence.index("then sgd")
    assert is_one_sentence(verdict.sentence)


def test_the_rest_is_grouped_among_itself() -> None:
    levels = {"a": 0.3, "b": 0.3, "c": 0.6, "d": 0.6, "e": 0.9}
    verdict = judged(*(noisy(name, level, noise=0.05) for name, level in levels.items()))
    assert verdict.winner is None
    assert [set(group) for group in verdict.ties] == [{"a", "b"}, {"c", "d"}]
    assert "b and a share the lead" in verdict.sentence
    assert ", while d, c and e are behind b; " in verdict.sentence


ABSURD: dict[str, Callable[[], Entry]] = {
    "all trials": lambda: entry("absurd", np.full((5, 10), 0.01), trials_diverged=True),
    "all finals": lambda: entry("absurd", np.full((5, 10), np.nan), diverged=np.ones((5, 10), dtype=bool)),
    "infinite": lambda: entry("absurd", np.full((5, 10), np.inf)),
    "beyond squaring": lambda: entry("absurd", np.full((5, 10), 1e300)),
}


@pytest.mark.parametrize("absurd", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_arm_comes_last_and_moves_nothing(absurd: Callable[[], Entry]) -> None:
    some = np.zeros((5, 10), dtype=bool)
    some[0, 3] = some[4] = True
    arms = [noisy("adam", 0.3), noisy("sgd", 0.32, diverged=some), noisy("momentum", 0.7)]
    before, after = judged(*arms), judged(*arms, absurd())
    assert after.comparisons == before.comparisons
    assert after.ties == before.ties
    assert after.ranking == (*before.ranking, "absurd")
    assert after.sentence == before.sentence[:-1] + "; absurd diverged and comes last."
    assert any(warning.startswith("absurd diverged as a whole") for warning in after.warnings)


def test_only_diverged_arms_are_not_ranked() -> None:
    verdict = judged(ABSURD["all trials"](), dataclasses.replace(ABSURD["infinite"](), name="wild"))
    assert verdict.winner is None
    assert verdict.ties == ()
    assert verdict.comparisons == ()
    assert verdict.ranking == ("absurd", "wild")
    assert verdict.sentence.startswith("Every arm diverged (absurd and wild)")
    assert is_one_sentence(verdict.sentence)


@pytest.mark.parametrize("others", [[], ["infinite"]])
def test_one_arm_has_nothing_to_compare_with(others: list[str]) -> None:
    verdict = judged(noisy("adam", 0.3), *(ABSURD[name]() for name in others))
    assert verdict.winner is None
    assert verdict.ranking[0] == "adam"
    assert verdict.sentence.startswith("There is nothing to compare: adam is the only arm")
    assert is_one_sentence(verdict.sentence)


def test_a_diverged_seed_counts_as_untrained() -> None:
    some = np.zeros((5, 10), dtype=bool)
    some[0, :2] = True
    scores = np.full((5, 10), 0.3)
    scores[0, :2] = np.nan
    verdict = judged(entry("fragile", scores, diverged=some), entry("steady", np.full((5, 10), 0.31)))
    assert verdict.ranking == ("steady", "fragile")
    assert verdict.comparisons[0].other_score == pytest.approx(0.8 * 0.3 + 0.2 * 2.3)


def advised(*entries: Entry) -> str:
    return judged(*entries).sentence.split("; ")[1]


def test_a_tie_advises_the_least_sensitive_arm_and_the_cheapest() -> None:
    same = np.full((5, 10), 0.3)
    narrow = [0.1, 0.2, *([2.0] * 14)]
    broad = [0.1, *([0.2] * 9), *([2.0] * 6)]
    advice = advised(
        entry("a", same, validation=narrow, step_seconds=[2e-6] * 31),
        entry("b", same, validation=broad, step_seconds=[5e-3] * 31),
    )
    assert advice == (
        "of the two b had more trials near the best (10 of 16), a sign of less sensitivity to the learning rate "
        "and a is cheaper with a step of 2 µs (2 to 2)."
    )


def test_near_the_best_is_near_the_best_of_the_group() -> None:
    same = np.full((5, 10), 0.3)
    better, worse = [0.1, *([0.3] * 7), *([2.0] * 8)], [0.5, *([0.6] * 11), *([2.0] * 4)]
    advice = advised(entry("a", same, validation=better), entry("b", same, validation=worse))
    assert advice.startswith("of the two a had more trials near the best (8 of 16), a sign of less sensitivity")


def test_three_that_tie_are_advised_on_in_superlatives() -> None:
    few, many = [0.1, *([2.0] * 15)], [0.1, 0.1, *([2.0] * 14)]
    arms = [
        entry(name, np.full((5, 10), 0.3), validation=validation, step_seconds=[seconds] * 31)
        for name, validation, seconds in zip("abc", (few, many, many), (1.0, 2.0, 3.0), strict=True)
    ]
    assert advised(*arms) == (
        "of these b and c had the most trials near the best (2 of 16), a sign of low sensitivity to the "
        "learning rate and a is cheapest with a step of 1 s (1 to 1)."
    )


@pytest.mark.parametrize(
    ("seconds", "moved", "cost"),
    [
        ((1e-5, 1.03e-5), (28.0, 12.0), "step times can't be told apart here, where b moves the fewest bytes."),
        ((1e-5, 1.3e-5), (28.0, 12.0), "a is cheaper with a step of 10 µs (10 to 10)."),
        ((1e-5, 1e-5), (math.nan, 12.0), "step times can't be told apart here, where b moves the fewest bytes."),
        ((1e-5, 1e-5), (12.0, 12.0), "step times can't be told apart here, where both move equally many bytes."),
        ((1e-5, 1e-5), (math.nan, math.nan), "step times can't be told apart here."),
        ((2e-3, 1.5), (12.0, 12.0), "a is cheaper with a step of 2 ms (2 to 2)."),
        ((1.0, 1.0, 2.0), (20.0, 28.0, 12.0),
         "step times of a and b can't be told apart here, where a moves the fewest bytes."),
        ((1.0, 1.0, 2.0), (20.0, 20.0, 12.0),
         "step times of a and b can't be told apart here, where both move equally many bytes."),
        ((1.0, 1.0, 1.0, 2.0), (20.0, 20.0, 20.0, 12.0),
         "step times of a, b and c can't be told apart here, where all move equally many bytes."),
        ((1.0, 1.0, 1.0), (12.0, 20.0, 12.0),
         "step times can't be told apart here, where a and c move the fewest bytes."),
    ],
)  # fmt: skip
def test_cheapest_is_by_time_then_bytes(seconds: tuple[float, ...], moved: tuple[float, ...], cost: str) -> None:
    arms = [
        entry(name, np.full((5, 10), 0.3), step_seconds=[time] * 31, bytes_per_parameter=count)
        for name, time, count in zip("abcd", seconds, moved, strict=False)
    ]
    assert advised(*arms) == cost


@pytest.mark.parametrize("rounds", [1, 5])
def test_too_few_rounds_tell_no_step_times_apart(rounds: int) -> None:
    arms = [entry(name, np.full((5, 10), 0.3), step_seconds=[time] * rounds) for name, time in (("a", 1.0), ("b", 9.0))]
    assert advised(*arms) == "step times can't be told apart here, where both move equally many bytes."


scores = st.one_of(st.floats(0.0, 5.0), st.just(math.nan), st.just(math.inf), st.just(-math.inf), st.floats())


@given(st.lists(st.lists(scores, min_size=12, max_size=12), min_size=1, max_size=4), st.booleans(), st.booleans())
@example([[0.0, math.nan, 1e100] * 4, [-1e100, math.inf, 0.3] * 4], False, True)
@settings(max_examples=60, deadline=None)
def test_no_nan_or_infinity_ever_leaks(rows: list[list[float]], higher: bool, split: bool) -> None:
    arms = []
    for i, row in enumerate(rows):
        finals = np.array(row).reshape(3, 4)
        examples = np.repeat(finals[..., None], 3, axis=2) if split else None
        arms.append(entry(f"arm{i}", finals, validation=row + row[:4], examples=examples))
    verdict = judged(*arms, higher_is_better=higher)
    assert all(math.isfinite(value) for one in verdict.comparisons for value in numbers(one))
    assert not {"nan", "inf"} & set(verdict.sentence.replace(")", " ").split())
    assert sorted(verdict.ranking) == sorted(arm.name for arm in arms)
    assert is_one_sentence(verdict.sentence)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)


@given(st.permutations(range(5)), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_the_order_of_entries_does_not_matter(order: list[int], seed: int) -> None:
    levels = [0.3, 0.3, 0.31, 0.5, math.nan]
    arms = [noisy(name, level, seed=seed) for name, level in zip("edcba", levels, strict=True)]
    arms[1] = dataclasses.replace(arms[0], name="d")  # an exact tie, broken by name
    assert judged(*(arms[i] for i in order), seed=seed) == judged(*arms, seed=seed)


def test_intervals_widen_with_the_number_of_arms() -> None:
    arms = [noisy("adam", 0.3), noisy("sgd", 0.32)]
    spans = []
    for others in (0, 1, 10):
        verdict = judged(*arms, *(noisy(f"other {place}", 0.9) for place in range(others)))
        (study,) = (one.study for one in verdict.comparisons if one.other == "sgd")
        assert study is not None
        spans.append(study)
    lows, highs = zip(*spans, strict=True)
    assert sorted(lows, reverse=True) == list(lows)
    assert sorted(highs) == list(highs)
    assert len(set(spans)) == 3


def test_the_seed_draws_the_resamples() -> None:
    arms = [noisy("adam", 0.3), noisy("sgd", 0.32)]
    assert judged(*arms, seed=1) == judged(*arms, seed=1)
    assert judged(*arms, seed=1).comparisons[0].study != judged(*arms, seed=2).comparisons[0].study


def simulated(name: str, gap: float, stratified: bool, rng: np.random.Generator, curvature: float = 6.0) -> Entry:
    """Tune one learning rate on 16 points of a valley, narrow by default, then run the five best on ten seeds."""
    points = (np.arange(16) + rng.random(16)) / 16
    quality = 0.3 + gap + curvature * (points - 0.6) ** 2
    validation = quality + 0.02 * rng.standard_normal(16)
    best = np.argsort(validation)
    trials = tuple(Trial({"lr": point}, score, False) for point, score in zip(points, validation, strict=True))
    runs = 0.02 * rng.standard_normal((5, 10)) + quality[best[:5], None]
    finals = tuple(Final(int(i), row, np.zeros(10, dtype=bool), None) for i, row in zip(best, runs, strict=False))
    return Entry(name, trials, finals, {"lr": Range(0.0, 1.0, "linear")}, 12.0, 1e-5, stratified)


@pytest.mark.parametrize(
    ("gap", "stratified", "fewest", "most"),
    [(0.0, False, 0, 5), (0.0, True, 0, 5), (0.05, False, 10, 30), (0.05, True, 65, 100)],
)
def test_identical_optimizers_tie_and_a_real_gap_is_found(gap: float, stratified: bool, fewest: int, most: int) -> None:
    winners = []
    for race in range(100):
        rng = np.random.default_rng(race)
        arms = [simulated(name, own, stratified, rng) for name, own in (("a", 0.0), ("b", gap))]
        verdict = judged(*arms, seed=race)
        assert (verdict.winner is None) == (verdict.ties == (verdict.ranking,))
        winners.append(verdict.winner)
    assert fewest <= winners.count("a") + winners.count("b") <= most
    assert gap == 0.0 or "b" not in winners


GOOD = noisy("adam", 0.3)
FIVE_SEEDS = Final(1, np.ones(5), np.zeros(5, dtype=bool), None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: judged(), "at least one arm's entry"),
        (lambda: judged(GOOD, GOOD), "name of its own"),
        (lambda: judged(GOOD, noisy("sgd", 0.3, seeds=9)), "same numbers of trials, finals, seeds"),
        (lambda: judged(GOOD, noisy("sgd", 0.3, step_seconds=[1.0, 2.0])), "rounds of timing"),
        (lambda: noisy("sgd", 0.3, step_seconds=[]), "step_seconds of arm 'sgd'"),
        (lambda: judged(GOOD, untrained=math.nan), "untrained must be the finite score"),
        (lambda: judged(GOOD, smallest_difference=-1.0), "smallest_difference must be a finite number of at least 0"),
        (lambda: judged(GOOD, smallest_difference=math.nan), "smallest_difference must be"),
        (lambda: dataclasses.replace(GOOD, step_seconds=math.nan), "step_seconds of arm 'adam'"),
        (lambda: dataclasses.replace(GOOD, finals=()), "must name different trials"),
        (lambda: dataclasses.replace(GOOD, finals=GOOD.finals[:1] * 2), "must name different trials"),
        (lambda: dataclasses.replace(GOOD, trials=GOOD.trials[:2]), "must name different trials"),
        (lambda: dataclasses.replace(GOOD, space={"beta": Range(0.0, 1.0, "linear")}), "a value for each of"),
        (lambda: dataclasses.replace(GOOD, finals=(GOOD.finals[0], FIVE_SEEDS)), "same seeds and test examples"),
        (lambda: Final(0, np.ones(3), np.zeros(2, dtype=bool), None), "one entry a seed"),
        (lambda: Final(0, np.ones(2), np.zeros(2, dtype=bool), np.ones((3, 4))), "a row for each seed"),
        (lambda: Final(0, np.ones(2), np.zeros(2, dtype=bool), np.zeros((2, 4))), "mean of a Final's examples"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert str(raised.value).endswith((".", "?"))


@pytest.mark.parametrize("name", ["untrained", "smallest_difference"])
def test_the_largest_numbers_are_judged(name: str) -> None:
    assert judged(GOOD, noisy("sgd", 0.5), **{name: LARGEST_SCORE}).ranking == ("adam", "sgd")
    with pytest.raises(ValueError, match=name):
        judged(GOOD, **{name: 1.01 * LARGEST_SCORE})


def test_a_perfect_score_needs_a_lead_beyond_the_others_error() -> None:
    def entry(name: str, hits: int) -> Entry:
        examples = np.ones((10, 100))
        examples[:, :hits] = 0.0  # the same few are missed by every seed
        scores = examples.mean(axis=1)
        final = Final(0, scores, np.zeros(10, dtype=bool), examples)
        return Entry(name, (Trial({"lr": 0.1}, float(scores[0]), False),), (final,), {"lr": (1e-4, 1.0)}, 12.0, 1e-5)  # type: ignore[dict-item]

    verdict = decide([entry("perfect", 0), entry("nearly", 1)], higher_is_better=True, untrained=0.1)
    (comparison,) = verdict.comparisons
    assert comparison.best == "perfect"
    assert comparison.smallest_difference == pytest.approx(0.01, rel=0.01)  # what one example of a hundred is worth
    assert "split" in comparison.failed
