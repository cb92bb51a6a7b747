"""Separate compilation of kernels: each is optimised once, and not again in every kernel that calls it.

numba copies the code of a callee into each of its callers and optimises it there once more, so that a tree of calls
costs its size times its depth. Here, as with the object files of a C program, a large kernel stays in a module of its
own: callers only declare it, and the engine that runs them finds it by name. What a kernel needs is kept with it in the
cache on disk, so that it is loaded first. A kernel gets what Python needs to call it (which is larger than most kernels)
only when Python does.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numba
from numba.core import codegen, itanium_mangler, registry

Needed = tuple[str, str, tuple[Any, ...]]
"""A kernel that stays apart: its module, its name, the types of its arguments."""

_names: set[str] = set()
"""Full names of the kernels."""


class _Library(codegen.JITCodeLibrary):  # type: ignore[misc]
    """Compiled code that knows which kernels it needs beside it."""

    def __init__(self, owner: Any, name: str) -> None:
        super().__init__(owner, name)
        self.apart: Needed | None = None
        self.needed: dict[Needed, None] = {}

    def add_linking_library(self, library: Any) -> None:
        """Link `library` in, unless it stays apart."""
        apart = getattr(library, "apart", None)
        if apart is not None:
            self.needed[apart] = None
        else:
            super().add_linking_library(library)
            self.needed.update(getattr(library, "needed", {}))

    def serialize_using_object_code(self) -> tuple[Any, ...]:
        """Return the library for the cache on disk, with what it needs."""
        plain = super().serialize_using_object_code()
        return (*plain, tuple(self.needed)) if self.needed else plain

    @classmethod
    def _unserialize(cls, owner: Any, state: tuple[Any, ...]) -> _Library:
        needed = state[3] if len(state) > 3 else ()
        for module, name, arguments in needed:
            getattr(importlib.import_module(module), name).compile(arguments)
        library: _Library = super()._unserialize(owner, state[:3])
        library.needed = dict.fromkeys(needed)
        return library


class Kernel(registry.CPUDispatcher):  # type: ignore[misc]
    """A compiled function that compiled functions call; `inlined`: it becomes part of them."""

    def __init__(self, function: Callable[..., object], inlined: bool) -> None:
        options = {
            "nopython": True,
            "error_model": "numpy",
            "forceinline": inlined,
            "no_cpython_wrapper": True,
            "no_cfunc_wrapper": True,
            "_nrt": False,  # kernels allocate nothing: numba need not count references to their tables
        }
        super().__init__(function, targetoptions=options)
        self.inlined = inlined
        self.entry: Any = None
        _names.add(f"{function.__module__}.{function.__qualname__}")
        self.enable_caching()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the kernel from Python."""
        if self.entry is None:
            self.entry = _entry(self)
        return self.entry(*arguments, **named)

    def get_call_template(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        """Let the kernel be compiled once for all constants and widths of integers.

        numba has a type for each constant, though inlined code folds them; and tables keep numbers in as few bytes as will
        do, which is no reason to compile again whatever is asked about them.
        """
        return super().get_call_template(
            tuple(map(_plain, args)), {name: _plain(kind) for name, kind in kws.items()}
        )

    def add_overload(self, compiled: Any) -> None:
        """Remember where a library that stays apart comes from, before anybody links it."""
        if not self.inlined:
            function = self.py_func
            compiled.library.apart = (
                function.__module__,
                function.__qualname__,
                tuple(compiled.signature.args),
            )
        super().add_overload(compiled)


def _plain(kind: Any) -> Any:
    """Type that a kernel is compiled for: no constants, whole numbers with 64 bits."""
    kind = numba.types.unliteral(kind)
    if isinstance(kind, numba.types.Integer) and kind.bitwidth < numba.types.int64.bitwidth:
        return numba.types.int64
    return kind


def _entry(kernel: Kernel) -> Any:
    """Return what Python calls in place of a kernel: a function of the same file, so that it is cached beside it."""
    function = kernel.py_func
    code = function.__code__
    name = f"{function.__name__}__from_python"
    arguments = ", ".join(inspect.signature(function).parameters)
    source = "\n" * (code.co_firstlineno - 1) + f"def {name}({arguments}): return kernel({arguments})"
    scope: dict[str, Any] = {"kernel": kernel, "__name__": function.__module__}
    exec(compile(source, code.co_filename, "exec"), scope)  # noqa: S102 - from names of our own
    _names.add(f"{function.__module__}.{name}")
    scope[name].__defaults__ = function.__defaults__
    return numba.njit(cache=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False)(scope[name])


def _mangle(
    name: str, kinds: tuple[Any, ...], *, abi_tags: tuple[str, ...] = (), uid: int | None = None
) -> str:
    """Symbol of a compiled function: that of a kernel is short, and the same in every process.

    numba numbers functions and types of records in the order in which a process meets them, so that one process would not
    find what another has compiled; and it spells out all tags, some of which depend on who calls a function first.
    """
    mangle: Callable[..., str] = itanium_mangler.mangle
    if "<locals>" in name or name.removeprefix(".NumbaEnv.") not in _names:
        return mangle(name, kinds, abi_tags=abi_tags, uid=uid)
    spelled = ",".join(str(kind) for kind in kinds)
    return mangle(name, (), abi_tags=("k" + hashlib.sha256(spelled.encode()).hexdigest()[:16],))


_context = registry.cpu_target.target_context
_context.mangler = _mangle
_context.codegen()._library_class = _Library  # noqa: SLF001 - numba has no other place to name it
