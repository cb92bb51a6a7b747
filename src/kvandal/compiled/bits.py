"""The bits of floating-point numbers, for kernels that take them apart."""

from __future__ import annotations

import struct
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, overload


def bits_of(number: float) -> int:
    """Return the 64 bits of a number as a whole number.

    >>> hex(bits_of(1.0)), hex(bits_of(2.0))
    ('0x3ff0000000000000', '0x4000000000000000')
    """
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def number_of(bits: Any) -> float:
    """Return the number that 64 bits stand for.

    >>> number_of(0x3FF8000000000000)
    1.5
    """
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


def _cast(given: Any, wanted: Any, memory: Any) -> Any:
    """Return an intrinsic that hands on the bits of its argument as they are."""

    @intrinsic  # type: ignore[untyped-decorator]
    def cast(_typing_context: Any, _argument: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], memory)

        return wanted(given), generate

    return cast


_AS_BITS = _cast(types.float64, types.int64, ir.IntType(64))
_AS_NUMBER = _cast(types.int64, types.float64, ir.DoubleType())


@overload(bits_of)
def _(number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001 - numba compares the names of arguments
    return lambda number: _AS_BITS(number)  # noqa: PLW0108


@overload(number_of)
def _(bits):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG001
    return lambda bits: _AS_NUMBER(bits)  # noqa: PLW0108
