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


def number_of(bits: int) -> float:
    """Return the number that 64 bits stand for.

    >>> number_of(0x3FF8000000000000)
    1.5
    """
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


@intrinsic  # type: ignore[untyped-decorator]
def _as_bits(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _as_number(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@overload(bits_of)  # type: ignore[untyped-decorator]
def _bits_of(number):  # type: ignore[no-untyped-def]
    return lambda number: _as_bits(number)


@overload(number_of)  # type: ignore[untyped-decorator]
def _number_of(bits):  # type: ignore[no-untyped-def]
    return lambda bits: _as_number(bits)
