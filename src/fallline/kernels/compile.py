"""From a source to functions that run: out of the cache if they are there, else compiled by Numba and kept."""

from __future__ import annotations

import contextlib
import linecache
from collections.abc import Iterator
from typing import Any

from fallline.kernels.cache import kernel_name, read_code, write_code
from fallline.kernels.machine_code import Pass, assemble, load, processor

#: What Numba's environment variables may say about the code that it makes, at its defaults.
_SETTINGS: dict[str, Any] = {
    "BOUNDSCHECK": None,
    "CPU_FEATURES": None,
    "CPU_NAME": None,
    "DEBUGINFO_DEFAULT": 0,
    "DISABLE_JIT": 0,
    "EXTEND_VARIABLE_LIFETIMES": 0,
    "LLVM_REFPRUNE_FLAGS": "all",
    "LLVM_REFPRUNE_PASS": 1,
    "LOOP_VECTORIZE": 1,
    "OPT": 3,
    "SLP_VECTORIZE": 0,
}


def compile_passes(title: str, source: str, count: int) -> tuple[Pass, ...]:
    """Compile the `count` passes of a kernel, or load them.

    Damaged machine code is made anew; a folder that can't be written costs a compilation in each process.
    """
    name = kernel_name(title, source)
    target = f"{processor()} {_SETTINGS}"
    code = read_code(name, target)
    if code is None:
        code = assemble(_compiled(name, source, count))
        write_code(name, source, target, code)
    return load(code, count)


def _compiled(name: str, source: str, count: int) -> list[tuple[str, str]]:
    """What Numba makes of each pass: its optimised LLVM module, and the function's name in it."""
    filename = f"<fallline kernel {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace: dict[str, Any] = {"__name__": f"fallline_kernels.{name}"}
    with _own_settings():
        exec(compile(source, filename, "exec"), namespace)
    functions = []
    for i in range(count):
        dispatcher = namespace[f"pass_{i}"]
        (signature,) = dispatcher.signatures
        function = dispatcher.overloads[signature].fndesc.llvm_func_name
        functions.append((dispatcher.inspect_llvm(signature), function))
    return functions


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """Let Numba's environment variables have no say; nobody else compiles meanwhile."""
    from numba.core import config
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        config.reload_config()  # else the compiler would, and undo what follows, if a variable has changed
        theirs = {name: getattr(config, name) for name in _SETTINGS}
        # A level of optimisation is an integer of a class of Numba's own.
        vars(config).update(_SETTINGS, OPT=type(config.OPT)(_SETTINGS["OPT"]))
        try:
            yield
        finally:
            vars(config).update(theirs)
