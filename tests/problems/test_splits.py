"""Bundled data and splits are scikit-learn's, bit for bit, which are read and drawn without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fallline.problems.digits import _pixels_and_labels
from fallline.problems.splits import three_ways


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize("count", [140, 201, 442])
def test_splits_are_those_of_scikit_learn(count: int, labels: int, *, by_label: bool) -> None:
    inputs, targets = np.arange(count)[:, None], np.random.default_rng(count).integers(0, labels, count)
    for seed in range(10):
        train, rest, train_targets, others = train_test_split(
            inputs, targets, train_size=0.6, stratify=targets if by_label else None, random_state=seed
        )
        valid, test, valid_targets, test_targets = train_test_split(
            rest, others, train_size=0.5, stratify=others if by_label else None, random_state=seed
        )
        expected = ((train, train_targets), (valid, valid_targets), (test, test_targets))
        for found, wanted in zip(three_ways(inputs, targets, seed, by_label=by_label), expected, strict=True):
            for one, other in zip(found, wanted, strict=True):
                assert_array_equal(one, other)


@pytest.mark.parametrize("kept_elsewhere", [False, True])
def test_digits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch, *, kept_elsewhere: bool) -> None:
    expected = load_digits(return_X_y=True)
    if kept_elsewhere:
        monkeypatch.setattr(Path, "is_file", lambda _: False)
    for found, wanted in zip(_pixels_and_labels(), expected, strict=True):
        assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


def test_what_a_race_on_digits_does_without() -> None:
    program = (
        "import sys; import fallline as fl; from fallline.problems import digits; "
        "fl.race(digits(epochs=1), ['sgd', 'adam'], 'quick', storage=None); "
        "print(sorted({'sklearn', 'scipy.stats', 'torch._dynamo', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
