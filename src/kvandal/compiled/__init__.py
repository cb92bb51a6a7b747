"""Compilation of the kernels, cached on disk under a key that knows all kernel sources.

numba's own cache notices a change in a function's file but not in the files of the functions that it calls. The
cache folder is therefore named after a hash of every source file that holds kernels.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from kvandal.compiled.linking import Kernel

Function = TypeVar("Function", bound=Callable[..., object])

KERNEL_FOLDERS = ("compiled", "physics", "policy", "twin")
"""Folders of the package that hold compiled functions, and how they are compiled."""

UNUSED_S = 30 * 86_400
"""Compiled kernels that nobody used for so long are dropped [s]."""


def _sources_hash() -> str:
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in KERNEL_FOLDERS:
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder of the compiled kernels: ``$KVANDAL_CACHE_DIR``, else under the user's cache folder."""
    configured = os.environ.get("KVANDAL_CACHE_DIR")
    base = (
        Path(configured)
        if configured
        else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kvandal"
    )
    return base / f"kernels-{_sources_hash()}"


CACHE_FOLDER = cache_folder()
_config: Any = numba.config
_config.CACHE_DIR = str(CACHE_FOLDER)


def is_cached(loop: str = "complete") -> bool:
    """Whether the kernels of a loop have been compiled before on this machine (from these sources).

    `loop` is *complete* for that over simulated time, *live* for the one of a live site.
    """
    return (CACHE_FOLDER / loop).exists()


def mark_cached(loop: str = "complete") -> None:
    """Remember that every kernel of a loop has been compiled, and drop kernels of other sources that nobody used for a month.

    A read-only cache folder is no error.
    """
    try:
        CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
        (CACHE_FOLDER / loop).touch()
        for folder in CACHE_FOLDER.parent.glob("kernels-*"):
            used = folder / "complete"
            if folder != CACHE_FOLDER and used.exists() and time.time() - used.stat().st_mtime > UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return


def kernel(function: Function) -> Function:
    """Compile `function` with numba in nopython mode; division by zero gives infinity as in numpy.

    It becomes part of its callers: for what is small or called very often.
    """
    return _compiled(function, True)


def large_kernel(function: Function) -> Function:
    """Compile `function` like :func:`kernel`, as a function of its own: for what is large or called in many places."""
    return _compiled(function, False)


def kept(function: Function) -> Function:
    """Compile a function of somebody else's library with numba, kept on disk beside the kernels."""
    compiled: Any = numba.njit(cache=True)(function)
    return compiled  # type: ignore[no-any-return]


def _compiled(function: Function, inlined: bool) -> Function:
    if numba.config.DISABLE_JIT:
        return function
    compiled: Any = Kernel(function, inlined)
    return compiled  # type: ignore[no-any-return]
