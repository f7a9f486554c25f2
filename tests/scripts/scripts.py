"""Fifteen training scripts as people write them, each as the problem that its author would race.

Small networks on made-up data: what matters is what the scripts do beside layers, losses and batches.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import fallline as fl

_EPOCHS, _BATCH = 2, 8


def _drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _labels(classes: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(seed))


def _parts(inputs: Tensor, targets: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """The last 20 examples for validation, the 20 before for testing, the rest for training."""
    cut = {"train": slice(None, -40), "test": slice(-40, -20), "valid": slice(-20, None)}
    return {name: (inputs[rows], targets[rows]) for name, rows in cut.items()}


def _problem(**given: Any) -> fl.Problem:
    return fl.Problem(**{"epochs": _EPOCHS, "batch": _BATCH, **given})


class AutoEncoder(nn.Module):
    """A variational autoencoder (Kingma and Welling, 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
        self.decode = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x).chunk(2, -1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decode(code), mean, log_variance


def variational_autoencoder() -> fl.Problem:
    """Draws its codes, in training and in evaluation; its loss takes three outputs, so it has a step."""

    def evidence(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        restored, mean, log_variance = model(x)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1).mean()
        return functional.mse_loss(restored, x) + 0.1 * divergence  # type: ignore[no-any-return]

    x = _drawn(84, 6)
    return _problem(model=AutoEncoder, step=evidence, **_parts(x, x))


class Adder(nn.Module):
    """Adds two numbers, digit by digit (the example that many a small transformer begins with)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.mix = nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(x))[0]).transpose(1, 2)  # type: ignore[no-any-return]


def adder() -> fl.Problem:
    """Only the digits of the sum count: the labels before them are ignored by a number of the author's own."""
    a, b = _labels(50, 104, seed=1), _labels(50, 104, seed=2)
    text = torch.stack([a // 10, a % 10, b // 10, b % 10, (a + b) // 10, (a + b) % 10], 1)
    labels = text[:, 1:].clone()
    labels[:, :3] = -1
    return _problem(
        name="adder",
        model=Adder,
        loss=nn.CrossEntropyLoss(ignore_index=-1),
        metric="accuracy",
        **_parts(text[:, :-1], labels),
    )


class MeanTeacher(nn.Module):
    """A student and the running average of its weights, which is what is evaluated (Tarvainen and Valpola, 2017)."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self) -> None:
        for mine, own in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            mine.lerp_(own, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.teacher(x)  # type: ignore[no-any-return]
        self.seen += 1
        if self.seen > 3:
            self.follow()
        return self.student(x)  # type: ignore[no-any-return]


def mean_teacher() -> fl.Problem:
    """Its frozen copy begins to move at the fourth step."""
    return _problem(model=MeanTeacher, loss=functional.cross_entropy, **_parts(_drawn(84, 4), _labels(3, 84)))


class Bootstrapped(nn.Module):
    """A network and a frozen copy of it that is renewed now and then (Mnih and others, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            if self.calls % 5 == 0:
                self.target.load_state_dict(self.network.state_dict())
        return self.network(x) - 0.5 * self.target(x)  # type: ignore[no-any-return]


def target_network() -> fl.Problem:
    """Its frozen copy is renewed by `load_state_dict` at every fifth step."""
    x = _drawn(84, 4)
    return _problem(model=Bootstrapped, loss=functional.mse_loss, **_parts(x, x.square().sum(1, keepdim=True)))


def physics_informed() -> fl.Problem:
    """Solves u' = -u with u(0) = 1: its step differentiates the network by its input."""

    def residual(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        x = x.requires_grad_()
        u = model(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return (slope + u).square().mean() + (model(torch.zeros(1, 1)) - 1).square().mean()  # type: ignore[no-any-return]

    x = torch.linspace(0, 2, 84)[torch.randperm(84, generator=torch.Generator().manual_seed(0)), None]
    return _problem(
        model=lambda: nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)),
        step=residual,
        **_parts(x, (-x).exp()),
    )


class GraphNetwork(nn.Module):
    """Two layers of graph convolution over a sparse adjacency matrix (Kipf and Welling, 2017)."""

    features: Tensor
    adjacency: Tensor

    def __init__(self, features: Tensor, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("adjacency", adjacency)
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, nodes: Tensor) -> Tensor:
        hidden = torch.relu(torch.sparse.mm(self.adjacency, self.first(self.features)))
        return torch.sparse.mm(self.adjacency, self.second(hidden))[nodes]  # type: ignore[no-any-return]


def graph_network() -> fl.Problem:
    """Its examples are the numbers of nodes."""
    nodes = torch.arange(84)
    edges = torch.cat([torch.stack([nodes, nodes]), torch.stack([nodes, (7 * nodes + 3) % 84])], 1)
    adjacency = torch.sparse_coo_tensor(edges, torch.full((168,), 0.5), (84, 84), check_invariants=True).coalesce()
    features = _drawn(84, 5)
    return _problem(
        model=lambda: GraphNetwork(features.clone(), adjacency.clone()),
        loss=functional.cross_entropy,
        metric="accuracy",
        **_parts(nodes, _labels(3, 84)),
    )


class Siamese(nn.Module):
    """One network for both of a pair (Bromley and others, 1993)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, pair: Tensor) -> Tensor:
        one, other = pair.unbind(1)
        return functional.pairwise_distance(self.embed(one), self.embed(other))


def siamese() -> fl.Problem:
    """A contrastive loss of distances (Hadsell, Chopra and LeCun, 2006)."""

    def contrastive(distance: Tensor, same: Tensor) -> Tensor:
        return (same * distance.square() + (1 - same) * (1 - distance).clamp_min(0).square()).mean()

    return _problem(model=Siamese, loss=contrastive, **_parts(_drawn(84, 2, 4), _labels(2, 84).float()))


class Reader(nn.Module):
    """Reads sequences of different lengths; the first entry of an example is its length."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(12, 6, padding_idx=0)
        self.read = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embed(x[:, 1:]), x[:, 0], batch_first=True, enforce_sorted=False)
        return self.head(self.read(packed)[1][0][-1])  # type: ignore[no-any-return]


def packed_sequences() -> fl.Problem:
    """A recurrent network with packed sequences."""
    lengths = _labels(6, 84, seed=1) + 1
    text = (_labels(11, 84, 6) + 1) * (torch.arange(6) < lengths[:, None])
    return _problem(
        model=Reader,
        loss=functional.cross_entropy,
        metric="accuracy",
        **_parts(torch.cat([lengths[:, None], text], 1), text[:, 0] % 2),
    )


class UNet(nn.Module):
    """One level down and up again, with batch norm and a skip connection (Ronneberger and others, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        return self.head(torch.cat([skip, self.up(self.deep(skip))], 1))  # type: ignore[no-any-return]


def u_net() -> fl.Problem:
    """Marks pixels."""
    images = _drawn(84, 1, 8, 8)
    masks = (functional.avg_pool2d(images, 3, 1, 1) > 0).float()
    return _problem(model=UNet, loss=functional.binary_cross_entropy_with_logits, **_parts(images, masks))


def weighted_sampler() -> fl.Problem:
    """Rare classes are drawn more often, anew in each epoch, and weighed in the loss as well."""
    parts = _parts(_drawn(124, 4), (_labels(10, 124) > 7).long())
    labels = parts["train"][1]
    share = labels.bincount(minlength=2).double() / len(labels)
    sampler = WeightedRandomSampler((1 / share[labels]).tolist(), len(labels))
    return fl.Problem(
        model=lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
        train=DataLoader(TensorDataset(*parts["train"]), batch_size=_BATCH, sampler=sampler, drop_last=True),
        valid=parts["valid"],
        test=parts["test"],
        metric="f1",
        epochs=_EPOCHS,
    )


class LanguageModel(nn.Module):
    """Its head is its embedding (Press and Wolf, 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.mix(self.embed(x)))).transpose(1, 2)  # type: ignore[no-any-return]


def tied_language_model() -> fl.Problem:
    """Predicts the next letter."""
    text = (_labels(11, 84, 1) + torch.arange(7)) % 11
    return _problem(
        model=LanguageModel, loss=functional.cross_entropy, metric="accuracy", **_parts(text[:, :-1], text[:, 1:])
    )


class Sampled(nn.Module):
    """Drops units in evaluation too, and averages (Gal and Ghahramani, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 16), nn.Linear(16, 3)

    def once(self, x: Tensor) -> Tensor:
        return self.second(functional.dropout(torch.relu(self.first(x)), 0.3, training=True))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.once(x) if self.training else torch.stack([self.once(x) for _ in range(4)]).mean(0)


def monte_carlo_dropout() -> fl.Problem:
    """Draws masks in evaluation."""
    return _problem(model=Sampled, loss=functional.cross_entropy, **_parts(_drawn(84, 4), _labels(3, 84)))


class Balanced(nn.Module):
    """A network whose temperature has an optimizer of its own, with momentum."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.log_temperature = nn.Parameter(torch.zeros(()))
        self.own = torch.optim.SGD([self.log_temperature], lr=0.05, momentum=0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) / self.log_temperature.detach().exp()  # type: ignore[no-any-return]


def own_optimizer() -> fl.Problem:
    """Its step takes a step of the model's own optimizer before the loss is handed over."""

    def step(model: Any, x: Tensor, y: Tensor) -> Tensor:
        if model.training:
            logits = model.network(x).detach()
            model.own.zero_grad()
            functional.cross_entropy(logits / model.log_temperature.exp(), y).backward()  # type: ignore[no-untyped-call]
            model.own.step()
            model.own.zero_grad()
        return functional.cross_entropy(model(x), y)

    return _problem(model=Balanced, step=step, loss=functional.cross_entropy, **_parts(_drawn(84, 4), _labels(3, 84)))


class Augmented(Dataset[tuple[Tensor, int]]):
    """Images that are shifted and get noise whenever they are read."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image = self.images[place].roll(int(torch.randint(4, ())), -1)
        return image + 0.1 * torch.randn(image.shape), int(self.labels[place])


def augmented() -> fl.Problem:
    """Reads its training examples anew in each epoch."""
    parts = _parts(_drawn(84, 1, 6, 6), _labels(3, 84))
    return _problem(
        model=lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
        loss=functional.cross_entropy,
        train=Augmented(*parts["train"]),
        valid=parts["valid"],
        test=parts["test"],
    )


def correlation(output: Tensor, target: Tensor) -> Tensor:
    """Pearson's correlation, which a constant has none of."""
    return torch.corrcoef(torch.stack([output.flatten(), target.flatten()]))[0, 1]


def undefined_metric() -> fl.Problem:
    """The metric is NaN for the untrained network, whose last layer begins at zero."""

    def model() -> nn.Module:
        last = nn.Linear(8, 1)
        nn.init.zeros_(last.weight)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), last)

    x = _drawn(84, 4)
    metric = fl.Metric("correlation", correlation, higher_is_better=True)
    return _problem(model=model, loss=functional.mse_loss, metric=metric, **_parts(x, x.sum(1, keepdim=True)))


SCRIPTS: dict[str, Callable[[], fl.Problem]] = {
    script.__name__: script
    for script in (
        variational_autoencoder,
        adder,
        mean_teacher,
        target_network,
        physics_informed,
        graph_network,
        siamese,
        packed_sequences,
        u_net,
        weighted_sampler,
        tied_language_model,
        monte_carlo_dropout,
        own_optimizer,
        augmented,
        undefined_metric,
    )
}
