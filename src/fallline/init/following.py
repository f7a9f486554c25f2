"""The activation that follows each layer, found on the graph of a model as far as it can be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import fx, nn

from fallline.init.activations import LINEAR, Activation, of_call, of_function, of_module, plain, words
from fallline.init.schemes import holds_layers, is_layer

#: What hands values on, moved, pooled, rescaled or summed, so that the search for the activation goes on behind it.
_PASSING = words("""
    add addcmul amax bmm cat chunk clone contiguous cpu cuda detach div double einsum expand flatten float getitem half
    iadd identity imul interpolate isub itruediv matmul mean movedim mul narrow neg permute pixelshuffle
    pixelunshuffle repeat reshape roll rsub select split squeeze stack sub sum swapaxes to transpose truediv type
    unbind unflatten unsqueeze upsample view
""")
_PASSING_KINDS = ("norm", "pool", "dropout", "pad")
#: Calls at which the search ends, as at losses: other layers, and questions about a tensor's form.
_ENDS = words("""
    bilinear conv1d conv2d conv3d convtranspose1d convtranspose2d convtranspose3d crossentropy dim embedding getattr len
    linear multiheadattentionforward ndimension numel scaleddotproductattention size
""")


def following(model: nn.Module) -> dict[str, Activation | str]:
    """Return, for each layer that tracing reaches, the activation behind it, or what kept it from being found.

    A branch that ends in another layer or the output counts as none, if another branch has an activation.

    >>> following(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1)))
    {'0': Activation(name='tanh', slope=0.0, shape=1.0), '3': Activation(name='linear', slope=0.0, shape=1.0)}
    """
    layers = [name for name, module in model.named_modules() if is_layer(module)]
    found: dict[str, Activation | str] = {"": LINEAR} if is_layer(model) else _in_transformers(model)
    return found if found.keys() >= set(layers) else {**_traced(model, layers), **found}


def _in_transformers(model: nn.Module) -> dict[str, Activation | str]:
    """What follows the layers of torch's transformers, which say so themselves and can't be traced."""
    found: dict[str, Activation | str] = {}
    for name, module in model.named_modules():
        for kind in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer):
            if isinstance(module, kind) and type(module).forward is kind.forward:
                inside = f"{name}." if name else ""
                function = module.activation
                found[f"{inside}linear1"] = of_function(function) or _unknown(
                    getattr(function, "__name__", str(function))
                )
                found[f"{inside}linear2"] = LINEAR
    return found


def _traced(model: nn.Module, layers: list[str]) -> dict[str, Activation | str]:
    try:
        graph = trace(model, whole={name for name, module in model.named_modules() if _is_known(module)})
    except Exception as error:  # whatever the model's own code raises when it meets symbols
        reason = str(error).strip().split("\n")[0].rstrip(".")
        return dict.fromkeys(layers, f"the model can't be traced: {reason}")
    modules = dict(model.named_modules())
    found: dict[str, Activation | str] = {}
    for node in graph.nodes:
        if node.op == "call_module" and is_layer(modules[str(node.target)]):
            name, here = str(node.target), _behind(node, modules)
            # A layer that is called several times has several places.
            found[name] = here if name not in found else agreed([found[name], here])
    return found


def _is_known(module: nn.Module) -> bool:
    """Whether its name says enough, so that tracing need not look inside."""
    return is_layer(module) or of_module(module) is not None or _passes(module)


def _passes(module: nn.Module) -> bool:
    return _passes_by_name(type(module).__name__) and not holds_layers(module)


def _passes_by_name(name: str) -> bool:
    return plain(name) in _PASSING or any(kind in plain(name) for kind in _PASSING_KINDS)


def _behind(layer: fx.Node, modules: dict[str, nn.Module]) -> Activation | str:
    found: list[Activation | str] = []
    waiting, seen = list(layer.users), set[fx.Node]()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        step = _step(node, modules)
        if step is None:
            waiting.extend(node.users)
        else:
            found.append(step)
    return agreed(found)


def agreed(found: list[Activation | str]) -> Activation | str:
    """Return the one activation that matters, or why there is none."""
    for problem in found:
        if isinstance(problem, str):
            return problem
    steps = sorted((step for step in found if isinstance(step, Activation) and step != LINEAR), key=str)
    bending = {step.scheme("normal"): step for step in reversed(steps)}
    if len(bending) > 1:
        return f"it is followed by {' and by '.join(sorted(map(str, bending.values())))}"
    return next(iter(bending.values()), LINEAR)


def _step(node: fx.Node, modules: dict[str, nn.Module]) -> Activation | str | None:
    """Return the activation that a node is, LINEAR where the search ends, words where it is lost, None to go on."""
    if node.op == "call_module":
        return _step_of_module(modules[str(node.target)])
    if node.op not in ("call_function", "call_method"):
        return LINEAR
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    key, activation = plain(name), of_call(name, node.args, node.kwargs)
    if activation is not None:
        return activation
    if _passes_by_name(name):
        return None
    return LINEAR if key in _ENDS or key.endswith("loss") else _unknown(name)


def _step_of_module(module: nn.Module) -> Activation | str | None:
    if is_layer(module):
        return LINEAR
    activation, name = of_module(module), type(module).__name__
    if activation is not None:
        return activation
    if _passes(module):
        return None
    return LINEAR if name.endswith("Loss") or _is_torch_layer(module) else _unknown(name)


def _unknown(name: str) -> str:
    return f"it is followed by '{name}', which is not known to be an activation or to pass values on"


def _is_torch_layer(module: nn.Module) -> bool:
    """Whether it is one of torch's own modules with weights, such as attention or a recurrent network."""
    return type(module).__module__.startswith("torch.nn") and any(True for _ in module.parameters())


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
