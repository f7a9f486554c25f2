"""From a source to functions that run: out of the cache if they are there, else compiled by Numba and kept."""

from __future__ import annotations

import linecache
from typing import Any

from fallline.kernels.cache import kernel_name, read_code, write_code
from fallline.kernels.machine_code import Pass, assemble, load, processor


def compile_passes(title: str, source: str, count: int) -> tuple[Pass, ...]:
    """Compile the `count` passes of a kernel, or load them.

    Damaged machine code is made anew; a folder that can't be written costs a compilation in each process.
    """
    name = kernel_name(title, source)
    code = read_code(name, processor())
    if code is None:
        code = assemble(_compiled(name, source, count))
        write_code(name, source, processor(), code)
    return load(code, count)


def _compiled(name: str, source: str, count: int) -> list[tuple[str, str]]:
    """What Numba makes of each pass: its optimised LLVM module, and the function's name in it."""
    filename = f"<fallline kernel {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace: dict[str, Any] = {"__name__": f"fallline_kernels.{name}"}
    exec(compile(source, filename, "exec"), namespace)
    functions = []
    for i in range(count):
        dispatcher = namespace[f"pass_{i}"]
        (signature,) = dispatcher.signatures
        function = dispatcher.overloads[signature].fndesc.llvm_func_name
        functions.append((dispatcher.inspect_llvm(signature), function))
    return functions
