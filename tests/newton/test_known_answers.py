"""Newton's method where mathematics, or SciPy, gives the answer."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn

import fallline as fl
from fallline.optim.newton import NewtonReport
from tests.newton.problems import PATHS, Loss, Network, at, quadratic, quartic, rosenbrock

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_search = pytest.mark.parametrize("line_search", [None, "armijo", "strong_wolfe"])


def report_of(optimizer: fl.Newton) -> NewtonReport:
    assert optimizer.report is not None
    return optimizer.report


def minimise(loss: Loss, x: nn.Parameter, steps: int = 60, **options: Any) -> list[NewtonReport]:
    optimizer = fl.Newton([x], **options)
    reports: list[NewtonReport] = []
    while len(reports) < steps and not (reports and reports[-1].finished):
        optimizer.step(lambda: loss(x))
        reports.append(report_of(optimizer))
    return reports


@each_path
@each_search
@pytest.mark.parametrize("n", [1, 2, 17, 40])
def test_a_quadratic_takes_one_step(n: int, path: dict[str, Any], line_search: Any) -> None:
    loss, minimum = quadratic(n)
    x = nn.Parameter(torch.zeros(n, dtype=torch.float64))
    (report,) = minimise(loss, x, steps=1, line_search=line_search, **path)
    assert torch.allclose(x, minimum, rtol=0, atol=1e-12)
    assert report.step_size == 1
    assert report.evaluations == 2


@pytest.mark.parametrize("distinct", [1, 2, 5, 20])
def test_conjugate_gradients_take_an_iteration_for_each_distinct_eigenvalue(distinct: int) -> None:
    eigenvalues = torch.linspace(1, 10, distinct, dtype=torch.float64).repeat(20 // distinct)
    loss, _ = quadratic(20, eigenvalues)
    (report,) = minimise(loss, nn.Parameter(torch.zeros(20, dtype=torch.float64)), 1, exact_up_to=0, cg_tolerance=1e-9)
    assert report.cg_iterations == distinct


def test_the_exact_path_reports_the_smallest_eigenvalue() -> None:
    loss, _ = quadratic(20)
    (report,) = minimise(loss, nn.Parameter(torch.zeros(20, dtype=torch.float64)), 1)
    assert report.smallest_eigenvalue == pytest.approx(1, rel=1e-12)
    assert not report.negative_curvature
    assert report.cg_iterations is None


@each_path
@pytest.mark.parametrize("line_search", ["armijo", "strong_wolfe"])
def test_rosenbrock_from_the_usual_start(path: dict[str, Any], line_search: Any) -> None:
    x = at(-1.2, 1)
    reports = minimise(rosenbrock, x, steps=29, line_search=line_search, **path)
    assert rosenbrock(x.detach()) < 1e-20
    losses = [report.loss_before for report in reports]
    assert losses == sorted(losses, reverse=True)


@each_path
def test_the_digits_double_near_a_minimum(path: dict[str, Any]) -> None:
    x = at(0.05, 0.05)
    errors: list[float] = []
    while not errors or errors[-1] > 1e-7:
        errors.append(float(x.detach().norm()))
        minimise(quartic, x, steps=1, line_search=None, **path)
    assert all(after < 3 * before**2 for before, after in pairwise(errors))
    assert len(errors) == 4


@each_search
def test_both_paths_take_the_same_step_on_a_network(line_search: Any) -> None:
    ends = []
    for path in PATHS.values():
        network = Network()
        # Beyond a few plain gradient steps the Hessian of this loss is positive definite: its decay sees to that.
        descent = torch.optim.SGD(network.model.parameters(), lr=0.5)
        for _ in range(30):
            descent.zero_grad()
            network.loss().backward()  # type: ignore[no-untyped-call]
            descent.step()
        optimizer = fl.Newton(network.model.parameters(), line_search=line_search, **path)
        optimizer.step(network.loss)
        assert not report_of(optimizer).negative_curvature
        ends.append(network.vector())
    assert torch.allclose(ends[0], ends[1], rtol=0, atol=1e-10)


@each_path
def test_logistic_regression_reaches_scipys_minimum(path: dict[str, Any]) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    signs = 2.0 * y - 1

    def loss_of(w: np.ndarray[Any, Any]) -> Any:
        return np.logaddexp(0, -signs * (X @ w)).mean() + 0.005 * w @ w

    theirs = minimize(loss_of, np.zeros(X.shape[1]), method="BFGS", options={"gtol": 1e-7})
    data, target = torch.tensor(X), torch.tensor(signs)
    w = nn.Parameter(torch.zeros(X.shape[1], dtype=torch.float64))

    def loss(w: Tensor) -> Tensor:
        return nn.functional.softplus(-target * (data @ w)).mean() + 0.005 * w @ w

    reports = minimise(loss, w, **path)
    assert len(reports) < 12
    assert reports[-1].gradient_norm < 1e-12
    assert reports[-1].loss_after <= theirs.fun + 1e-15
    np.testing.assert_allclose(w.detach().numpy(), theirs.x, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_path
def test_a_loss_at_its_rounding_still_yields_the_minimum(dtype: torch.dtype, path: dict[str, Any]) -> None:
    x = nn.Parameter(torch.tensor([3.2, 3.0], dtype=dtype))
    reports = minimise(lambda x: 1 + quartic(x - 3 - torch.tensor([0.0, 0.1], dtype=dtype)), x, **path)
    assert reports[-1].finished
    eps = torch.finfo(dtype).eps
    assert torch.allclose(x, torch.tensor([3.0, 3.1], dtype=dtype), rtol=0, atol=20 * eps)
