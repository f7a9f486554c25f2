"""From LLVM's form of a kernel to functions that Python can call, with llvmlite alone: no Numba once it is compiled."""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_CALLED = re.compile(r'@"?([\w.$]+)"?\(')
_NUMBAS_OWN = ("NRT_", "numba_")
_WORDS = (ctypes.c_int64,) * 3
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *_WORDS)
#: Where Numba's calling convention has a function put its result and its exception: here never more than a null.
_SCRATCH = ctypes.create_string_buffer(64)
UNUSED = ctypes.addressof(_SCRATCH)
#: Owners of the memory that the functions lie in.
_engines: list[Any] = []


class Pass(NamedTuple):
    """A kernel's function: called with (header, first chunk, last chunk), or by its address."""

    call: Callable[[int, int, int], None]
    address: int


@functools.cache
def processor() -> str:
    """Name and features of the processor that code is made for."""
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


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
    import llvmlite.binding as llvm

    defined = {function.name: function for function in module.functions if not function.is_declaration}
    reached, waiting = set(), [name]
    while waiting:
        caller = waiting.pop()
        reached.add(caller)
        called = set(_CALLED.findall(str(defined[caller]))) - reached
        waiting += called & defined.keys()
        for other in called - defined.keys():
            if not other.startswith("llvm.") and (other.startswith(_NUMBAS_OWN) or not llvm.address_of_symbol(other)):
                raise RuntimeError(f"the kernel calls {other}, which only a process with Numba has")
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
    return tuple(Pass(functools.partial(_SIGNATURE(a), UNUSED, UNUSED), a) for a in addresses)


def load_function(text: str, name: str) -> int:
    """The address of a function given in LLVM's language."""
    import llvmlite.binding as llvm

    engine = _engine(llvm.parse_assembly(text))
    engine.finalize_object()
    return int(engine.get_function_address(name))


def _engine(module: Any) -> Any:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(module, _target_machine())
    _engines.append(engine)
    return engine


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
