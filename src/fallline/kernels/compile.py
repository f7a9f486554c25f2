"""From a source to functions that run: out of the cache, where no Numba is needed, else compiled and kept."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib.metadata
import linecache
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fallline._version import __version__
from fallline.symbolic import OPERATIONS

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


def cache_folder() -> Path:
    """The user's cache folder for kernels, one below it for each version of Fallline, Numba and llvmlite.

    `FALLLINE_CACHE_DIR` says where, else the platform's cache folder. Raises OSError if the user has no home.
    """
    try:
        base = _base_folder()
    except RuntimeError as error:
        raise OSError(str(error)) from error
    compilers = (f"{name}{importlib.metadata.version(name)}" for name in ("numba", "llvmlite"))
    return base / "kernels" / "-".join((__version__, *compilers))


def _base_folder() -> Path:
    if root := os.environ.get("FALLLINE_CACHE_DIR"):
        return Path(root)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "fallline" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fallline"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fallline"


def kernel_name(title: str, source: str) -> str:
    """A stable, readable name: the rule's, with a digest of the source."""
    readable = "".join(c if c.isalnum() else "_" for c in title).strip("_")[:80]
    return f"{readable}_{_digest(source.encode())[:12]}"


def read_code(name: str, target: str) -> bytes | None:
    """The machine code of a kernel for this target; None if there is none, if it is damaged or if not ours alone."""
    try:
        path = _code_path(name, target)
        if not (_is_ours_alone(path.parent) and _is_ours_alone(path)):
            return None
        digest, _, code = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return code if digest.decode(errors="replace") == _digest(name.encode() + code) else None


def write_code(name: str, source: str, target: str, code: bytes) -> None:
    """Keep a kernel's source, to be read, and its machine code.

    A folder that can't be written, or that others may write to, keeps nothing.
    """
    with contextlib.suppress(OSError):
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _is_ours_alone(folder):
            _write(folder / f"{name}.py", source.encode())
            _write(_code_path(name, target), _digest(name.encode() + code).encode() + b"\n" + code)


def _code_path(name: str, target: str) -> Path:
    return cache_folder() / f"{name}.{_digest(target.encode())[:12]}.o"


def _is_ours_alone(path: Path) -> bool:
    """Whether nobody else can have put code there for us to run; only POSIX systems say."""
    if not hasattr(os, "geteuid"):
        return True
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, so that another process never reads half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_CALLED = re.compile(r'@"?([\w.$]+)"?\(')
#: What the C library has for the formulas, in both precisions, and for loops that only fill or copy.
_MATHEMATICS = {"exp2", "fabs", "pow", *re.findall(r"math\.(\w+)", str([one.numba for one in OPERATIONS.values()]))}
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
