from __future__ import annotations

import math

import numpy as np
import pytest

from fallline.racing.decision import Entrant, fixed
from fallline.racing.decision.choice import REDRAWS, Chosen, Redraws, choose
from fallline.racing.decision.records import Floats, check_comparable
from tests.racing.decision.cases import given, searched

NAN = math.nan


@pytest.mark.parametrize(
    ("trials", "validation", "sign", "taken"),
    [
        ([0.3, 0.4], [[0.3, 0.3], [0.4, 0.4]], 1.0, 0),
        ([0.3, 0.4], [[0.3, 0.3], [0.4, 0.4]], -1.0, 1),
        ([0.3, 0.4], [[0.5, 0.5], [0.4, 0.4]], 1.0, 1),  # the final seeds outweigh the tuning seed
        ([0.1, 0.4], [[0.5, 0.5], [0.4, 0.4]], 1.0, 0),  # which counts as one of them
        ([0.2, 0.4], [[0.5, 0.5], [0.4, 0.4]], 1.0, 0),  # alike: the first, that is the better by tuning
        ([0.1, 0.4], [[0.1, NAN], [0.9, 0.9]], 1.0, 1),  # fewer diverged runs go first
        ([0.1, 0.4], [[0.1, NAN], [NAN, NAN]], 1.0, 0),
        ([NAN, 0.4], [[0.1, 0.1], [0.9, 0.9]], 1.0, 1),
        ([0.1, 0.4], [[0.1, math.inf], [0.9, 0.9]], 1.0, 1),
        ([0.1, 0.4], [[0.1, -math.inf], [0.9, 0.9]], 1.0, 1),
        ([0.1, 0.4], [[0.1, 1e101], [0.9, 0.9]], 1.0, 1),
        ([-0.3, -0.4], [[-0.3, NAN], [-0.4, -0.4]], -1.0, 1),
    ],
)
def test_the_best_mean_validation_is_taken(
    trials: list[float], validation: list[list[float]], sign: float, taken: int
) -> None:
    entrant = Entrant("a", np.array(trials), np.array([0, 1]), np.array(validation), np.array([[1.0, 2.0], [3.0, 4.0]]))
    found = choose(entrant, sign, 9.0, np.random.default_rng(0))
    assert found is not None
    assert found.finalist == taken
    assert found.diverged == int((~np.isfinite(validation[taken]) | (np.abs(validation[taken]) > 1e100)).sum())


def test_finals_are_told_by_trial_and_scored_as_losses() -> None:
    entrant = Entrant(
        "a", np.array([0.9, 0.2, 0.3]), np.array([2, 1]), np.array([[0.3, 0.3], [0.5, 0.5]]),
        np.array([[0.31, NAN], [0.51, 0.52]]), np.array([[[0.3, 0.32], [0.0, 0.0]], [[0.5, 0.52], [0.5, 0.54]]]),
    )  # fmt: skip
    found = choose(entrant, -1.0, 7.0, np.random.default_rng(0))
    assert found is not None
    assert found.finalist == 1
    assert found.losses.tolist() == [-0.51, -0.52]
    assert found.examples is not None
    assert found.examples.tolist() == [[-0.5, -0.52], [-0.5, -0.54]]


def test_a_diverged_run_counts_as_the_stand_in() -> None:
    found = choose(fixed("a", [0.1, 0.1], [0.2, NAN], [[0.2, 0.2], [0.3, 0.3]]), 1.0, 7.0, np.random.default_rng(0))
    assert found is not None
    assert (found.losses.tolist(), found.diverged) == ([0.2, 7.0], 1)
    assert found.examples is not None
    assert found.examples.tolist() == [[0.2, 0.2], [7.0, 7.0]]


@pytest.mark.parametrize("bad", [NAN, math.inf, 1e101])
def test_nothing_is_chosen_where_all_runs_diverged(bad: float) -> None:
    assert choose(fixed("a", [0.1, 0.1], [bad, bad]), 1.0, 7.0, np.random.default_rng(0)) is None
    assert choose(fixed("a", [bad, bad], [0.1, 0.1]), 1.0, 7.0, np.random.default_rng(0)) is None


def test_what_was_not_searched_has_no_luck_and_no_other_draws() -> None:
    found = choose(given("a", np.array([0.1, 0.2, 0.4])), 1.0, 7.0, np.random.default_rng(0))
    assert found is not None
    assert (found.luck, found.trials, found.redraws) == (0.0, 0.0, None)


def equals(finalists: int, seeds: int, rng: np.random.Generator, share: float, apart: float) -> Entrant:
    """Finalists alike but for chance, of which a share is in validation and in test."""
    common, own = rng.standard_normal((2, finalists, seeds))
    test = share * common + math.sqrt(1 - share**2) * own
    quality = apart * np.arange(finalists)[:, None]
    return Entrant(
        "a", np.asarray(quality[:, 0], dtype=np.float64), np.arange(finalists), common + quality, test + quality
    )


@pytest.mark.parametrize(
    ("finalists", "share", "apart", "flattery", "most"),
    [
        (1, 1.0, 0.0, 0.0, 0.0),
        (5, 0.0, 0.0, 0.0, 0.0),  # chance in validation is none in test
        (2, 1.0, 0.0, 0.178, 0.178),  # the lesser of two means of ten: sqrt(1 / (10 pi))
        (5, 1.0, 0.0, 0.368, 0.368),  # the least of five: 1.163 / sqrt(10)
        (5, 0.5, 0.0, 0.184, 0.184),
        (5, 1.0, 3.0, 0.0, 0.0),
    ],
)
def test_luck_is_most_of_what_choosing_flatters(
    finalists: int, share: float, apart: float, flattery: float, most: float
) -> None:
    """Over many arms, what the chosen configuration's test looks better by than it is, of finalists alike or apart."""
    lucks = []
    for number in range(200):
        entrant = equals(finalists, 10, np.random.default_rng(number), share, apart)
        found = choose(entrant, 1.0, 9.0, np.random.default_rng(number))
        assert found is not None
        assert found.loss == found.losses.mean() + found.luck
        lucks.append(found.luck)
    assert 0.6 * flattery <= np.mean(lucks) <= most + 0.03


@pytest.mark.parametrize(
    ("values", "finalist", "neighbour", "share", "variance"),
    [
        ([[1, 1, 1]], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], 0.0),
        ([[0, 0, 0], [2, 2, 2]], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], 1.0),
        ([[0, 0, 0], [2, 2, 2]], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0], 0.75),
        ([[0, 0, 0], [2, 2, 2]], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0.5, 0.5], 0.25),
        ([[0, 1, 2], [2, 3, 4]], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], 1.0),  # seeds shift both alike
        ([[-1, 0, 1], [3, 2, 1]], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], 1 - 1 / 3),  # less a quarter of 4/3
        ([[-3, 0, 3], [4, 1, -2]], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], 0.0),  # all of it may be chance
    ],
)
def test_variance_over_other_draws(
    values: list[list[float]], finalist: list[int], neighbour: list[int], share: list[float], variance: float
) -> None:
    redraws = Redraws(np.array(finalist), np.array(neighbour), np.array(share), np.zeros(4))
    assert redraws.variance(np.array(values, dtype=float)) == pytest.approx(variance)


def test_one_seed_shows_no_chance_to_take_off() -> None:
    redraws = Redraws(np.array([0, 1]), np.array([0, 1]), np.zeros(2), np.array([0.0, 2.0]))
    assert redraws.variance(np.array([[1.0], [2.0]])) == 0.25
    assert redraws.variance(np.array([[1.0], [2.0]]), redraws.rise) == 2.25


def apart(
    places: Floats | None, stages: list[int] | None = None, trials: int = 8, finals: list[int] | None = None
) -> Entrant:
    """Trials far from each other in validation, the lower the better, so that the draw alone decides."""
    scores = np.arange(trials, dtype=float) * 100
    taken = np.array(finals or [0, 1, 2])
    runs = scores[taken][:, None].repeat(4, axis=1)
    return Entrant("a", scores, taken, runs, runs, places=places, stages=None if stages is None else np.array(stages))


def test_trials_drawn_at_random_are_drawn_with_replacement() -> None:
    found = choose(apart(None), 1.0, 9.0, np.random.default_rng(0))
    assert found is not None
    assert found.redraws is not None
    missed = [(1 - best / 8) ** 8 for best in (1, 2, 3)]  # the best one, two, three
    shares = np.bincount(found.redraws.finalist, minlength=3) / REDRAWS
    # The third is the best in draws without the first two, and stands in where it was not drawn either.
    assert shares == pytest.approx([1 - missed[0], missed[0] - missed[1], missed[1]], abs=0.05)
    assert not found.redraws.share.any()
    assert (found.redraws.neighbour == found.redraws.finalist).all()


@pytest.mark.parametrize(
    ("places", "stages", "finals", "neighbours"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], None, [0, 1, 2], {0: {1}}),  # an end has one neighbour
        ([7, 6, 5, 4, 3, 2, 1, 0], None, [0, 1, 2], {0: {1}}),
        ([3, 2, 4, 1, 5, 0, 6, 7], None, [0, 1, 2], {0: {1, 2}}),
        ([0, 2, 4, 6, 1, 3, 5, 7], [0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 2], {0: {1}}),  # neighbours are of one stage
        ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 1, 1, 1, 1, 1, 1], [0, 1, 2], {0: {0}}),  # a stage of one has none
    ],
)
def test_even_trials_move_towards_their_neighbours(
    places: list[float], stages: list[int] | None, finals: list[int], neighbours: dict[int, set[int]]
) -> None:
    found = choose(apart(np.array(places, dtype=float), stages, finals=finals), 1.0, 9.0, np.random.default_rng(0))
    assert found is not None
    redraws = found.redraws
    assert redraws is not None
    for own, others in neighbours.items():
        assert set(redraws.neighbour[redraws.finalist == own].tolist()) == others
    assert ((redraws.share >= 0) & (redraws.share < 1)).all()


def redrawn(entrant: Entrant) -> tuple[Chosen, Redraws, list[float]]:
    """What is chosen, how it is drawn again, and how steeply the scores rise towards its neighbours."""
    found = choose(entrant, 1.0, 9.0, np.random.default_rng(0))
    assert found is not None
    redraws = found.redraws
    assert redraws is not None
    moved = redraws.share > 0
    return found, redraws, np.unique((redraws.rise[moved] / redraws.share[moved]).round(9)).tolist()


def test_a_neighbour_that_is_no_finalist_rises_as_its_trial() -> None:
    entrant = Entrant(
        "a", np.array([1.0, 0.0, 3.0]), np.array([1]), np.array([[0.0, 0.0]]), np.array([[0.0, 0.0]]),
        places=np.array([0.0, 1.0, 2.0]),
    )  # fmt: skip
    found, redraws, slopes = redrawn(entrant)
    assert slopes == [1.0, 3.0]
    assert redraws.share.mean() == pytest.approx(1 / 2, abs=0.03)
    # Sides by halves, shares even: the mean square of the rise is (1 + 9) / 2 / 3 and its mean is 1.
    assert found.trials == pytest.approx(5 / 3 - 1, rel=0.15)


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_neighbour_that_diverged_is_as_bad_as_the_worst_trial(bad: float) -> None:
    entrant = Entrant(
        "a", np.array([bad, 0.0, 1.0, 4.0]), np.array([1]), np.zeros((1, 2)), np.zeros((1, 2)),
        places=np.array([0.0, 1.0, 2.0, 3.0]),
    )  # fmt: skip
    _, _, slopes = redrawn(entrant)
    assert slopes == [1.0, 4.0]


@pytest.mark.parametrize("factor", [2.0**-40, 1.0, 2.0**40])
def test_luck_and_draws_scale_with_the_scores(factor: float) -> None:
    def found(scale: float) -> tuple[float, float]:
        entrant = searched("a", 0.0, np.random.default_rng(0), noise=0.05)
        scaled = Entrant(
            "a", scale * entrant.trials, entrant.finals, scale * entrant.validation, scale * entrant.test,
            places=entrant.places,
        )  # fmt: skip
        one = choose(scaled, 1.0, 9.0, np.random.default_rng(0))
        assert one is not None
        return one.luck / scale, one.trials / scale**2

    assert found(factor) == pytest.approx(found(1.0), rel=1e-9)
    assert min(found(1.0)) > 0


GOOD = {
    "name": "a", "trials": [0.1, 0.2], "finals": [0, 1], "validation": [[0.1], [0.2]], "test": [[0.1], [0.2]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"finals": [0, 0]}, "finals of arm 'a' must name different trials of its 2; they are [0, 0]."),
        ({"finals": [0, 2]}, "they are [0, 2]."),
        ({"finals": [0]}, "finals (finalists,); they are (2, 1), (2, 1) and (1,)."),
        ({"validation": [[0.1]]}, "must be (finalists, seeds), at least one of each"),
        ({"validation": [[], []], "test": [[], []]}, "at least one of each"),
        ({"test": [0.1, 0.2], "validation": [0.1, 0.2]}, "must be (finalists, seeds)"),
        ({"examples": [[[0.1]]]}, "examples of arm 'a' must begin with the shape (2, 1), not (1, 1, 1)."),
        ({"examples": [[[0.1]], [[0.3]]]}, "examples of arm 'a' must average to the test score of their run."),
        ({"curves": [[[0.1]]]}, "curves of arm 'a' must begin"),
        ({"places": [0.1]}, "places of arm 'a' must begin with the shape (2,), not (1,)."),
        ({"places": [0.1, math.nan]}, "places of arm 'a' must be finite numbers."),
        ({"stages": [0]}, "stages of arm 'a' must begin"),
        ({"configurations": [{}]}, "configurations of arm 'a' must be one for each of its 2 trials, not 1."),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Entrant(**{**GOOD, **change})  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ([], "at least one arm"),
        ([given("a", np.ones(2)), given("a", np.ones(2))], "a name of its own; they are ['a', 'a']."),
        ([given("a", np.ones(2)), given("b", np.ones(3))], "they have 2 seeds and 3 seeds."),
        (
            [fixed("a", [1.0], [1.0], [[1.0]]), fixed("b", [1.0], [1.0], [[1.0, 1.0]])],
            "1 seed with 1 example and 1 seed with 2 examples.",
        ),
    ],
)
def test_arms_that_do_not_fit_each_other_are_refused(arms: list[Entrant], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_comparable(arms)
    assert message in str(caught.value)
