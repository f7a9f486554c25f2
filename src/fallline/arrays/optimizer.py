"""`fallline.arrays.Optimizer`: any rule for dictionaries of NumPy arrays, and the known rules by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fallline import rules
from fallline._asked import did_you_mean
from fallline.arrays.slot import (
    Array,
    Slot,
    check_apart,
    check_gradient,
    check_mapping,
    check_parameter,
    owner,
    read_states,
)
from fallline.optim import hyperparameters as of_rule
from fallline.optim.documented import documented, documented_rule
from fallline.optim.generic import Optimizer as TorchOptimizer
from fallline.symbolic import Rule

#: What an optimizer makes anew when it is copied.
_OWN = ("_engine", "_slots", "_owners", "_loaded")


@documented(
    rule="The rule to follow.",
    hyperparameters="By the names in the rule's signature.",
    params="Arrays by name, moved in place.",
    grads="Their gradients; a name without one, or with None, rests: its states and its step count stay as they are.",
    saved="What `state_dict` gave, or `np.load` of what was saved of it.",
)
class Optimizer:
    """Moves NumPy arrays in place by a rule, which may have its hyperparameters as attributes: `optimizer.lr = 0.1`.

    States are kept by the arrays' names. float32 and float64
    arrays are moved where they lie; other layouts and float16 by way of a copy. Arrays may be read and written by
    anybody between two updates; a name may stand for another array of the same shape and type, and its states go on.
    Copies, also by pickle, have the states and no arrays: they move whatever `update` is given.

    Raises:
        TypeError: As `fallline.Optimizer`, for what is no rule or no hyperparameter of it.
        ValueError: As `fallline.Optimizer`, for a hyperparameter that it can't have.

    >>> from fallline.rules import momentum
    >>> x = np.array([1.0, -2.0])
    >>> optimizer = Optimizer(momentum, lr=0.25)
    >>> optimizer.update({"x": x}, {"x": 2 * x}); x.tolist()
    [0.5, -1.0]
    >>> optimizer.lr = 0.0
    >>> optimizer.update({"x": x}, {"x": 2 * x}); x.tolist()
    [0.5, -1.0]
    """

    def __init__(self, rule: Rule, **hyperparameters: Any) -> None:
        self._engine = TorchOptimizer([{"params": []}], rule, **hyperparameters)
        self._slots: dict[str, Slot] = {}
        self._owners: set[int] = set()
        self._loaded: dict[str, dict[str, Array]] = {}

    @property
    def rule(self) -> Rule:
        """The rule that is followed."""
        return self._engine.rule

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters' present values by name."""
        return of_rule.read(self.rule, self._engine.param_groups[0])

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array | None]) -> None:
        """Move arrays in place by their gradients. Names may join at any time, and begin then.

        Raises:
            TypeError: What is given is no flat dictionary of arrays, or a type differs or can't be trained.
            ValueError: A shape differs, an array is read-only, or two share memory.
            KeyError: A gradient has no parameter. An error names the array, and nothing is changed.
        """
        check_mapping("params", params)
        check_mapping("grads", grads)
        moving = self._seated(params, {name: gradient for name, gradient in grads.items() if gradient is not None})
        try:
            for slot in moving:
                slot.load(grads[slot.name], self._owners)
            self._engine.step()
        finally:
            for slot in moving:
                slot.tensor.grad = None
        for slot in moving:
            slot.store()

    def _seated(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> list[Slot]:
        """The slots of the names that have gradients, with the arrays that stand for them now."""
        slots, changed = self._slots, {}
        for name, gradient in grads.items():
            slot = slots.get(name)
            if name not in params:
                names = ", ".join(f"'{one}'" for one in list(params)[:8]) or "none"
                raise KeyError(f"grads has {name!r}, and params has no such name; it has {names}")
            if slot is None or not slot.holds(params[name]):
                changed[name] = check_parameter(name, params[name])
                check_gradient(name, gradient, changed[name])  # before the name is known to stand for such an array
        if changed:
            self._seat(changed, params)
        return [slots[name] for name in grads]

    def _seat(self, changed: Mapping[str, Array], params: Mapping[str, Array]) -> None:
        """Let arrays stand for names that they have not stood for; nothing is changed if any can't."""
        standing = {name: params[name] for name in self._slots if isinstance(params.get(name), np.ndarray)}
        check_apart({**standing, **changed})
        fresh = {name: Slot(name, array) for name, array in changed.items() if name not in self._slots}
        begun = {name: read_states(self.rule, slot, self._loaded.get(name, {})) for name, slot in fresh.items()}
        for name, array in changed.items():
            if name not in fresh:
                self._slots[name].bind(array)
        for name, slot in fresh.items():
            self._engine.param_groups[0]["params"].append(slot.tensor)
            if begun[name]:
                self._engine.state[slot.tensor] = begun[name]
            self._loaded.pop(name, None)
        self._slots |= fresh
        self._owners = {owner(slot.array) for slot in self._slots.values()}

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that is needed to go on later, as flat arrays: `np.savez(file, **optimizer.state_dict())`.

        The keys are "rule", "hyperparameters/NAME" and "states/ARRAY/STATE".
        """
        saved: dict[str, Any] = {"rule": np.array(rules.name_of(self.rule))}
        saved |= {f"hyperparameters/{name}": np.array(value) for name, value in self.hyperparameters.items()}
        for name, states in self._states().items():
            saved |= {f"states/{name}/{key}": array for key, array in states.items()}
        return saved

    def _states(self) -> dict[str, dict[str, Array]]:
        """Copies of the states of all names that have any."""
        kept = {name: self._engine.state.get(slot.tensor, {}) for name, slot in self._slots.items()}
        return {
            name: {key: np.asarray(state).copy() for key, state in states.items()}
            for name, states in {**self._loaded, **kept}.items()
        }

    def load_state_dict(self, saved: Mapping[str, Array]) -> None:
        """Go on from what was saved: hyperparameters and states, in place of its own.

        Raises:
            ValueError: It was saved from another rule; at the next update, a state does not fit its array.
        """
        check_mapping("the saved state", saved)
        name = str(saved["rule"]) if "rule" in saved else "none"
        if name != rules.name_of(self.rule):
            raise ValueError(
                f"the state was saved from the rule '{name}', and this optimizer follows '{rules.name_of(self.rule)}'; "
                "make the optimizer with the same rule"
            )
        mark, kept = "hyperparameters/", "states/"
        values = {key.removeprefix(mark): saved[key].item() for key in saved if key.startswith(mark)}
        Optimizer.__init__(self, self.rule, **values)
        for key in saved:
            if key.startswith(kept):
                array, _, state = key.removeprefix(kept).rpartition("/")
                self._loaded.setdefault(array, {})[state] = np.array(saved[key])

    def __getstate__(self) -> dict[str, Any]:
        # Tensors that share memory with arrays would come out as two that do not: the arrays stay behind.
        more = {key: value for key, value in vars(self).items() if key not in _OWN}
        return {**more, "rule": self.rule, "hyperparameters": self.hyperparameters, "_loaded": self._states()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        given = dict(state)
        Optimizer.__init__(self, given.pop("rule"), **given.pop("hyperparameters"))
        vars(self).update(given)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.hyperparameters:
            return self.hyperparameters[name]
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        values = self.hyperparameters
        if name not in values:
            hint = did_you_mean(name, values, "it has")
            raise AttributeError(f"{type(self).__name__} has no hyperparameter '{name}'; {hint}")
        values[name] = value
        of_rule.check(self.rule, values)
        self._engine.param_groups[0].update(of_rule.gather(self.rule, values))

    def __repr__(self) -> str:
        listed = [f"{name}={value!r}" for name, value in self.hyperparameters.items()]
        if type(self) is Optimizer:
            listed.insert(0, rules.name_of(self.rule))
        return f"{type(self).__name__}({', '.join(listed)})"


class Named(Optimizer):
    """An optimizer that follows the rule of its class; hyperparameters and defaults are the rule's."""

    follows: ClassVar[Rule]

    def __init__(self, lr: Any = None, **hyperparameters: Any) -> None:
        given = {} if lr is None else {"lr": lr}
        super().__init__(self.follows, **given, **hyperparameters)


def _named(name: str, record: rules.Record) -> type[Named]:
    kind, rule = inspect.Parameter.KEYWORD_ONLY, record.rule
    known = [inspect.Parameter(key, kind, default=value) for key, value in rule.hyperparameters.items()]
    members = {
        "follows": rule,
        "__doc__": documented_rule(rule, name),
        "__module__": __name__,
        "__signature__": inspect.Signature(known),
    }
    return type(name, (Named,), members)


#: The classes of the rules whose records name one.
CLASSES = {
    record.class_name: _named(record.class_name, record)
    for record in rules.RECORDS.values()
    if record.class_name is not None
}
globals().update(CLASSES)  # where pickles look for them
