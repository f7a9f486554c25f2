"""How work is cut into jobs: equal shares, not too long, smaller towards the end, and alone what processes died of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fallline import rules
from fallline.racing.engines.dealing import Dealer
from fallline.racing.runs import Run, Work
from fallline.training.updates import LaneRule


def work_of(
    *kinds: tuple[int, int], seconds: float = 1e-3, width: int = 256, wanted: Callable[[list[int]], list[int]] = list
) -> Work:
    """Runs of each kind: how many, and of how many steps."""
    lane = LaneRule(rules.adam, rules.adam.defaults)
    runs = [Run("adam", {}, 0, lane, 8, steps) for count, steps in kinds for _ in range(count)]
    return Work(dict(enumerate(runs)), True, False, width, seconds, wanted)


def dealt(dealer: Dealer, slots: int) -> list[int]:
    """The sizes of the jobs that processes of equal speed get: the job that ends first is followed by the next."""
    sizes: list[int] = []
    left: list[float] = []
    while True:
        while len(left) < slots:
            numbers = dealer.deal(left)
            if not numbers:
                return sizes
            sizes.append(len(numbers))
            left.append(dealer.seconds(sum(dealer._work.runs[number].steps for number in numbers)))
        first = min(left)
        left = [seconds - first for seconds in left if seconds > first]


@pytest.mark.parametrize(
    ("work", "slots", "sizes"),
    [
        (work_of((16, 100)), 2, [8, 8]),
        (work_of((17, 100)), 2, [9, 8]),
        (work_of((16, 100)), 1, [16]),
        (work_of((16, 100), width=6), 2, [4, 4, 4, 4]),
        (work_of((80, 100)), 2, [20, 20, 20, 20]),
        (work_of((6, 5_000)), 2, [1] * 6),
        (work_of((8, 100), (8, 300)), 2, [6, 2, 8]),
        (work_of((3, 100)), 4, [1, 1, 1]),
        (work_of((16, 100), seconds=0.0), 2, [8, 8]),
    ],
    ids=[
        "halves", "odd", "one process", "narrow", "not too long", "one by one", "long ones first", "few", "no time"
    ],
)  # fmt: skip
def test_the_jobs(work: Work, slots: int, sizes: list[int]) -> None:
    assert dealt(Dealer(work, slots), slots) == sizes


def test_a_job_has_runs_of_one_kind() -> None:
    work = work_of((5, 100), (5, 300))
    dealer = Dealer(work, 1)
    while numbers := dealer.deal([]):
        assert len({work.runs[number].steps for number in numbers}) == 1


def test_what_is_learned_changes_the_jobs() -> None:
    dealer = Dealer(work_of((80, 100)), 1)
    assert len(dealer.deal([])) == 20
    dealer.learn(2000, 8.0)
    assert len(dealer.deal([])) == 5


def test_what_is_not_wanted_is_settled() -> None:
    dealer = Dealer(work_of((6, 100), wanted=lambda numbers: [n for n in numbers if n > 3]), 1)
    assert dealer.deal([]) == [4, 5]
    assert dealer.settled == 400
    assert dealer.deal([]) == []


def test_what_comes_back_is_next_or_last_and_alone() -> None:
    dealer = Dealer(work_of((4, 100), width=2), 2)
    first = dealer.deal([])
    dealer.put_back(first, alone=False)
    assert dealer.deal([1.0]) == first
    dealer.put_back(first, alone=True)
    assert dealer.deal([1.0]) == [2, 3]
    assert dealer.deal([1.0]) == []
    assert [dealer.deal([]), dealer.deal([]), dealer.deal([])] == [[0], [1], []]
