"""Traces a model with torch.fx, as far as it can be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn


def trace(model: nn.Module, whole: set[str]) -> fx.Graph:
    """Return the graph of a model's calls; the modules named `whole`, and those that can't be traced, are one call.

    Raises what the model's own forward raises when it meets symbols.

    >>> [node.name for node in trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), whole=set()).nodes]
    ['input_1', '_0', '_1', 'output']
    """
    whole = set(whole)
    while True:  # again, with one more module taken whole, until what is left can be traced
        tracer = _Tracer(whole)
        try:
            with _attributes_kept(model):
                return tracer.trace(model)
        except Exception:
            if tracer.failed is None or tracer.failed in whole:
                raise
            whole.add(tracer.failed)


class _Tracer(fx.Tracer):
    """Takes the modules named `whole` as they are, and notes in which other one the tracing failed."""

    def __init__(self, whole: set[str]) -> None:
        super().__init__()
        self.whole = whole
        self.failed: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or self.path_of_module(m)
            raise


@contextmanager
def _attributes_kept(model: nn.Module) -> Iterator[None]:
    """Undo what a forward pass notes down on its modules: they would be left with symbols. No part runs compiled."""
    before = [(module, dict(vars(module))) for module in model.modules()]
    held = [value for _, attributes in before for value in attributes.values()]
    inside = [(registry, dict(registry)) for registry in held if type(registry) is dict]
    for module, attributes in before:
        if attributes.get("_compiled_call_impl") is not None:  # of module.compile()
            vars(module)["_compiled_call_impl"] = None
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
        for registry, content in inside:
            registry.clear()
            registry.update(content)


@contextmanager
def unwrapped(model: nn.Module) -> Iterator[nn.Module]:
    """Let a model be without what `torch.compile` and data parallelism wrapped around it and its parts in a `with`."""
    inner = _inner(model)
    changed: list[tuple[nn.Module, str, nn.Module]] = []
    try:
        for module in list(inner.modules()):
            for name, child in list(module._modules.items()):
                if child is not None and _inner(child) is not child:
                    changed.append((module, name, child))
                    module._modules[name] = _inner(child)
        yield inner
    finally:
        for module, name, child in reversed(changed):
            module._modules[name] = child


def _inner(module: nn.Module) -> nn.Module:
    wrapper = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    name = "module" if wrapper else "_orig_mod"
    inner = dict(module._modules.items()).get(name)  # a scripted module's have no `get`
    return module if inner is None else _inner(inner)
