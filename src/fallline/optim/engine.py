"""The step that all of Fallline's optimizers share: they differ in the recipe for a param group, no more."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import _profiler_enabled  # type: ignore[attr-defined]
from torch.optim import optimizer as torch_optimizer

from fallline.optim.hyperparameters import Recipe, check_changed, refuse_unknown
from fallline.optim.layout import is_distributed
from fallline.optim.session import Group, Session
from fallline.optim.states import own
from fallline.optim.torch_step import TorchStep
from fallline.optim.untraced import untraced

if TYPE_CHECKING:
    _Base = torch.optim.Optimizer
else:
    _Base = object


#: torch's own, as they are before it marks them.
_add_param_group = untraced(inspect.unwrap(torch.optim.Optimizer.add_param_group))
_zero_grad = untraced(inspect.unwrap(torch.optim.Optimizer.zero_grad))


class Engine(_Base):
    """A mixin for a `torch.optim.Optimizer`: its `step` runs the groups' rules, all tensors of a rule in one launch.

    What a kernel can't take goes through the eager reference of the same rule. What was assumed at the last step
    (addresses, layouts, which gradients exist, hyperparameters) is looked at again at the next; see `watch`.
    """

    #: The options of torch's class that are followed, beside those that all have; None where torch has no such class.
    _follows: ClassVar[tuple[str, ...] | None] = None
    _session: Session | TorchStep | None = None

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """No: torch's GradScaler unscales the gradients itself, even if the group says fused."""
        return False

    @_step_supports_amp_scaling.setter
    def _step_supports_amp_scaling(self, value: bool) -> None:
        """Take no notice: torch's constructors set it for their own fused kernels."""

    zero_grad = _zero_grad

    def _recipe(self, group: Group) -> Recipe:
        raise NotImplementedError

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None if closure is None else evaluated(closure)
        session = self._session
        if session is None or not session.ready(self.param_groups, self.state):
            session = self._prepare()
        if session.differentiable or session.has_eager:
            with torch.set_grad_enabled(session.differentiable):
                session.run()
        else:
            session.run()
        return loss

    @untraced  # torch.compile breaks its graph here: there is nothing to trace in a kernel's launch
    @functools.wraps(_step)
    def step(self, *arguments: Any, **named: Any) -> Any:  # hooks get the arguments just as they were given
        """Take one step; `closure`, if given, evaluates the model again, and its loss is returned."""
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or _profiler_enabled()
        ):
            return _watched_step(self, *arguments, **named)
        return self._step(*arguments, **named)

    # torch wraps a step for hooks and the profiler unless it is marked; ours is wrapped only when either is there.
    step.hooked = True

    def _prepare(self) -> Session | TorchStep:
        self._session = None
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._check(p)
                    if group.get("fused"):
                        _check_fused(p)
                    if p.grad.layout != torch.strided and not self._moves_sparse(group):
                        raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
                    if p.grad.is_sparse and group.get("weight_decay", 0) != 0:
                        raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        differentiable = bool(self.defaults.get("differentiable", False))
        session = Session(self.param_groups, self.state, self._recipe, self._check_values, differentiable)
        if not session.ready(self.param_groups, self.state):
            raise RuntimeError(
                "parameters, gradients or states changed while the step was being prepared; "
                "another thread must not touch them during optimizer.step()"
            )
        self._session = session
        return session

    def _check(self, p: Tensor) -> None:
        gradient = p.grad
        assert gradient is not None
        if is_distributed(p) or is_distributed(gradient):
            raise TypeError(
                f"{type(self).__name__} can't step a DTensor yet: it would see one shard only. "
                "Use one of torch.optim's own classes for distributed parameters"
            )
        if gradient.layout == torch.strided and gradient.numel() and not gradient.untyped_storage().size():
            raise RuntimeError("a gradient's memory was freed; call backward() again before step()")

    def _check_values(self, group: Group, recipe: Recipe) -> None:
        """Raise ValueError for hyperparameters that a group can't have; asked whenever one has changed."""
        check_changed(recipe.rule, recipe.values, torchs=True)

    def _moves_sparse(self, group: Group) -> bool:
        """Whether sparse gradients are taken, as torch's class of the name does; else they are refused in its words."""
        return False

    def add_param_group(self, param_group: Group) -> None:
        """Add a param group, as torch's optimizers do; the dictionary stays the caller's, and is not written into."""
        if isinstance(param_group, dict):
            param_group = dict(param_group)
            if self._follows is not None:
                refuse_unknown(type(self), self._follows, param_group, self.defaults)
        _add_param_group(self, param_group)
        try:
            self._check_group(self.param_groups[-1])
        except Exception:
            self.param_groups.pop()
            raise
        self._session = None

    def _check_group(self, group: Group) -> None:
        """Raise ValueError for a new group's hyperparameters, where torch's class has not."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load copies of what a state dict holds, so that its tensors may be used on; else as torch's optimizers do.

        Raises ValueError, and leaves the optimizer as it was, if the state is of another optimizer or incomplete.
        """
        before = self.state, self.param_groups
        given: dict[str, Any] = {}
        hooks = (
            self.register_load_state_dict_pre_hook(lambda _, loading: given.update(loading)),  # the last to see it
            # The first to see what was loaded: what follows it is not told of a state that can't be.
            self.register_load_state_dict_post_hook(lambda _: self._take_in(given), prepend=True),
        )
        try:
            super().load_state_dict(state_dict)
        except Exception:
            self.state, self.param_groups = before
            raise
        finally:
            for hook in hooks:
                hook.remove()

    def _take_in(self, given: dict[str, Any]) -> None:
        """Check what was loaded and make it the optimizer's own."""
        self._check_loaded()
        keys = [key for group in given["param_groups"] for key in group["params"]]
        params = [(group, p) for group in self.param_groups for p in group["params"]]
        for key, (group, p) in zip(keys, params, strict=True):
            for name, value in given["state"].get(key, {}).items():
                if self._keeps_type(group, name):
                    self.state[p][name] = _moved(value, p.device)
        own(self.state)

    def _keeps_type(self, group: Group, name: str) -> bool:
        """Whether a state is loaded in the type in which it was saved; torch casts all but step counts."""
        return False

    def _check_loaded(self) -> None:
        """Raise ValueError if what was loaded is not what the groups' rules keep."""
        for group in self.param_groups:
            try:
                recipe = self._recipe(group)
            except KeyError as missing:
                raise ValueError(
                    f"the state_dict's param group has no {missing}; it was saved from another optimizer than "
                    f"{type(self).__name__}"
                ) from missing
            wanted = {recipe.state_keys[spec.name] for spec in recipe.rule.states}
            if recipe.rule.uses_t:
                wanted.add("step")
            for p in group["params"]:
                state = self.state.get(p) or {}
                # Before the first step there is nothing; after it, all (momentum's buffer may be None in torch's).
                absent = wanted - state.keys() if wanted & state.keys() else set()
                if absent:
                    raise ValueError(
                        f"the state_dict has no {', '.join(sorted(absent))} for a parameter of shape {tuple(p.shape)}, "
                        f"but {', '.join(sorted(wanted & state.keys()))}; {type(self).__name__} could not go on from it"
                    )
                if float(state.get("step", 0)) < 0:
                    raise ValueError("the state_dict has a step count below 0")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._session = None


def evaluated(closure: Callable[[], Any]) -> Any:
    """The closure's loss, with autograd on."""
    with torch.enable_grad():
        return closure()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [_moved(item, device) for item in value]
    return value.to(device) if isinstance(value, Tensor) else value


#: torch's own check of what may stand beside fused=True.
_check_fused: Callable[[Tensor], None] = getattr(torch_optimizer, "_device_dtype_check_for_fused", lambda p: None)


_watched_step = torch.optim.Optimizer.profile_hook_step(
    lambda optimizer, *arguments, **named: optimizer._step(*arguments, **named)
)


def check_interval(name: str, value: float | Tensor, low: float, high: float) -> None:
    """Refuse a hyperparameter outside [low, high) in torch's words."""
    if not low <= float(value) < high:
        raise ValueError(f"Invalid {name} value: {value}")
