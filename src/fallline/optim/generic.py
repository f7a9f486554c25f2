"""`fallline.Optimizer`: any rule as a torch optimizer, groups with rules of their own; and rules torch lacks."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, ClassVar

import torch
from torch.optim.optimizer import ParamsT

from fallline import rules
from fallline._text import dtype_name
from fallline.optim import hyperparameters as of_rule
from fallline.optim.documented import documented, documented_rule
from fallline.optim.engine import Engine
from fallline.optim.hyperparameters import Recipe
from fallline.optim.session import Group, Session
from fallline.optim.states import hand_over
from fallline.optim.torch_step import TorchStep
from fallline.symbolic import Rule, rests_without_gradient


@documented(
    rule="The rule that groups follow which have none of their own.",
    hyperparameters="By the names in the rule's signature; they hold for every group whose rule has them.",
)
class Optimizer(Engine, torch.optim.Optimizer):
    """A `torch.optim.Optimizer` that follows a rule, or several: a group's key `rule` overrides the optimizer's.

    Decay factors `beta1`, `beta2` may be given, and are held, as `betas`, as torch's classes do. States are kept under
    the rule's names for them.

    Raises:
        TypeError: What is not a rule; a hyperparameter that the rule does not have, that is missing, or that is not a
            number (or, where its default is one, a truth value or a string).
        ValueError: A negative rate, or a decay factor outside [0, 1).

    >>> import torch
    >>> from fallline.rules import adam, momentum
    >>> p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    >>> optimizer = Optimizer([{"params": [p]}, {"params": [q], "rule": adam, "lr": 0.25}], momentum, lr=0.5)
    >>> (p.sum() + q.sum()).backward(); optimizer.step(); p.tolist(), q.tolist()
    ([0.5, 0.5], [0.75, 0.75])
    """

    def __init__(self, params: ParamsT, rule: Rule, **hyperparameters: Any) -> None:
        self.rule = _checked(rule, "Optimizer takes a rule as its second argument")
        self._given = of_rule.spread(rule, hyperparameters)
        super().__init__(params, of_rule.gather(rule, {**rule.hyperparameters, **self._given}))

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do: `params`, `rule` and hyperparameters of the rule."""
        if isinstance(param_group, dict):
            rule = _checked(param_group.get("rule", self.rule), "the group's 'rule' must be a rule")
            mine = {name: value for name, value in self._given.items() if name in rule.hyperparameters}
            values = {**rule.hyperparameters, **mine, **of_rule.spread(rule, param_group)}
            of_rule.check(rule, values)
            # Not changed in place: the dictionary is the caller's.
            rest = {key: value for key, value in param_group.items() if key not in ("betas", *rule.hyperparameters)}
            param_group = {**rest, "rule": rule, **of_rule.gather(rule, values)}
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for key in self.defaults.keys() - of_rule.gather(group["rule"], group["rule"].hyperparameters).keys():
            del group[key]  # torch fills in the defaults of the optimizer's own rule

    def switch(self, rule: Rule, group: int | None = None, **hyperparameters: Any) -> None:
        """Go on with another rule, in one group or in all.

        Of the states goes on what means the same to both rules, as `states.hand_over` says: momentum, mostly. The rest
        begins anew. A learning rate scheduler goes on setting the rates it was made for; make a new one.

        Args:
            rule: The rule to go on with.
            group: The number of the group that does; None: all.
            hyperparameters: The rule's, as for a new optimizer.

        Raises:
            TypeError: As for a new optimizer.
            ValueError: As for a new optimizer.
            IndexError: There is no such group.

        >>> import torch
        >>> from fallline.rules import adam, momentum
        >>> p = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = Optimizer([p], adam, lr=0.1)
        >>> p.sum().backward(); optimizer.step()
        >>> optimizer.switch(momentum, lr=0.01)
        >>> round(optimizer.state[p]["b"].item(), 6)  # one gradient of 1, as momentum itself would have summed it
        1.0
        """
        _checked(rule, "switch takes a rule")
        values = {**rule.hyperparameters, **of_rule.spread(rule, hyperparameters)}
        of_rule.check(rule, values)
        if group is not None and not 0 <= group < len(self.param_groups):
            raise IndexError(
                f"'group' must be from 0 to {len(self.param_groups) - 1}, as there are param groups; got {group}"
            )
        for one in self.param_groups if group is None else [self.param_groups[group]]:
            old, old_values = one["rule"], of_rule.read(one["rule"], one)
            for p in one["params"]:
                if handed_over := hand_over(self.state.pop(p, {}), old, old_values, rule, values):
                    self.state[p] = handed_over
            for key in of_rule.gather(old, old.hyperparameters):
                del one[key]
            one.update({"rule": rule, **of_rule.gather(rule, values)})
        self._session = None

    def state_dict(self) -> dict[str, Any]:
        """As torch's optimizers give it; rules by their names, so that it loads under `weights_only`."""
        saved = super().state_dict()
        for group in saved["param_groups"]:
            group["rule"] = group["rule"].name
        # Numbers that are one for all tensors are one tensor here, and a copy each in what is saved: formats that keep
        # tensors apart, as safetensors, refuse shared ones.
        shared = {spec.name for group in self.param_groups for spec in group["rule"].global_states}
        for key, state in saved["state"].items() if shared else ():
            saved["state"][key] = {k: v.clone() if k in shared else v for k, v in state.items()}
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: It was saved from other rules or hyperparameters.
        """
        groups = [dict(group) for group in state_dict["param_groups"]]
        for group, own in zip(groups, self.param_groups, strict=False):  # torch says if their numbers differ
            name = group.get("rule", own["rule"].name)
            if name != own["rule"].name:
                raise ValueError(
                    f"the state_dict was saved from the rule '{name}', and this optimizer follows "
                    f"'{own['rule'].name}'; make the optimizer with the same rule, or switch it after loading"
                )
            missing = own.keys() - group.keys() - {"rule", "param_names", *of_rule.SCHEDULER_KEYS}
            if missing:
                raise ValueError(f"the state_dict's group has no {', '.join(sorted(missing))}; it is of another rule")
            group["rule"] = own["rule"]
        super().load_state_dict({**state_dict, "param_groups": groups})

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        of_rule.check_changed(recipe.rule, recipe.values)

    def _prepare(self) -> Session | TorchStep:
        for group in self.param_groups:
            half = {p.dtype for p in group["params"] if p.dtype in (torch.bfloat16, torch.float16)}
            if half and any(part is rules.prodigy for part, _ in group["rule"].parts):
                warnings.warn(
                    f"the rule '{group['rule'].name}' estimates its rate from how far the weights have moved, and "
                    f"{dtype_name(half.pop())} rounds its first steps away, so the estimate may stand still: keep the "
                    "weights in float32 (torch.autocast still computes in half precision)",
                    stacklevel=4,
                )
        return super()._prepare()

    def _moves_sparse(self, group: Group) -> bool:
        """Where the formula rests without a gradient, so that only the touched rows need moving."""
        rule = group["rule"]
        return rests_without_gradient(rule.trace(**{name: group[name] for name in rule.static}))

    def _keeps_type(self, group: Group, name: str) -> bool:
        """Numbers: in a parameter's bfloat16 a sum would stop growing."""
        return name in {spec.name for spec in group["rule"].number_states}

    def _recipe(self, group: Group) -> Recipe:
        rule = group["rule"]
        keys = {spec.name: spec.name for spec in rule.states}
        return Recipe(rule, of_rule.read(rule, group), keys, counts_steps=rule.uses_t)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "rule": self.rule, "_given": self._given}


def _checked(rule: object, wanted: str) -> Rule:
    if not isinstance(rule, Rule):
        raise TypeError(
            f"{wanted}; it got a {type(rule).__name__}. "
            "Put @fallline.rule over the function, or take one of fallline.rules"
        )
    return rule


class Named(Optimizer):
    """A rule that torch does not have, as a class: hyperparameters and their defaults are the rule's.

    Args:
        params: As `Optimizer` takes them.
        lr: The learning rate; None for the rule's default. It may stand second, as in torch's classes.
        **hyperparameters: The rule's own, by name.

    >>> from fallline.optim import Lion
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = Lion([p], 0.25, betas=(0.9, 0.99))
    >>> p.sum().backward(); optimizer.step(); p.tolist()
    [0.75, 0.75]
    """

    follows: ClassVar[Rule]

    def __init__(self, params: ParamsT, lr: Any = None, **hyperparameters: Any) -> None:
        given = {} if lr is None else {"lr": lr}
        super().__init__(params, self.follows, **given, **hyperparameters)


def _named(name: str, rule: Rule) -> type[Named]:
    text = documented_rule(rule, name, inspect.signature(Named).parameters["params"], betas=True)
    return type(name, (Named,), {"follows": rule, "__doc__": text, "__module__": __name__})


#: The classes of the rules whose records name one, and no twin in torch.
CLASSES = {
    record.class_name: _named(record.class_name, record.rule)
    for record in rules.RECORDS.values()
    if record.class_name is not None and record.twin is None
}
globals().update(CLASSES)  # where pickles look for them
