"""Parameters of one kernel in an optimizer: what is looked at, and what is done, at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.autograd.graph import increment_version

from fallline.kernels import Given, Kernel, Section, TableHost
from fallline.optim.hyperparameters import Recipe
from fallline.optim.layout import BLOCK, Watch
from fallline.optim.states import StateOf, adopt_numbers, adopt_small

#: In a batch of more than one block, states of at most so many elements are adopted into one vector. They are looked at
#: by identity and by the vector's address: whoever moves one must replace it, not assign to its `.data`.
_SMALL = 1 << 12


class Batch:
    """Parameters of any groups whose rule and type are the same: one table, one launch a step.

    `groups[i]` is the number of parameter i's group, and `absent[i]` names the states that were just made for it, for
    rules that say how a state begins.
    """

    def __init__(
        self,
        kernel: Kernel,
        params: Sequence[Tensor],
        states: Sequence[StateOf],
        absent: Sequence[tuple[str, ...]],
        groups: Sequence[int],
        recipes: Sequence[Recipe],
    ) -> None:
        recipe = recipes[groups[0]]
        keys = [recipe.state_keys[spec.name] for spec in kernel.rule.tensor_states]
        numbers = {spec.name: recipe.state_keys[spec.name] for spec in kernel.rule.number_states}
        everywhere = {recipe.state_keys[spec.name] for spec in kernel.rule.global_states}
        counted = ["step"] if recipe.counts_steps else []
        small = [i for i, p in enumerate(params) if p.numel() <= _SMALL] if len(params) > BLOCK else []
        held: list[Tensor] = []
        for key in keys if small else ():
            held += adopt_small([params[i] for i in small], [states[i] for i in small], key)
        vectors = {
            key: states[0][key] if key in everywhere else adopt_numbers(states, key)
            for key in [*numbers.values(), *counted]
        }
        self._counts = vectors["step"].numpy() if counted else None
        kept = {name: vectors[key].numpy() for name, key in numbers.items()}
        varying: dict[str, Any] = {name: np.broadcast_to(vector, len(params)) for name, vector in kept.items()}
        if self._counts is not None:
            varying["t"] = self._counts
        if "dimensions" in kernel.scalars.names:
            varying["dimensions"] = np.array([p.dim() for p in params])
        flags = {
            spec.absent: np.array([spec.name in made for made in absent], np.float64)
            for spec in kernel.rule.tensor_states
            if spec.absent in kernel.scalars.names
        }
        self._sections: dict[int, list[Section]] = {}
        for i, group in enumerate(groups):
            runs = self._sections.setdefault(group, [])
            if i and groups[i - 1] == group:
                runs[-1].stop = i + 1
            else:
                runs.append(Section(i, i + 1, recipes[group].values))
        sections = [section for runs in self._sections.values() for section in runs]
        tensors = zip(params, params, *([state[key] for state in states] for key in keys), strict=True)
        addresses = [[tensor.data_ptr() for tensor in row] for row in tensors]
        self.host = TableHost(kernel, params, addresses, Given(sections, varying, flags, [*kept.values()]))
        self._watch(params, states, [*keys, *vectors], keys, set(small), [*held, *vectors.values()])
        few = len(params) <= BLOCK  # of many, the numbers are watched by identity and by their vectors' addresses
        self._views = [state[key] for key in vectors for state in states] if few else []
        self._view_addresses = list(map(Tensor.data_ptr, self._views))
        # Views share their vector's version; these have their own.
        self._apart = [
            state[key] for key in vectors.keys() - everywhere for state in states if state[key]._base is None
        ]

    def _watch(
        self,
        params: Sequence[Tensor],
        states: Sequence[StateOf],
        kept: Sequence[str],
        keys: Sequence[str],
        adopted: set[int],
        held: Sequence[Tensor],
    ) -> None:
        """Watch parameters and states in blocks, and what holds the adopted ones in the first."""
        self._blocks = []
        for start in range(0, len(params), BLOCK):
            rows = range(start, min(start + BLOCK, len(params)))
            loose = [states[i][key] for key in keys for i in rows if i not in adopted]
            if start == 0:
                loose += held  # watched once, for all their views
            self._blocks.append(Watch([params[i] for i in rows], [states[i] for i in rows], kept, loose))

    def set_recipe(self, group: int, recipe: Recipe) -> None:
        """Take a group's new hyperparameter values; the rule is the same."""
        for section in self._sections.get(group, ()):
            section.values = recipe.values
        self.host.stale = True

    def refresh(self) -> bool:
        """Read the gradients' addresses; False if anything else lies elsewhere or otherwise than it did."""
        if self._views and list(map(Tensor.data_ptr, self._views)) != self._view_addresses:
            return False
        addresses: list[int] = []
        for block in self._blocks:
            found = block.gradient_addresses()
            if found is None:
                return False
            addresses += found
        if self._apart:
            increment_version(self._apart)
        self.host.refresh(addresses)
        return all(addresses)  # a freed gradient lies nowhere

    def prepare(self) -> None:
        """Count the step and fill in the scalars."""
        if self._counts is not None:
            self._counts += 1
        self.host.prepare()

    def settle(self) -> None:
        """Take up what the step left, and let the gradients go."""
        for block in self._blocks:
            block.held = []
        self.host.settle()
