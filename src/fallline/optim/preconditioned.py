"""Methods that remember products of gradients: Adagrad with the full matrix, and SOAP."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fallline.math import dot, sqrt, where
from fallline.optim.documented import documented
from fallline.optim.matrix import (
    PreconditionedEngine,
    Segment,
    check_range,
    compute,
    contiguous,
    eigenvectors,
    gradient,
    new_step,
    step_together,
    turned_on,
)
from fallline.optim.session import Group
from fallline.optim.states import StateOf
from fallline.symbolic import rule


@documented(eps="ε, added to the root of an eigenvalue; at least 0.", max_elements="The most elements of a tensor.")
class FullMatrixAdagrad(PreconditionedEngine, torch.optim.Optimizer):
    """Adagrad with the full matrix (Duchi, Hazan and Singer, 2011): θ ← θ - η (G^{1/2} + εI)⁻¹ g, G = Σ g gᵀ.

    A tensor of n elements is one vector g. ε stands outside the root, as in the paper and as in the diagonal form of
    torch.optim.Adagrad, which this equals while every gradient lies along an axis. Unlike the diagonal form it does not
    depend on the axes: turn the coordinates, and the path turns with them.

    G is kept in float64 under `outer_products`, and its eigenvalues are found at every step: 8 n² bytes and about
    10 n³ operations, so `max_elements` limits n. Eigenvalues below rounding, n·2⁻⁵² of the largest, are directions in
    which no gradient has been yet, and there is no step along them.

    Raises:
        ValueError: A tensor is too large, or lr or eps below 0; at a step, a gradient or its squares are not finite.
        RuntimeError: At a step, a gradient is sparse, or a parameter complex.

    >>> p = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = FullMatrixAdagrad([p], lr=1.0)
    >>> p.grad = torch.tensor([3.0, 4.0])
    >>> optimizer.step(); [round(x, 6) for x in p.tolist()]
    [-0.6, -0.8]
    """

    def __init__(self, params: ParamsT, lr: float = 1e-2, *, eps: float = 1e-10, max_elements: int = 1024) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "max_elements": max_elements})

    _kept_in = torch.float64

    def _check_group(self, group: Group) -> None:
        check_range("lr", group["lr"], 0)
        check_range("eps", group["eps"], 0)
        for p in group["params"]:
            n = p.numel()
            if n > group["max_elements"]:
                raise ValueError(
                    f"a parameter of shape {tuple(p.shape)} has {n:,} elements, of which the matrix would take "
                    f"{8 * n * n / 2**20:,.0f} MiB; FullMatrixAdagrad takes up to max_elements={group['max_elements']}"
                    ". Use the diagonal form, fallline.optim.Adagrad, for this parameter, or raise max_elements"
                )

    def _move(self, group: Group, params: list[Tensor]) -> None:
        for p in params:
            g = contiguous(gradient(p)).reshape(-1).to(torch.float64)
            state = self.state[p]
            if "outer_products" not in state:
                state["outer_products"] = g.new_zeros(g.numel(), g.numel())
            products = state["outer_products"].addr_(g, g)
            eigenvalues, basis = torch.linalg.eigh(products)
            floor = g.numel() * torch.finfo(torch.float64).eps * float(eigenvalues[-1:].sum())
            turned = {"p": eigenvalues, "g": basis.mT @ g, "s": eigenvalues}
            update, _ = compute(adagrad_in_eigenbasis, turned, lr=group["lr"], eps=group["eps"], floor=floor)
            p.sub_((basis @ update).reshape(p.shape))


@rule
def adagrad_in_eigenbasis(p, g, s, *, lr=1e-2, eps=1e-10, floor=0.0):  # type: ignore[no-untyped-def]
    """Adagrad along the eigenvectors of G, where its matrix is diagonal; s are the eigenvalues."""
    return where(s > floor, lr * g / (sqrt(s) + eps), 0.0), s


#: Rounding in an entry of a turned gradient is taken to be so many times that of its root mean square, times √n.
_ROUNDINGS = 8


@documented(
    shampoo_beta="Decay factor of the averages of products, in [0, 1); None: the second beta.",
    weight_decay="Strength λ of decoupled weight decay, at least 0.",
    precondition_frequency="After how many steps the eigenvectors are brought up to date; at least 1.",
    max_precond_dim="Dimensions longer than this keep their axes.",
    precondition_1d="Whether vectors are turned too.",
    normalize_grads="Whether each tensor's step is brought to a root mean square of lr before bias correction.",
    correct_bias="Whether there is one.",
)
class SOAP(PreconditionedEngine, torch.optim.Optimizer):
    """Adam, run in the slowly turning eigenbasis of Shampoo's preconditioner (Vyas et al., SOAP, 2024).

    For each dimension of a tensor the products of its gradients over all other dimensions are averaged; their
    eigenvectors turn the gradient, Adam steps there, and the step is turned back. Now and then the eigenvectors are
    brought up to date by one power iteration and a QR decomposition. Conventions are those of the authors' code: a
    tensor's first gradient only begins the basis and moves nothing; ε stands beside the uncorrected root; weights decay
    after the step. With no dimension turned, it is Adam.
    Where gradients do not say which basis is theirs, in directions that none has had a part in or that all had the same
    part in, a convention does (`eigenvectors`), and no processor's rounding; what is no more than rounding in a turned
    gradient counts as nought. How tensors lie in memory changes nothing.

    States: `exp_avg` and `exp_avg_sq` in the eigenbasis, `GG` and `Q` a matrix for each dimension (None where it keeps
    its axes), float32 or better, and `step`.

    Raises:
        ValueError: A hyperparameter is out of its range; at a step, a gradient or its squares are not finite.
        RuntimeError: At a step, a gradient is sparse, or a parameter complex.

    >>> p = torch.nn.Parameter(torch.eye(2))
    >>> optimizer = SOAP([p], lr=0.5, weight_decay=0.0)
    >>> for _ in range(2):
    ...     p.grad = torch.diag(torch.tensor([4.0, 1.0])); optimizer.step()
    >>> [round(x, 4) for x in p.detach().diag().tolist()]
    [0.5, 0.5]
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        shampoo_beta: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        precondition_frequency: int = 10,
        max_precond_dim: int = 10000,
        *,
        precondition_1d: bool = False,
        normalize_grads: bool = False,
        correct_bias: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precond_dim": max_precond_dim,
            "precondition_1d": precondition_1d,
            "normalize_grads": normalize_grads,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: Group) -> None:
        for name in ("lr", "eps", "weight_decay"):
            check_range(name, group[name], 0)
        for name, beta in zip(("betas[0]", "betas[1]", "shampoo_beta"), _betas(group), strict=True):
            check_range(name, beta, 0, 1)
        check_range("precondition_frequency", group["precondition_frequency"], 1)

    def _move(self, group: Group, params: list[Tensor]) -> None:
        for p in params:
            g = contiguous(gradient(p).to(torch.promote_types(p.dtype, torch.float32)))
            state = self.state[p]
            if "Q" not in state:
                state.update(_beginning(g, group))
                continue
            _step(p, g, state, group)
            state["step"] += 1
            _gather(state["GG"], g, _betas(group)[2])
            if state["step"] % group["precondition_frequency"] == 0:
                _refresh(state)


@rule
def soap_direction(  # type: ignore[no-untyped-def]
    p, g, m, v, direction, *, beta1=0.95, beta2=0.95, eps=1e-8, elements=1.0, normalize_grads=False,
    correct_bias=True, t
):  # fmt: skip
    """Adam's direction in the eigenbasis, ε beside the uncorrected root. Nothing moves yet."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    direction = m / (sqrt(v) + eps)
    if normalize_grads:
        direction = direction / (1e-30 + sqrt(dot(direction, direction) / elements))
    if correct_bias:
        direction = sqrt(1 - beta2**t) / (1 - beta1**t) * direction
    return 0.0, m, v, direction


@rule
def descent_then_decay(p, g, *, lr=3e-3, weight_decay=0.01):  # type: ignore[no-untyped-def]
    """Step, then shrink what came of it."""
    step = lr * g
    return step + lr * weight_decay * (p - step)


def _step(p: Tensor, g: Tensor, state: StateOf, group: Group) -> None:
    beta1, beta2, _ = _betas(group)
    numbers = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "elements": p.numel(), "t": state["step"] + 1}
    turned = {"g": _seen(_turned(g, state["Q"]), g, state["Q"]), "m": state["exp_avg"], "v": state["exp_avg_sq"]}
    direction = torch.empty_like(g)
    step_together(
        soap_direction,
        [Segment({"p": p, **turned, "direction": direction}, numbers)],
        normalize_grads=bool(group["normalize_grads"]),
        correct_bias=bool(group["correct_bias"]),
    )
    rates = {"lr": group["lr"], "weight_decay": group["weight_decay"]}
    step_together(descent_then_decay, [Segment({"p": p, "g": _turned_back(direction, state["Q"])}, rates)])


def _beginning(g: Tensor, group: Group) -> StateOf:
    """The first states; the first basis is that of the first gradient alone, found in double precision."""
    turns = g.dim() > 1 or group["precondition_1d"]
    turned = [turns and n <= group["max_precond_dim"] for n in g.shape]
    averages = [g.new_zeros(n, n) if turn else None for n, turn in zip(g.shape, turned, strict=True)]
    _gather(averages, g, _betas(group)[2])
    exact = g.double()
    return {
        "step": new_step(),
        "exp_avg": torch.zeros_like(g),
        "exp_avg_sq": torch.zeros_like(g),
        "GG": averages,
        "Q": [
            eigenvectors(_products(exact, axis))[1].flip(1).to(g.dtype).contiguous() if turn else None
            for axis, turn in enumerate(turned)
        ],
    }


def _gather(averages: Sequence[Tensor | None], g: Tensor, beta: float) -> None:
    """Average, for each dimension, the products of the gradient with itself over all others."""
    for axis, average in enumerate(averages):
        if average is not None:
            average.lerp_(_products(g, axis), 1 - beta)


def _products(g: Tensor, axis: int) -> Tensor:
    """The products of a gradient with itself over all dimensions but one, [n, n]."""
    others = [other for other in range(g.dim()) if other != axis]
    products: Tensor = torch.tensordot(g, g, dims=(others, others))
    return products


def _refresh(state: StateOf) -> None:
    """Bring the basis up to date, in descending order of its eigenvalues, and the moments over to it."""
    mean, squares, bases = _turned_back(state["exp_avg"], state["Q"]), state["exp_avg_sq"], list(state["Q"])
    for axis, (products, basis) in enumerate(zip(state["GG"], state["Q"], strict=True)):
        if basis is not None:
            bases[axis], order = turned_on(products, basis)
            squares = squares.index_select(axis, order)
    mean = _seen(_turned(mean, bases), mean, bases)
    for old, new in zip((state["exp_avg"], state["exp_avg_sq"], *state["Q"]), (mean, squares, *bases), strict=True):
        if old is not None:
            old.copy_(new)


def _turned(tensor: Tensor, bases: Sequence[Tensor | None]) -> Tensor:
    """The tensor in the eigenbasis: each dimension by its own, if it has one."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            tensor = torch.tensordot(tensor, basis, dims=([axis], [0])).movedim(-1, axis)
    return tensor


def _seen(turned: Tensor, g: Tensor, bases: Sequence[Tensor | None]) -> Tensor:
    """A turned gradient without what is rounding only: Adam would make full steps of it, where no gradient leads."""
    axes = [axis for axis, basis in enumerate(bases) if basis is not None]
    if not axes or not g.numel():
        return turned
    sizes = [g.shape[axis] for axis in axes]
    rounding = _ROUNDINGS * torch.finfo(g.dtype).eps * math.sqrt(max(sizes) / math.prod(sizes))
    floor: Tensor = rounding * torch.linalg.vector_norm(g, dim=axes, keepdim=True)
    return torch.where(turned.abs() > floor, turned, 0)


def _turned_back(tensor: Tensor, bases: Sequence[Tensor | None]) -> Tensor:
    return _turned(tensor, [None if basis is None else basis.mT for basis in bases])


def _betas(group: Group) -> tuple[float, float, float]:
    beta1, beta2 = group["betas"]
    return beta1, beta2, beta2 if group["shampoo_beta"] is None else group["shampoo_beta"]
