"""Medical measurements: tumours by logistic regression, the course of diabetes by linear regression."""

from __future__ import annotations

from functools import partial

from torch import nn

from fallline.problems.bundled import bundled, standardised
from fallline.problems.splits import three_ways
from fallline.training import Problem


@bundled("Benign or malignant tumours from 30 measurements, by logistic regression.")
def breast_cancer(*, epochs: int = 30, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 569 tumours, 30 measurements each, for logistic regression.

    60 % train, 20 % validate and 20 % test, in equal shares of both kinds; the measurements are
    standardised by the training split's mean and deviation. Loss and metric are the cross-entropy, which is convex.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the splits.

    >>> breast_cancer()
    Problem('breast-cancer', train 341, valid 114, test 114, batch 32, 30 epochs, metric 'loss')
    """
    from sklearn.datasets import load_breast_cancer

    measured, benign = load_breast_cancer(return_X_y=True)
    parts = three_ways(measured, benign, split_seed, by_label=True)
    scaled = standardised(*(inputs for inputs, _ in parts))
    train, valid, test = (
        (inputs, targets.reshape(-1, 1).astype("float32")) for inputs, (_, targets) in zip(scaled, parts, strict=True)
    )
    return Problem(
        model=partial(nn.Linear, 30, 1),
        loss=nn.functional.binary_cross_entropy_with_logits,
        train=train,
        valid=valid,
        test=test,
        target=0.1,
        batch=32,
        epochs=epochs,
        name="breast-cancer",
    )


@bundled("The course of diabetes from 10 measurements, by ill-conditioned linear regression.")
def diabetes(*, epochs: int = 40, split_seed: int = 0) -> Problem:
    """Build the problem of scikit-learn's 442 patients, 10 measurements each, for linear regression.

    60 % train, 20 % validate and 20 % test; measurements and targets are standardised by the
    training split's mean and deviation. Two of the blood values nearly follow from others, so the quadratic has
    curvatures that differ by a factor of several hundred. Loss and metric are the mean squared error, in variances of
    the target.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the splits.

    >>> diabetes()
    Problem('diabetes', train 265, valid 88, test 89, batch 32, 40 epochs, metric 'mean_squared_error')
    """
    from sklearn.datasets import load_diabetes

    measured, progression = load_diabetes(return_X_y=True, scaled=False)
    parts = three_ways(measured, progression.reshape(-1, 1), split_seed)
    inputs, targets = (standardised(*column) for column in zip(*parts, strict=True))
    train, valid, test = zip(inputs, targets, strict=True)
    return Problem(
        model=partial(nn.Linear, 10, 1),
        loss=nn.functional.mse_loss,
        train=train,
        valid=valid,
        test=test,
        metric="mean_squared_error",
        target=0.56,
        batch=32,
        epochs=epochs,
        name="diabetes",
    )
