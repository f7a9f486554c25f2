"""From LLVM's form of a kernel to functions that Python can call, with llvmlite alone: no Numba once it is compiled."""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_CALLED = re.compile(r'@"?([\w.$]+)"?\(')
#: What the C library has for the formulas, in both precisions, and for loops that only fill or copy.
_MATHEMATICS = ("exp", "exp2", "fabs", "log", "pow", "sqrt")
_LIBRARY = {*_MATHEMATICS, *(f"{name}f" for name in _MATHEMATICS), "memcpy", "memmove", "memset"}
_WORDS = (ctypes.c_int64,) * 3
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *_WORDS)
#: Where Numba's calling convention has a function put its result and its exception: here never more than a null.
_SCRATCH = ctypes.create_string_buffer(64)
UNUSED = ctypes.addressof(_SCRATCH)


class Function(NamedTuple):
    """A function in machine code; what lies at its address is gone once its owner is."""

    address: int
    owner: object


class Pass(NamedTuple):
    """A kernel's function: called with (header, first chunk, last chunk), or by its address."""

    call: Callable[[int, int, int], None]
    function: Function


@functools.cache
def processor() -> str:
    """System, name and features of the processor that code is made for."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {features}"


def assemble(functions: Sequence[tuple[str, str]]) -> bytes:
    """Machine code, as one object file, of functions given as (LLVM module, name in it), called pass_0, pass_1, ...

    Raises RuntimeError if a function needs something that a process without Numba does not have.
    """
    import llvmlite.binding as llvm

    whole = llvm.parse_assembly("")
    for i, (text, name) in enumerate(functions):
        module = llvm.parse_assembly(text)
        _keep_only(module, name)
        module.get_function(name).name = f"pass_{i}"
        whole.link_in(module)
    return bytes(_target_machine().emit_object(whole))


def _keep_only(module: Any, name: str) -> None:
    """Leave out of the object what the function does not call, such as Numba's reference counting."""
    defined = {function.name: function for function in module.functions if not function.is_declaration}
    reached, waiting = set(), [name]
    while waiting:
        caller = waiting.pop()
        reached.add(caller)
        called = set(_CALLED.findall(str(defined[caller]))) - reached
        waiting += called & defined.keys()
        for other in called - defined.keys():
            if not other.startswith("llvm.") and other not in _LIBRARY:
                raise RuntimeError(
                    f"the kernel calls {other}, which a process without Numba may not have; if it is a function of "
                    "Intel's SVML, set the environment variable NUMBA_DISABLE_INTEL_SVML=1, else report the rule"
                )
    for function in defined.values():
        if function.name not in reached:
            function.linkage = "available_externally"


def load(machine_code: bytes, count: int) -> tuple[Pass, ...]:
    """The functions pass_0 to pass_{count - 1} of an object file. They run without the interpreter's lock."""
    import llvmlite.binding as llvm

    engine = _engine(llvm.parse_assembly(""))
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    addresses = [engine.get_function_address(f"pass_{i}") for i in range(count)]
    return tuple(pass_of(Function(address, engine)) for address in addresses)


def pass_of(function: Function) -> Pass:
    """What a kernel's function is called by; a call raises RuntimeError if the kernel says that it has failed."""
    run = _SIGNATURE(function.address)
    run.owner = function.owner  # type: ignore[attr-defined]  # whoever holds the call alone holds the memory too

    def call(header: int, first: int, last: int) -> None:
        check(run(UNUSED, UNUSED, header, first, last))

    return Pass(call, function)


def check(status: int) -> None:
    """Raise RuntimeError if a kernel says by its status that it has failed."""
    if status:
        raise RuntimeError(
            f"a kernel failed with status {status} and may have written a part of what it should; "
            "take parameters and states from before this step, and report the rule"
        )


def load_function(text: str, name: str) -> Function:
    """A function given in LLVM's language."""
    import llvmlite.binding as llvm

    engine = _engine(llvm.parse_assembly(text))
    engine.finalize_object()
    return Function(engine.get_function_address(name), engine)


def _engine(module: Any) -> Any:
    import llvmlite.binding as llvm

    return llvm.create_mcjit_compiler(module, _target_machine())


def _target_machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    if sys.platform == "win32":
        triple += "-elf"  # the loader understands ELF objects on every platform
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )
