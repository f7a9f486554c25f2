"""Trains lanes of several models in company of every size, and prints which have not the numbers of all others.

Run in a process of its own, with one thread and `MKL_CBWR=AUTO`, as a race's own processes are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fallline import rules
from fallline.training import BatchedLanes, Problem, train
from fallline.training.updates import LaneRule, LaneUpdate

functional = nn.functional

ALL = 48
#: Which of all lanes are trained together.
COMPANIES = [[0], [47], [5, 30], [7, 8, 9], [*range(0, 42, 6)], [*range(15, 48)], [*range(33)], [*range(ALL)]]
RULES = (rules.adam, rules.momentum, rules.adamw, rules.lion)
#: Lanes whose rate is so large that they diverge, and leave the others.
WILD = (2, 3, 11, 16, 17, 40)


class Attending(nn.Module):
    """Embeddings, and two layers of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 12)
        layer = nn.TransformerEncoderLayer(12, 3, 20, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.head(self.layers(self.embedding(tokens)).mean(1))
        return output


def flat(*layers: Callable[[], nn.Module], outputs: int = 5) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(17, 13), *(layer() for layer in layers), nn.Linear(13, outputs))


def convolutional(
    pool: Callable[[], nn.Module], norm: Callable[[], nn.Module] = nn.Identity
) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Linear(17, 49), nn.Unflatten(1, (1, 7, 7)), nn.Conv2d(1, 3, 3), norm(), nn.ReLU(), pool(),
        nn.Conv2d(3, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(5, 5),
    )  # fmt: skip


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(17, 5),
    "one output": lambda: nn.Linear(17, 1),
    "relu": flat(nn.ReLU),
    "tanh": flat(nn.Tanh),
    "sigmoid": flat(nn.Sigmoid),
    "gelu": flat(nn.GELU),
    "silu": flat(nn.SiLU),
    "softplus": flat(nn.Softplus),
    "elu": flat(nn.ELU),
    "deep": flat(lambda: nn.Linear(13, 29), nn.ReLU, lambda: nn.Linear(29, 13), nn.Tanh),
    "wide": lambda: nn.Sequential(nn.Linear(17, 70), nn.ReLU(), nn.Linear(70, 37)),
    "float64": lambda: nn.Sequential(nn.Linear(17, 13), nn.Tanh(), nn.Linear(13, 5)).double(),
    "layer norm": flat(lambda: nn.LayerNorm(13), nn.GELU),
    "batch norm": flat(lambda: nn.BatchNorm1d(13), nn.ReLU),
    "dropout": flat(nn.ReLU, lambda: nn.Dropout(0.3)),
    "convolutional": convolutional(lambda: nn.MaxPool2d(2)),
    "convolutional, means": convolutional(lambda: nn.AvgPool2d(2), lambda: nn.BatchNorm2d(3)),
    "convolutional, groups": convolutional(lambda: nn.MaxPool2d(2), lambda: nn.GroupNorm(3, 3)),
    "embedding": lambda: nn.Sequential(nn.Embedding(11, 3), nn.Flatten(), nn.Linear(51, 5)),
    "attention": Attending,
}
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "one output": lambda output, target: functional.binary_cross_entropy_with_logits(
        output[:, 0], (target > 2).to(output)
    ),
    "sigmoid": lambda output, target: functional.mse_loss(output, functional.one_hot(target, 5).to(output)),
}


def problem_of(name: str) -> Problem:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(75, 17, generator=generator)
    labels = (inputs[:, :5].argmax(1)).long()
    if name in ("embedding", "attention"):
        inputs = inputs.abs().mul(4).long().clamp_max(10)
    return Problem(
        model=MODELS[name],
        loss=LOSSES.get(name, functional.cross_entropy),
        train=(inputs[:44], labels[:44]),
        valid=(inputs[44:], labels[44:]),
        metric="loss" if name in LOSSES else "accuracy",
        batch=13,
        epochs=3,
    )


def lane_rule(lane: int) -> LaneRule:
    rule = RULES[lane % len(RULES)]
    return LaneRule(rule, {**rule.defaults, "lr": 1e30 if lane in WILD else 1e-3 * (1 + lane % 5)})


def trained(problem: Problem, company: Sequence[int]) -> dict[int, list[bytes]]:
    """All that a race keeps of each lane, and its weights, by the lane's number."""
    seeds = [3 + lane // 3 for lane in company]
    lanes = BatchedLanes(problem, seeds)
    curves = train(lanes, LaneUpdate(lanes.parameters, [lane_rule(lane) for lane in company], seeds))
    quality = lanes.evaluate(problem.valid, examples=True, step=problem.steps)
    found = {
        lane: [curve[place].tobytes() for curve in (curves.train_loss, curves.valid_loss, curves.valid_metric)]
        for place, lane in enumerate(company)
    }
    for place, lane in enumerate(lanes.index.tolist()):
        tensors = (*lanes.parameters, *lanes.buffers, quality.loss, quality.metric, quality.example_loss)
        found[company[lane]] += [tensor[place].numpy().tobytes() for tensor in tensors if tensor is not None]
    return found


def main() -> None:
    """Print, for each model and company, the lanes that differ from those of all together."""
    torch.manual_seed(0)
    different: dict[str, list[int]] = {}
    for name in MODELS:
        problem = problem_of(name)
        known: dict[int, list[bytes]] = {}
        for company in reversed(COMPANIES):
            for lane, numbers in trained(problem, company).items():
                if known.setdefault(lane, numbers) != numbers:
                    different.setdefault(f"{name}, {len(company)} lanes", []).append(lane)
    print(json.dumps({"models": len(MODELS), "different": different}))


if __name__ == "__main__":
    main()
