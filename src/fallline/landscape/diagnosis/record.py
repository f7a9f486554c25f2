"""A diagnosis: its findings, and all measurements that they stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fallline._text import as_page, counted
from fallline.landscape.diagnosis.along_run import AlongRun
from fallline.landscape.diagnosis.escape import Escape
from fallline.landscape.diagnosis.finding import Finding
from fallline.landscape.diagnosis.rate_range import RateRange
from fallline.landscape.diagnosis.signals import Signals
from fallline.landscape.diagnosis.tables import activations_table, along_table, layers_table, numbers_table
from fallline.landscape.diagnosis.update_ratios import UpdateRatios
from fallline.landscape.measuring import Condition, Curvature, NoiseScale, Spectrum
from fallline.landscape.slices import plain

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """What was found of a problem and a model of it. Print it for the findings and the tables.

    What was not asked for, was not reached, or could not be measured is None.

    Attributes:
        problem: The problem's name.
        model: Which weights were measured, in words.
        optimizer: What moves the weights.
        hyperparameters: Its hyperparameters, with the learning rate.
        findings: Sentences with their evidence, those on learning rates first.
        rates: The range of learning rates, from fresh weights.
        along: Curvature and noise along the run that was trained here.
        signals: Activations and gradients by layer.
        curvature: The highest and the lowest curvature.
        noise: The noise scale of the gradient.
        spectrum: How the curvatures are spread.
        scaling: How unlike the curvatures are at the first weights, without and with features that are scaled.
        updates: How far a step moves each layer.
        escapes: When optimizers left the place, if it was a saddle.
        left_out: What could not be measured, and why, in sentences.
        finished: Whether all was done that was asked for.
        cost: What it was foreseen to cost, in a sentence.
        seconds: How long it took.
    """

    problem: str
    model: str
    optimizer: str
    hyperparameters: Mapping[str, Any]
    findings: tuple[Finding, ...]
    rates: RateRange | None
    along: AlongRun | None
    signals: Signals | None
    curvature: Curvature | None
    noise: NoiseScale | None
    spectrum: Spectrum | None
    scaling: tuple[Condition, Condition] | None
    updates: UpdateRatios | None
    escapes: tuple[Escape, ...]
    left_out: tuple[str, ...]
    finished: bool
    cost: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is not a finite number becomes None."""
        return {**{one.name: _plain(getattr(self, one.name)) for one in fields(self)}, "headline": self.headline}

    def write_json(self, path: str | Path) -> None:
        """Write `to_json` to a file.

        Args:
            path: Where to; a file that is there is replaced.

        Raises:
            OSError: It can't be written.
        """
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @property
    def headline(self) -> str:
        """What was measured, and how much was found."""
        found = counted(len(self.findings), "finding") if self.findings else "nothing that is worth a sentence"
        return f"{self.problem}, {self.model}: {found}."

    def tables(self) -> list[Table]:
        """What was measured, as tables of rich's."""
        found = [] if self.along is None else [along_table(self.along)]
        if self.signals is not None:
            found.append(layers_table(self.signals, self.updates))
            if self.signals.activations:
                found.append(activations_table(self.signals))
        numbers = numbers_table(self.signals, self.curvature, self.noise, self.rates)
        return found if numbers is None else [*found, numbers]

    def __str__(self) -> str:
        sentences = [str(finding) for finding in self.findings]
        return as_page(self.tables(), [], [*sentences, *self.left_out], before=[self.headline])

    def __repr__(self) -> str:
        return f"Diagnosis({self.problem!r}, {counted(len(self.findings), 'finding')}; print it for these)"


def _plain(value: Any) -> Any:
    """Records as mappings, arrays and tuples as lists, and so on, all the way down."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    found = plain(value)
    return found if found is None or isinstance(found, bool | int | float | str | list) else str(found)
