"""How a kernel is compiled: numba's own passes, less those for what no kernel has.

Kernels have no closures, no ``with``, no generators, no literal unrolling and no exceptions made while they run; numba
searches every function for each of these, and works out again after each search where its variables are used.
"""

from __future__ import annotations

from typing import Any

from numba.core import typed_passes, untyped_passes
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager

PASSES = (
    (untyped_passes.TranslateByteCode, "analyzing bytecode"),
    (untyped_passes.FixupArgs, "fix up args"),
    (untyped_passes.IRProcessing, "processing IR"),
    (untyped_passes.RewriteSemanticConstants, "rewrite semantic constants"),
    (untyped_passes.DeadBranchPrune, "dead branch pruning"),
    (untyped_passes.GenericRewrites, "nopython rewrites"),
    (untyped_passes.ReconstructSSA, "ssa"),
    (typed_passes.NopythonTypeInference, "nopython frontend"),
    (typed_passes.PreLowerStripPhis, "remove phis nodes"),
    (typed_passes.NopythonRewrites, "nopython rewrites"),
    (typed_passes.IRLegalization, "ensure IR is legal prior to lowering"),
    (typed_passes.NativeLowering, "native lowering"),
    (typed_passes.NoPythonBackend, "nopython mode backend"),
)


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """The compiler of kernels."""

    def define_pipelines(self) -> list[Any]:
        """Return the one way to compile a kernel."""
        manager = PassManager("kernel")
        for one, description in PASSES:
            manager.add_pass(one, description)
        manager.finalize()
        return [manager]
