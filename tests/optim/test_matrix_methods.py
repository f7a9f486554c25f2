"""The methods that do linear algebra: Muon and Adafactor against torch, SOAP against a transcription of its authors'
code, and full-matrix Adagrad against what mathematics says of it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import fallline.optim.muon
from fallline import optim
from fallline.optim.adafactor import _mean_squares
from fallline.optim.matrix import eigenvectors
from fallline.optim.muon import orthogonalised
from tests.optim.oracle import in_double, outcome, raised, relative, same, states_of

Options = dict[str, Any]
Maker = Callable[[Any], torch.optim.Optimizer]

STEPS = 20

#: One line a method: an optimizer whose every state comes into play within a few steps.
METHODS: dict[str, Maker] = {
    "Adafactor": lambda params: optim.Adafactor(params, lr=0.05, weight_decay=0.1),
    "FullMatrixAdagrad": lambda params: optim.FullMatrixAdagrad(params, lr=0.05),
    "SOAP": lambda params: optim.SOAP(params, lr=0.05, precondition_frequency=2),
}
if hasattr(torch.optim, "Muon"):
    METHODS["Muon"] = lambda params: optim.Muon(params, lr=0.05)
each_method = pytest.mark.parametrize("method", METHODS)
OWN = ("FullMatrixAdagrad", "SOAP")


def drawn(*shapes: Sequence[int], steps: int = STEPS, dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    """Tensors of the shapes: parameters first, then the gradients of each step."""
    generator = torch.Generator().manual_seed(0)
    return [
        [(torch.randn(tuple(shape), generator=generator, dtype=torch.float64) + 0.2).to(dtype) for shape in shapes]
        for _ in range(steps + 1)
    ]


def parameters(tensors: Sequence[Tensor]) -> list[nn.Parameter]:
    return [nn.Parameter(tensor.clone()) for tensor in tensors]


def follow(
    optimizer: torch.optim.Optimizer, params: Sequence[Tensor], gradients: Sequence[Sequence[Tensor | None]]
) -> None:
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else g.to(p.dtype)
        optimizer.step()


def journal(optimizer: torch.optim.Optimizer) -> Any:
    tensors = [p.detach() for group in optimizer.param_groups for p in group["params"]]
    return copy.deepcopy((tensors, states_of(optimizer)))


# ---------------------------------------------------------------------------------------------------------------------
# Adafactor and Muon are torch's
# ---------------------------------------------------------------------------------------------------------------------

ADAFACTOR: list[Options] = [
    {},
    {"lr": 1.0},
    {"lr": torch.tensor(0.5)},
    {"beta2_decay": -0.3},
    {"eps": (1e-2, 0.5)},
    {"eps": (3.0, 5.0), "d": 2.0},
    {"d": 1.5, "lr": 0.3},
    {"weight_decay": 0.1, "lr": 0.5},
    {"maximize": True, "weight_decay": 0.01},
    {"foreach": True, "lr": 0.1},
]
#: Vectors, a number, matrices, a convolution's weights, and what is empty or long on one side.
SHAPES = [(7,), (), (5, 4), (4, 9), (3, 2, 3, 2), (1, 6), (6, 1), (4, 130)]


@pytest.mark.parametrize("options", ADAFACTOR, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)], ids=str)
def test_adafactor_follows_torch_in_double_precision(dtype: torch.dtype, tolerance: float, options: Options) -> None:
    start, *gradients = drawn(*SHAPES, dtype=dtype)
    eps1, eps2 = options.get("eps", (None, 1e-3))
    options = {**options, "eps": (torch.finfo(dtype).eps if eps1 is None else eps1, eps2)}
    ours, theirs = parameters(start), parameters([tensor.double() for tensor in start])
    mine = optim.Adafactor(ours, **options)
    judge = torch.optim.Adafactor(theirs, **{name: in_double(value) for name, value in options.items()})
    follow(mine, ours, gradients)
    follow(judge, theirs, gradients)
    for p, q in zip(ours, theirs, strict=True):
        assert relative(p, q) <= tolerance
        assert mine.state[p].keys() == judge.state[q].keys()
        for key, value in judge.state[q].items():
            assert relative(mine.state[p][key], value) <= tolerance, key


@pytest.mark.parametrize("shape", [(600, 500), (2, 300, 500), (500, 600, 3)], ids=str)
def test_adafactor_takes_large_tensors_in_blocks_and_launches(shape: tuple[int, ...]) -> None:
    start, *gradients = drawn(shape, shape, shape, shape, steps=2)
    ours, theirs = parameters(start), parameters(start)
    follow(optim.Adafactor(ours), ours, gradients)
    follow(torch.optim.Adafactor(theirs), theirs, gradients)
    assert max(relative(p, q) for p, q in zip(ours, theirs, strict=True)) <= 1e-12


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_adafactor_moves_half_precision_as_torch_does(dtype: torch.dtype) -> None:
    start, *gradients = drawn((5, 4), (7,), steps=3, dtype=dtype)
    ours, theirs = parameters(start), parameters(start)
    mine, judge = optim.Adafactor(ours, lr=0.1), torch.optim.Adafactor(theirs, lr=0.1)
    follow(mine, ours, gradients)
    follow(judge, theirs, gradients)
    same(journal(mine), journal(judge), 0.02)


def test_adafactor_keeps_a_small_row_mean_from_dividing() -> None:
    """ε₁ is above the mean of the squares, 0.42, but below the root of the estimate that it makes, 0.6."""
    start, gradient = torch.ones(2, 3, dtype=torch.float64), torch.full((2, 3), 0.65, dtype=torch.float64)
    ours, theirs = parameters([start]), parameters([start])
    follow(optim.Adafactor(ours, eps=(0.5, 1e-3), d=10.0), ours, [[gradient]])
    follow(torch.optim.Adafactor(theirs, eps=(0.5, 1e-3), d=10.0), theirs, [[gradient]])
    assert relative(ours[0] - start, theirs[0] - start) <= 1e-12


def test_adafactor_squares_half_precision_in_single() -> None:
    g = torch.full((2, 3), 1.1, dtype=torch.bfloat16)
    for mean in _mean_squares(g):
        torch.testing.assert_close(mean, torch.full(mean.shape, g[0, 0].item() ** 2), rtol=1e-6, atol=0)


MUON: list[Options] = [
    {},
    {"lr": 0.1, "weight_decay": 0.0},
    {"lr": torch.tensor(0.1)},
    {"momentum": 0.5, "nesterov": False},
    {"adjust_lr_fn": "match_rms_adamw"},
    {"adjust_lr_fn": "original", "lr": 0.2},
    {"ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
]


@pytest.mark.parametrize("options", MUON, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_muon_follows_torch(dtype: torch.dtype, tolerance: float, options: Options) -> None:
    """The directions are computed in bfloat16, of 8 bits, so the paths agree less closely than the buffers."""
    start, *gradients = drawn((6, 6), (4, 9), (9, 4), (6, 6), (4, 9), dtype=dtype)
    ours, theirs = parameters(start), parameters(start)
    mine = optim.Muon(ours, **options)
    judge = torch.optim.Muon(theirs, **{name: in_double(value) for name, value in options.items()})
    follow(mine, ours, gradients)
    follow(judge, theirs, gradients)
    for p, q, begun in zip(ours, theirs, start, strict=True):
        assert relative(p - begun, q - begun) <= 5e-3
        assert mine.state[p].keys() == judge.state[q].keys()
        assert relative(mine.state[p]["momentum_buffer"], judge.state[q]["momentum_buffer"]) <= tolerance


def test_muon_takes_a_large_matrix_by_itself() -> None:
    start, *gradients = drawn((8, 9000), (8, 9000), (3, 3), steps=2)
    ours, theirs = parameters(start), parameters(start)
    follow(optim.Muon(ours), ours, gradients)
    follow(torch.optim.Muon(theirs), theirs, gradients)
    for p, q, begun in zip(ours, theirs, start, strict=True):
        assert relative(p - begun, q - begun) <= 5e-3


def test_muon_without_a_gradient_to_speak_of_only_decays() -> None:
    p = nn.Parameter(torch.ones(2, 3, dtype=torch.float64))
    follow(optim.Muon([p], lr=0.5, weight_decay=0.1), [p], [[torch.zeros(2, 3)]])
    assert torch.equal(p, torch.full_like(p, 0.95))


@pytest.mark.parametrize(("shape", "ratio"), [((4, 4), 0.2 * 2), ((4, 16), 0.2 * 4), ((16, 4), 0.2 * 4 / 2)], ids=str)
def test_muon_scales_by_either_convention(shape: tuple[int, int], ratio: float) -> None:
    (start,), (gradient,) = drawn(shape, steps=1)
    moved = {}
    for convention in ("original", "match_rms_adamw"):
        p = nn.Parameter(torch.zeros_like(start))
        follow(optim.Muon([p], lr=1.0, adjust_lr_fn=convention), [p], [[gradient]])
        moved[convention] = p.detach()
    torch.testing.assert_close(moved["match_rms_adamw"], ratio * moved["original"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 5, 4), (3, 4, 5)], ids=str)
def test_orthogonalised_brings_all_singular_values_near_one(shape: tuple[int, ...]) -> None:
    ((matrices,),) = drawn(shape, steps=0)
    values = torch.linalg.svdvals(orthogonalised(matrices, (3.4445, -4.7750, 2.0315), 10, 1e-7).double())
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"lr": torch.tensor([1.0, 2.0])},
        {"weight_decay": -1.0},
        {"momentum": -1.0},
        {"d": 0.5},
        {"beta2_decay": 0.1},
        {"eps": (-1.0, 1e-3)},
        {"eps": (None, -1.0)},
        {"adjust_lr_fn": "none"},
        {"no_such_option": 1},
    ],
    ids=str,
)
def test_what_torch_refuses_is_refused_in_its_words(name: str, options: Options) -> None:
    theirs = outcome(lambda: getattr(torch.optim, name)([torch.ones(2, 2)], **options))
    ours = outcome(lambda: getattr(optim, name)([torch.ones(2, 2)], **options))
    if raised(theirs):
        assert ours == theirs
    else:  # an option of this name means something else to this class
        assert not raised(ours)


def refused(module: Any, name: str, p: Tensor, gradient: Tensor, options: Options) -> Any:
    optimizer = getattr(module, name)([p], **options)
    p.grad = gradient
    return optimizer.step()


SPARSE = torch.sparse_coo_tensor(torch.tensor([[0], [1]]), torch.tensor([1.0]), (2, 2), check_invariants=False)


@pytest.mark.parametrize(
    ("name", "p", "gradient", "options"),
    [
        ("Adafactor", torch.ones(2, 2), SPARSE, {}),
        ("Adafactor", torch.ones(2, 2, dtype=torch.complex64), torch.ones(2, 2, dtype=torch.complex64), {}),
        ("Muon", torch.ones(2, 2), SPARSE, {}),
        ("Muon", torch.ones(3), torch.ones(3), {}),
        ("Muon", torch.ones(2, 2), torch.ones(2, 2), {"ns_steps": 100}),
        ("Muon", torch.ones(2, 2), torch.ones(2, 2), {"ns_coefficients": (1.0, 2.0)}),
    ],
    ids=str,
)
def test_what_torch_does_not_step_is_refused_in_its_words(
    name: str, p: Tensor, gradient: Tensor, options: Options
) -> None:
    ours, theirs = (
        outcome(partial(refused, module, name, p.clone(), gradient, options)) for module in (optim, torch.optim)
    )
    assert raised(theirs)
    assert ours == theirs


def test_muon_refuses_a_vector_that_joins_later() -> None:
    optimizer = optim.Muon([nn.Parameter(torch.ones(2, 2))])
    vector = nn.Parameter(torch.ones(3))
    vector.grad = torch.ones(3)
    optimizer.add_param_group({"params": [vector]})
    with pytest.raises(ValueError, match="2D matrix"):
        optimizer.step()


# ---------------------------------------------------------------------------------------------------------------------
# SOAP is its authors'
# ---------------------------------------------------------------------------------------------------------------------

Array = NDArray[np.float64]


def unfolded(x: Array, axis: int) -> Array:
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def rotated(x: Array, bases: Sequence[Array | None], inverse: bool = False) -> Array:
    for axis, q in enumerate(bases):
        if q is not None:
            x = np.moveaxis(np.tensordot(q if inverse else q.T, x, (1, axis)), 0, axis)
    return x


def soap_path(
    theta: Array,
    gradients: Sequence[Array],
    bases: list[Array | None],
    *,
    lr: float = 3e-3,
    betas: tuple[float, float] = (0.95, 0.95),
    shampoo_beta: float | None = None,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    precondition_frequency: int = 10,
    normalize_grads: bool = False,
    correct_bias: bool = True,
    **_: Any,
) -> Array:
    """The authors' step (Vyas et al., 2024) in NumPy, from the bases of the first gradient on."""
    beta = betas[1] if shampoo_beta is None else shampoo_beta
    average = [np.zeros((n, n)) for n in theta.shape]
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients):
        if t > 0:
            turned = rotated(g, bases)
            mean = betas[0] * mean + (1 - betas[0]) * turned
            square = betas[1] * square + (1 - betas[1]) * turned**2
            direction = rotated(mean / (np.sqrt(square) + eps), bases, inverse=True)
            if normalize_grads:
                direction = direction / (1e-30 + np.sqrt(np.mean(direction**2)))
            rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) if correct_bias else lr
            theta = theta - rate * direction
            theta = theta - lr * weight_decay * theta
        average = [
            beta * old + (1 - beta) * unfolded(g, axis) @ unfolded(g, axis).T for axis, old in enumerate(average)
        ]
        if t > 0 and t % precondition_frequency == 0:
            plain = rotated(mean, bases, inverse=True)
            for axis, q in enumerate(bases):
                if q is not None:
                    order = np.argsort(-np.diag(q.T @ average[axis] @ q))
                    square = np.take(square, order, axis)
                    bases[axis] = np.linalg.qr(average[axis] @ q[:, order])[0]
            mean = rotated(plain, bases)
    return theta


#: Shapes of which every preconditioner has full rank: in a null space the eigenvectors would be anyone's.
SOAP: list[tuple[tuple[int, ...], Options]] = [
    ((5, 5), {}),
    ((3, 4, 5), {}),
    ((4, 7), {"max_precond_dim": 5}),
    ((6, 7), {"max_precond_dim": 5}),
    ((6,), {}),
    ((), {}),
    ((5, 5), {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-3}),
    ((5, 5), {"shampoo_beta": 0.5}),
    ((5, 5), {"weight_decay": 0.5, "lr": 0.1}),
    ((5, 5), {"normalize_grads": True}),
    ((5, 5), {"correct_bias": False}),
]


@pytest.mark.parametrize("frequency", [1, 3, 10])
@pytest.mark.parametrize(("shape", "options"), SOAP, ids=str)
def test_soap_follows_its_authors(shape: tuple[int, ...], options: Options, frequency: int) -> None:
    start, *gradients = drawn(shape)
    options = {"lr": 0.03, **options, "precondition_frequency": frequency}
    (p,) = ours = parameters(start)
    optimizer = optim.SOAP(ours, **options)
    follow(optimizer, ours, gradients[:1])
    assert torch.equal(p, start[0])  # the first gradient moves nothing
    bases = [None if q is None else q.numpy().copy() for q in optimizer.state[p]["Q"]]
    follow(optimizer, ours, gradients[1:])
    expected = soap_path(start[0].numpy(), [step[0].numpy() for step in gradients], bases, **options)
    assert relative(p, torch.as_tensor(expected)) <= 1e-10


@pytest.mark.parametrize(
    ("shape", "options", "sizes"),
    [
        ((5, 4), {}, (5, 4)),
        ((2, 3, 4), {}, (2, 3, 4)),
        ((4, 7), {"max_precond_dim": 5}, (4, None)),
        ((6,), {}, (None,)),
        ((6,), {"precondition_1d": True}, (6,)),
        ((6,), {"precondition_1d": True, "max_precond_dim": 5}, (None,)),
        ((), {}, ()),
    ],
    ids=str,
)
def test_soap_begins_with_the_eigenvectors_of_the_first_gradient(
    shape: tuple[int, ...], options: Options, sizes: tuple[int | None, ...]
) -> None:
    start, (gradient,) = drawn(shape, steps=1)
    (p,) = ours = parameters(start)
    optimizer = optim.SOAP(ours, shampoo_beta=0.75, **options)
    follow(optimizer, ours, [[gradient]])
    assert tuple(None if q is None else len(q) for q in optimizer.state[p]["Q"]) == sizes
    for axis, (q, average) in enumerate(zip(optimizer.state[p]["Q"], optimizer.state[p]["GG"], strict=True)):
        if q is not None:
            rows = torch.as_tensor(unfolded(gradient.numpy(), axis).copy())
            torch.testing.assert_close(average, 0.25 * rows @ rows.T)
            torch.testing.assert_close(q.T @ q, torch.eye(len(q), dtype=torch.float64))
            turned = q.T @ average @ q
            torch.testing.assert_close(turned, torch.diag(turned.diag()), rtol=0, atol=1e-12)
            assert bool((turned.diag().diff() <= 1e-12).all())


def test_soap_preconditions_vectors_when_told_to() -> None:
    """One direction of gradients: the basis turns to it, and the step goes along it, where Adam's goes by signs."""
    gradient = torch.tensor([3.0, 4.0, 0.0], dtype=torch.float64)
    p = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = optim.SOAP([p], lr=1.0, weight_decay=0.0, eps=0.1, precondition_1d=True)
    follow(optimizer, [p], [[gradient]] * 2)
    torch.testing.assert_close(p.detach() / p.detach().norm(), -gradient / 5, rtol=0, atol=1e-6)


def test_soap_without_a_basis_is_adam_with_its_first_gradient_left_out() -> None:
    start, *gradients = drawn((6,))
    ours, theirs = parameters(start), parameters(start)
    follow(optim.SOAP(ours, lr=0.1, betas=(0.9, 0.99), eps=0.0, weight_decay=0.0), ours, gradients)
    follow(torch.optim.Adam(theirs, lr=0.1, betas=(0.9, 0.99), eps=0.0), theirs, gradients[1:])
    assert relative(ours[0], theirs[0]) <= 1e-12


def first_rows_repeat(x: Tensor) -> Tensor:
    return torch.cat([x[: len(x) // 2], x[: len(x) - len(x) // 2]])


def some_rows_are_nought(x: Tensor) -> Tensor:
    return x * (torch.arange(len(x)) % 3 > 0).to(x.dtype).view(-1, *[1] * (x.dim() - 1))


#: Gradients that leave a basis open: of less than full rank, by their shape or by what they hold, or all alike.
OPEN: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "wide": ((4, 6), lambda x: x),
    "tall": ((10, 2), lambda x: x),
    "taller": ((12, 3), lambda x: x),
    "vector": ((7,), lambda x: x),
    "three dimensions": ((2, 3, 8), lambda x: x),
    "rank one": ((6, 6), lambda x: torch.outer(x[:, 0], x[0])),
    "orthogonal": ((6, 4), lambda x: torch.linalg.qr(x).Q),
    "repeated rows": ((6, 6), first_rows_repeat),
    "rows of nought": ((6, 6), some_rows_are_nought),
}


@pytest.mark.parametrize("case", OPEN)
@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_soap_does_not_make_rounding_larger(case: str, frequency: int) -> None:
    """Gradients that differ by a rounding, as another processor's do, lead along the same path."""
    shape, make = OPEN[case]
    start, *gradients = drawn(shape, steps=12)
    generator = torch.Generator().manual_seed(1)
    ours, theirs = parameters(start), parameters(start)
    for params, rounding in ((ours, 0.0), (theirs, 2e-16)):
        optimizer = optim.SOAP(params, lr=0.05, precondition_frequency=frequency, precondition_1d=True)
        for (x,) in gradients:
            noise = torch.randn(shape, generator=generator, dtype=torch.float64)
            follow(optimizer, params, [[make(x) * (1 + rounding * noise)]])
    assert relative(theirs[0], ours[0]) <= 1e-7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_soap_leaves_weights_that_have_no_gradient(dtype: torch.dtype) -> None:
    start, *gradients = drawn((6, 6), dtype=dtype)
    (p,) = ours = parameters(start)
    follow(
        optim.SOAP(ours, lr=0.05, weight_decay=0.0, precondition_frequency=2),
        ours,
        [[some_rows_are_nought(g)] for (g,) in gradients],
    )
    torch.testing.assert_close(p[::3], start[0][::3], rtol=0, atol=1e-5)


def test_eigenvectors_of_one_value_do_not_hang_on_rounding() -> None:
    (((turn,),), *_) = [drawn((8, 8), steps=0)]
    turn = torch.linalg.qr(turn).Q
    values = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 3.0], dtype=torch.float64)
    matrix = (turn * values) @ turn.T
    noise = torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, vectors = eigenvectors(matrix)
    _, others = eigenvectors(matrix + 1e-16 * (noise + noise.T))
    torch.testing.assert_close(found, values, rtol=0, atol=1e-13)
    torch.testing.assert_close(matrix @ vectors, vectors * found, rtol=0, atol=1e-13)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close(others, vectors, rtol=0, atol=1e-11)


# ---------------------------------------------------------------------------------------------------------------------
# Full-matrix Adagrad is what mathematics says
# ---------------------------------------------------------------------------------------------------------------------


def test_full_matrix_adagrad_is_the_diagonal_form_along_the_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    axes = torch.randint(5, (STEPS,), generator=generator)
    sizes = 10 ** torch.empty(STEPS, dtype=torch.float64).uniform_(-2, 2, generator=generator)
    gradients = [[torch.eye(5, dtype=torch.float64)[axis] * size] for axis, size in zip(axes, sizes, strict=True)]
    ours, theirs = (parameters([torch.ones(5, dtype=torch.float64)]) for _ in range(2))
    follow(optim.FullMatrixAdagrad(ours, lr=0.1, eps=0.01), ours, gradients)
    follow(torch.optim.Adagrad(theirs, lr=0.1, eps=0.01), theirs, gradients)
    assert relative(ours[0], theirs[0]) <= 1e-12


def test_full_matrix_adagrad_divides_by_the_root_of_the_outer_products() -> None:
    start, *gradients = drawn((2, 3))
    (p,) = ours = parameters(start)
    follow(optim.FullMatrixAdagrad(ours, lr=0.1, eps=0.5), ours, gradients)
    theta, total = start[0].flatten(), torch.zeros(6, 6, dtype=torch.float64)
    for step in gradients:
        g = step[0].flatten()
        total = total + torch.outer(g, g)
        u, s, _ = torch.linalg.svd(total)  # of a symmetric matrix with no negative eigenvalue: u s uᵀ
        theta = theta - 0.1 * torch.linalg.solve((u * s.sqrt()) @ u.T + 0.5 * torch.eye(6, dtype=torch.float64), g)
    assert relative(p.flatten(), theta) <= 1e-6  # svd's root is only so exact while the matrix is singular


def quadratic_path(optimizer_of: Maker, turn: Tensor) -> Tensor:
    """Where descent on a long valley ends, begun, run and read in turned coordinates."""
    scales = torch.tensor([10.0, 1.0, 0.1], dtype=torch.float64)
    p = nn.Parameter(turn @ torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    optimizer = optimizer_of([p])
    for _ in range(STEPS):
        p.grad = turn @ (scales * (turn.T @ p.detach()))
        optimizer.step()
    return turn.T @ p.detach()


def test_full_matrix_adagrad_turns_with_the_axes_and_the_diagonal_form_does_not() -> None:
    turn = torch.linalg.qr(drawn((3, 3), steps=0)[0][0]).Q
    still = torch.eye(3, dtype=torch.float64)
    makers: list[Maker] = [
        lambda params: optim.FullMatrixAdagrad(params, lr=0.3),
        lambda params: optim.Adagrad(params, lr=0.3),
    ]
    full, diagonal = (relative(quadratic_path(maker, turn), quadratic_path(maker, still)) for maker in makers)
    assert full <= 1e-9
    assert diagonal > 1e-2


def test_full_matrix_adagrad_takes_no_step_where_no_gradient_has_been() -> None:
    direction = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float32)
    p = nn.Parameter(torch.zeros(3))
    follow(optim.FullMatrixAdagrad([p], lr=1.0), [p], [[direction], [1e-3 * direction]])
    expected = -(1 + 1e-3 / (1 + 1e-6) ** 0.5) * direction / 3
    torch.testing.assert_close(p.detach(), expected, rtol=1e-6, atol=1e-7)


def test_full_matrix_adagrad_says_what_a_large_tensor_would_take() -> None:
    small, large = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(64, 64))
    optimizer = optim.FullMatrixAdagrad([small])
    with pytest.raises(ValueError, match=r"\(64, 64\) has 4,096 elements.* 128 MiB.*fallline\.optim\.Adagrad"):
        optimizer.add_param_group({"params": [large]})
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": [large], "max_elements": 4096})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("FullMatrixAdagrad", {"lr": -1.0}, "lr must be at least 0 and finite; got -1.0"),
        ("FullMatrixAdagrad", {"lr": float("nan")}, "lr must be at least 0 and finite; got nan"),
        ("FullMatrixAdagrad", {"eps": -1e-8}, "eps must be at least 0 and finite; got -1e-08"),
        ("SOAP", {"lr": -1.0}, "lr must be at least 0 and finite; got -1.0"),
        ("SOAP", {"eps": -1.0}, "eps must be at least 0 and finite; got -1.0"),
        ("SOAP", {"weight_decay": -1.0}, "weight_decay must be at least 0 and finite; got -1.0"),
        ("SOAP", {"betas": (1.0, 0.9)}, r"betas\[0\] must be at least 0 and less than 1; got 1.0"),
        ("SOAP", {"betas": (0.9, -0.1)}, r"betas\[1\] must be at least 0 and less than 1; got -0.1"),
        ("SOAP", {"shampoo_beta": 1.5}, "shampoo_beta must be at least 0 and less than 1; got 1.5"),
        ("SOAP", {"precondition_frequency": 0}, "precondition_frequency must be at least 1 and finite; got 0"),
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_are_named(method: str, options: Options, words: str) -> None:
    p = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match=words):
        getattr(optim, method)([p], **options)
    with pytest.raises(ValueError, match=words):
        METHODS[method]([p]).add_param_group({"params": [nn.Parameter(torch.ones(2))], **options})


@pytest.mark.parametrize("method", OWN)
@pytest.mark.parametrize(
    ("p", "gradient", "error", "words"),
    [
        (torch.ones(2, 2), torch.tensor([[1.0, float("nan")], [1.0, 1.0]]), ValueError, r"\(2, 2\) is not finite"),
        (torch.ones(2, 2), SPARSE, RuntimeError, "does not support sparse gradients"),
        (torch.ones(2) * 1j, torch.ones(2) * 1j, RuntimeError, "does not support complex parameters"),
    ],
    ids=["not finite", "sparse", "complex"],
)
def test_gradients_that_can_not_be_taken_change_nothing(
    method: str, p: Tensor, gradient: Tensor, error: type[Exception], words: str
) -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(p.clone())
    first.grad, second.grad = torch.ones(2), gradient
    optimizer = METHODS[method]([first, second])
    with pytest.raises(error, match=words):
        optimizer.step()
    assert torch.equal(second, p)
    assert states_of(optimizer) == [{}, {}]


# ---------------------------------------------------------------------------------------------------------------------
# All of them are optimizers
# ---------------------------------------------------------------------------------------------------------------------


def through_state_dict(optimizer: torch.optim.Optimizer, method: str) -> torch.optim.Optimizer:
    params = parameters([p for group in optimizer.param_groups for p in group["params"]])
    restored = METHODS[method](params)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return restored


def through_a_file(optimizer: torch.optim.Optimizer, method: str) -> torch.optim.Optimizer:
    params = parameters([p for group in optimizer.param_groups for p in group["params"]])
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    restored = METHODS[method](params)
    restored.load_state_dict(torch.load(file, weights_only=True))
    return restored


RESUMED: dict[str, Callable[[torch.optim.Optimizer, str], torch.optim.Optimizer]] = {
    "state_dict": through_state_dict,
    "file": through_a_file,
    "deepcopy": lambda optimizer, _: copy.deepcopy(optimizer),
    "pickle": lambda optimizer, _: pickle.loads(pickle.dumps(optimizer)),
}


@each_method
@pytest.mark.parametrize("way", RESUMED)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_resumed_optimizer_goes_on_as_it_would_have(method: str, way: str, dtype: torch.dtype) -> None:
    start, *gradients = drawn((4, 3), (3, 3), steps=9, dtype=dtype)
    ours = parameters(start)
    optimizer = METHODS[method](ours)
    follow(optimizer, ours, gradients[:5])
    resumed = RESUMED[way](optimizer, method)
    follow(resumed, [p for group in resumed.param_groups for p in group["params"]], gradients[5:])
    follow(optimizer, ours, gradients[5:])
    same(journal(resumed), journal(optimizer), 0.0)


@pytest.mark.parametrize("method", OWN)
def test_loading_hooks_are_heard(method: str) -> None:
    start, *gradients = drawn((3, 3), steps=3)
    ours, others = parameters(start), parameters(start)
    saved, loaded = METHODS[method](ours), METHODS[method](others)
    follow(saved, ours, gradients)
    loaded.register_load_state_dict_pre_hook(lambda *_: copy.deepcopy(saved.state_dict()))
    loaded.load_state_dict({"state": {}, "param_groups": []})
    same(states_of(loaded), states_of(saved), 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("parameter", "gradient"),
    [
        ("contiguous", "transposed"),
        ("transposed", "contiguous"),
        ("transposed", "transposed"),
        ("strided", "contiguous"),
        ("strided", "strided"),
        ("contiguous", "negated"),
    ],
)
@pytest.mark.parametrize("shape", [(4, 6), (7, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_memory_layout_does_not_matter(
    method: str, parameter: str, gradient: str, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    place: dict[str, Callable[[Tensor], Tensor]] = {
        "contiguous": lambda x: x.clone(),
        "transposed": lambda x: x.T.contiguous().T,
        "strided": lambda x: torch.zeros(len(x), 2 * x.shape[1], dtype=x.dtype)[:, ::2].copy_(x),
        "negated": lambda x: torch._neg_view(-x),
    }
    start, *gradients = drawn(shape, steps=5, dtype=dtype)
    plain, laid_out = start[0].clone().requires_grad_(), place[parameter](start[0]).detach().requires_grad_()
    for p, way in ((plain, "contiguous"), (laid_out, gradient)):
        optimizer = METHODS[method]([p])
        for step in gradients:
            p.grad = place[way](step[0])
            optimizer.step()
    assert torch.equal(laid_out, plain)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"Muon"}))
@pytest.mark.parametrize("parameter", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("gradient", [torch.contiguous_format, torch.channels_last, "expanded"], ids=str)
def test_memory_layout_of_convolutions_does_not_matter(method: str, parameter: Any, gradient: Any) -> None:
    start, *gradients = drawn((4, 3, 2, 5), steps=4)
    gradients = [[step[0][..., :1].expand(4, 3, 2, 5)] for step in gradients]
    plain, laid_out = parameters(start)[0], nn.Parameter(start[0].to(memory_format=parameter))
    for p, way in ((plain, torch.contiguous_format), (laid_out, gradient)):
        optimizer = METHODS[method]([p])
        for (g,) in gradients:
            p.grad = g.clone() if way == "expanded" else g.contiguous(memory_format=way)
            optimizer.step()
    assert torch.equal(laid_out, plain)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - OWN))
def test_parameters_may_become_double_between_steps(method: str) -> None:
    start, *gradients = drawn((4, 6), steps=4)
    widened, double = parameters([tensor.float() for tensor in start]), parameters(start)
    optimizer = METHODS[method](widened)
    follow(optimizer, widened, gradients[:2])
    widened[0].grad = None
    widened[0].data = widened[0].data.double()
    follow(optimizer, widened, gradients[2:])
    follow(METHODS[method](double), double, gradients)
    assert relative(widened[0], double[0]) <= (1e-6 if method != "Muon" else 5e-3)


@each_method
def test_what_has_no_gradient_stays_and_keeps_no_state(method: str) -> None:
    start, *gradients = drawn((3, 3), (2, 2), steps=3)
    ours, alone = parameters(start), parameters(start[:1])
    optimizer, other = METHODS[method](ours), METHODS[method](alone)
    follow(optimizer, ours, [[step[0], None] for step in gradients])
    follow(other, alone, [step[:1] for step in gradients])
    assert torch.equal(ours[0], alone[0])
    assert torch.equal(ours[1], start[1])
    assert states_of(optimizer)[1] == {}


@each_method
def test_groups_keep_to_their_own_learning_rates(method: str) -> None:
    start, *gradients = drawn((3, 3), (3, 3), steps=4)
    together, apart = parameters(start), parameters(start)
    optimizer = METHODS[method](together[:1])
    optimizer.add_param_group({"params": together[1:], "lr": 0.5})
    follow(optimizer, together, gradients)
    for i, lr in enumerate((0.05, 0.5)):
        alone = METHODS[method](apart[i : i + 1])
        alone.param_groups[0]["lr"] = lr
        follow(alone, apart[i : i + 1], [step[i : i + 1] for step in gradients])
    same([p.detach() for p in together], [p.detach() for p in apart], 1e-12 if method != "Muon" else 5e-3)


@each_method
def test_the_closure_is_evaluated_and_its_loss_returned(method: str) -> None:
    p = nn.Parameter(torch.eye(3, dtype=torch.float64))
    optimizer = METHODS[method]([p])

    def closure() -> float:
        optimizer.zero_grad()
        loss = ((p - 2) ** 2).sum()
        torch.autograd.backward(loss)
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(5)]
    assert losses[0] == 27.0
    assert losses[-1] < losses[0]


@each_method
def test_hooks_see_the_step(method: str) -> None:
    p = nn.Parameter(torch.ones(2, 2))
    p.grad = torch.ones(2, 2)
    optimizer = METHODS[method]([p])
    seen: list[Any] = []
    optimizer.register_step_pre_hook(lambda *given: seen.append(given))
    optimizer.register_step_post_hook(lambda *given: seen.append(given))
    optimizer.step()
    assert seen == [(optimizer, (optimizer,), {})] * 2


@each_method
def test_a_backward_pass_through_what_the_step_wrote_is_refused(method: str) -> None:
    p = nn.Parameter(torch.ones(2, 2))
    optimizer = METHODS[method]([p])
    follow(optimizer, [p], [[torch.ones(2, 2)]])
    loss = (p * p).sum()
    follow(optimizer, [p], [[torch.ones(2, 2)]])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.backward(loss)


@each_method
def test_the_gradient_is_left_as_it_is(method: str) -> None:
    (start,), (gradient,) = drawn((3, 4), steps=1)
    p = nn.Parameter(start)
    p.grad = gradient.clone()
    version = p.grad._version
    optimizer = METHODS[method]([p])
    optimizer.step()
    optimizer.step()
    assert torch.equal(p.grad, gradient)
    assert p.grad._version == version


@each_method
def test_compiled_training_breaks_its_graph_at_the_step(method: str) -> None:
    start, *gradients = drawn((3, 3), steps=2)
    compiled, plain = parameters(start), parameters(start)
    optimizer = METHODS[method](compiled)

    def train() -> None:
        optimizer.step()

    step = torch.compile(train, backend="eager")
    for (gradient,) in gradients:
        compiled[0].grad = gradient
        step()
    follow(METHODS[method](plain), plain, gradients)
    assert torch.equal(compiled[0], plain[0])


@each_method
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)], ids=str)
def test_an_empty_matrix_is_nothing_to_move(method: str, shape: tuple[int, int]) -> None:
    p = nn.Parameter(torch.ones(shape))
    follow(METHODS[method]([p]), [p], [[torch.ones(shape)]] * 2)
    assert p.shape == shape


@pytest.mark.parametrize("method", OWN)
def test_a_gradient_whose_square_is_not_held_is_refused(method: str) -> None:
    """One finite gradient, whose square is not: weights would be NaN some steps later."""
    size = 1e20 if method == "SOAP" else 1e200
    dtype = torch.float32 if method == "SOAP" else torch.float64
    start, *gradients = drawn((3, 4), steps=12, dtype=dtype)
    (p,) = ours = parameters(start)
    optimizer = METHODS[method](ours)
    follow(optimizer, ours, gradients[:2])
    before = journal(optimizer)
    with pytest.raises(ValueError, match=r"of shape \(3, 4\) is so large \(up to .*\) that float.. does not hold"):
        follow(optimizer, ours, [[size * gradients[2][0]]])
    same(journal(optimizer), before, 0.0)
    follow(optimizer, ours, gradients[3:])
    assert bool(torch.isfinite(p).all())


@pytest.mark.parametrize("method", OWN)
def test_the_largest_gradient_that_is_taken_spoils_nothing(method: str) -> None:
    dtype, size = (torch.float32, 1.8e19) if method == "SOAP" else (torch.float64, 1.3e154)
    start, *gradients = drawn((3, 4), steps=30, dtype=dtype)
    (p,) = ours = parameters(start)
    optimizer = METHODS[method](ours)
    gradients[5][0].mul_(size / gradients[5][0].norm())
    follow(optimizer, ours, gradients)
    assert bool(torch.isfinite(p).all())


def test_muon_scales_by_the_spectral_norm() -> None:
    """√(rows/columns), also below 1 (Bernstein): where the installed torch's class takes it."""
    (start,), (gradient,) = drawn((4, 16), steps=1)
    assert fallline.optim.muon._scale("spectral_unclamped", 4, 16) == 0.5
    theirs = outcome(lambda: torch.optim.Muon([nn.Parameter(start.clone())], adjust_lr_fn="spectral_unclamped"))
    if raised(theirs):
        assert outcome(lambda: optim.Muon([nn.Parameter(start.clone())], adjust_lr_fn="spectral_unclamped")) == theirs
        return
    ends = []
    for module in (torch.optim, optim):
        p = nn.Parameter(start.clone())
        follow(module.Muon([p], lr=0.1, adjust_lr_fn="spectral_unclamped"), [p], [[gradient]])
        ends.append(p.detach() - start)
    assert relative(ends[1], ends[0]) <= 5e-3
