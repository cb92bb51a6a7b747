"""Separate compilation of kernels: each is optimised once, and not again in every kernel that calls it.

numba copies the code of a callee into each of its callers and optimises it there once more, so that a tree of calls
costs its size times its depth. Here, as with the object files of a C program, a large kernel stays in a module of its
own: callers only declare it, and the engine that runs them finds it by name. An inlined kernel is never turned into
machine code of its own, since nobody calls it. A kernel gets what Python needs to call it (which is larger than most
kernels) only when Python does; that entry is kept in the cache on disk with the machine code of all that lies below it,
so that a later process reads one file for it and needs to know neither names nor types of what it calls.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numba
from llvmlite import binding
from numba.core import caching, codegen, itanium_mangler, registry
from numba.core.targetconfig import ConfigStack

from kvandal.compiled import quicker
from kvandal.compiled.passes import KernelCompiler

Needed = tuple[str, str, tuple[Any, ...]]
"""A kernel that stays apart: its module, its name, the types of its arguments."""

_names: set[str] = set()
"""Full names of the kernels."""


class _Library(codegen.JITCodeLibrary):  # type: ignore[misc]
    """Compiled code that knows which kernels it needs beside it.

    Attributes
    ----------
    symbol : name of the function that it holds, once it is known to be a kernel or the entry to one
    inlined : it becomes part of others and is never run by itself
    apart : what it is, if others only refer to it
    entry : Python calls it, and nobody else
    needed : kernels that it refers to

    """

    objects: ClassVar[dict[str, tuple[bytes, tuple[str, ...]]]] = {}
    """Machine code of every kernel that stays apart, by its symbol, and the symbols of those that it needs."""
    placed: ClassVar[set[str]] = set()
    """Symbols whose machine code the engine has."""

    def __init__(self, owner: Any, name: str) -> None:
        super().__init__(owner, name)
        flags = ConfigStack.top_or_none()
        self.inlined = bool(flags is not None and flags.forceinline)
        self.symbol = ""
        self.apart: Needed | None = None
        self.entry = False
        self.needed: dict[str, Needed] = {}

    def add_linking_library(self, library: Any) -> None:
        """Link `library` in, unless it stays apart."""
        if getattr(library, "apart", None) is not None:
            self.needed[library.symbol] = library.apart
        else:
            super().add_linking_library(library)
            self.needed.update(getattr(library, "needed", {}))

    def _optimize_final_module(self) -> None:
        """Optimise; what is inlined is optimised in its callers, where it is known what it is called with."""
        if not self.inlined:
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        """Hand the module to the engine, which compiles it to machine code; but not what is only ever a part of others."""
        if self.inlined:
            self._finalized = True
        else:
            super()._finalize_final_module()

    def keep_apart(self, symbol: str, needed: Needed) -> None:
        """Remember where a library that stays apart comes from, before anybody links it."""
        self.symbol, self.apart = symbol, needed
        if symbol not in self.objects:
            self.objects[symbol] = (self._get_compiled_object(), tuple(self.needed))
            self.placed.add(symbol)

    def serialize_using_object_code(self) -> tuple[Any, ...]:
        """Return the library for the cache on disk, with what it needs."""
        if self.entry:
            code = (self._get_compiled_object(), tuple(self.needed))
            below = {symbol: self.objects[symbol] for symbol in self._below(self.needed)}
            return (self.name, "entry", (self.symbol, code, below))
        if self.apart is not None:
            return (self.name, "apart", (self.symbol, self.objects[self.symbol], self.needed))
        if self.inlined:
            return (self.name, "inlined", (self._get_module_for_linking().as_bitcode(), self.needed))
        serialized: tuple[Any, ...] = super().serialize_using_object_code()
        return serialized

    @classmethod
    def _below(cls, symbols: Iterable[str]) -> set[str]:
        """Symbols of all kernels that kernels need, and those that these need, and so on."""
        found: set[str] = set()
        waiting = list(symbols)
        while waiting:
            symbol = waiting.pop()
            if symbol not in found:
                found.add(symbol)
                waiting += cls.objects[symbol][1]
        return found

    @classmethod
    def _unserialize(cls, owner: Any, state: tuple[Any, ...]) -> _Library:
        name, kind, parts = state
        if kind not in {"entry", "apart", "inlined"}:
            plain: _Library = super()._unserialize(owner, state)
            return plain
        library: _Library = owner.create_library(name)
        if kind == "entry":
            library.symbol, code, below = parts
            cls._place(owner, {**below, library.symbol: code})
        else:
            needed: dict[str, Needed] = parts[-1]
            for module, kernel, arguments in needed.values():
                getattr(importlib.import_module(module), kernel).compile(arguments)
            library.needed = dict(needed)
            if kind == "apart":
                library.symbol = parts[0]
                cls._place(owner, {parts[0]: parts[1]})
            else:
                library.inlined = True
                library._final_module = binding.parse_bitcode(parts[0])
        library._finalized = True
        return library

    @classmethod
    def _place(cls, owner: Any, objects: dict[str, tuple[bytes, tuple[str, ...]]]) -> None:
        """Give the engine machine code that it does not have yet."""
        engine = owner._engine
        for symbol, (code, _) in objects.items():
            if symbol not in cls.placed:
                engine._ee.add_object_file(binding.ObjectFileRef.from_data(code))
                cls.placed.add(symbol)
        engine._defined_symbols.update(objects)
        engine.finalize_object()
        cls.objects.update(objects)


class _Reduced(caching.CompileResultCacheImpl):  # type: ignore[misc]
    """What of a compiled kernel is kept on disk: not the text of its types line by line, which is the most of it."""

    def reduce(self, compiled: Any) -> Any:
        return super().reduce(compiled._replace(type_annotation=""))


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """Cache on disk of a kernel, whose index holds a short name for the types of the arguments."""

    _impl_class = _Reduced

    def _index_key(self, kinds: Any, codegen_: Any) -> Any:
        arguments, *rest = super()._index_key(kinds, codegen_)
        return (_digest(arguments), *rest)


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
        super().__init__(function, targetoptions=options, pipeline_class=KernelCompiler)
        self.inlined = inlined
        self.entry: Any = None
        _names.add(f"{function.__module__}.{function.__qualname__}")
        self.enable_caching()

    def enable_caching(self) -> None:
        """Keep what is compiled on disk."""
        self._cache = _Cache(self.py_func)

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
        if compiled.environment.consts:  # they would be lost: only entries bring an environment with them
            raise TypeError(f"{self.py_func.__qualname__} holds objects of Python, which no kernel may")
        if not self.inlined:
            function = self.py_func
            needed = (function.__module__, function.__qualname__, tuple(compiled.signature.args))
            compiled.library.keep_apart(compiled.fndesc.mangled_name, needed)
        super().add_overload(compiled)


class _Entry(registry.CPUDispatcher):  # type: ignore[misc]
    """What Python calls in place of a kernel."""

    def enable_caching(self) -> None:
        """Keep what is compiled on disk."""
        self._cache = _Cache(self.py_func)

    def compile(self, kinds: Any) -> Any:
        """Compile the entry and all kernels below it, or load them."""
        return quicker.at_ease(super().compile, kinds)

    def add_overload(self, compiled: Any) -> None:
        """Mark the library, before it is kept."""
        library = compiled.library
        library.entry, library.symbol = True, compiled.fndesc.llvm_cpython_wrapper_name
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
    entry = _Entry(
        scope[name],
        targetoptions={
            "nopython": True,
            "error_model": "numpy",
            "no_cfunc_wrapper": True,
            "_nrt": False,
            "nogil": True,  # other threads of Python go on meanwhile: a service answers while its loop decides
        },
    )
    entry.enable_caching()
    return entry


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
    return mangle(name, (), abi_tags=("k" + _digest(kinds),))


def _digest(kinds: Iterable[Any]) -> str:
    """Name types shortly."""
    return hashlib.sha256(",".join(str(kind) for kind in kinds).encode()).hexdigest()[:16]


_context = registry.cpu_target.target_context
_codegen = _context.codegen()
_set_environment = _codegen.set_env


def _set_environment_of_code(name: str, environment: Any) -> None:
    """Tell machine code where its environment is; what is only a part of others has none."""
    if _codegen._engine.get_global_value_address(name):
        _set_environment(name, environment)


quicker.install()
_context.mangler = _mangle
_codegen._library_class = _Library
_codegen.set_env = _set_environment_of_code
