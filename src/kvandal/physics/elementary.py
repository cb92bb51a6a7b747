r"""Logarithm and exponential in plain arithmetic, for loops over many exchangers at once.

The compiler turns a loop of these into vector instructions, which it cannot do with calls of the system's mathematical
library; and they give the same bits on every machine, however wide its vectors are. Both are within a relative error of
:data:`RELATIVE_ERROR`, which tests hold them to over the whole range.
"""

from __future__ import annotations

import numpy as np

from kvandal.compiled import kernel
from kvandal.compiled.bits import bits_of, number_of

RELATIVE_ERROR = 1e-15
"""Bound on the relative error of :func:`logarithm`, :func:`exponential` and :func:`exponential_less_one`."""

LARGEST_EXPONENT = 700.0
"""Exponents are held within plus and minus this."""

_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_ROOT_HALF = np.int64(0x3FE6A09E667F3BCD)  # the bits of the root of 1/2
_FROM_ROOT_HALF = np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
_WHOLE = np.int64(0x4330000000000000)  # the bits of 2^52: added to a small whole number they make a number
_EXPONENT_PLACE = np.int64(52)
_BIAS = np.int64(1023)
_ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number that stands in the last bits
_LN_2 = 0.6931471805599453
_LN_2_HIGH = 6.93147180369123816490e-01  # the first 33 bits, so that products with exponents are exact
_LN_2_LOW = 1.90821492927058770002e-10


@kernel
def logarithm(number: float) -> float:
    r"""Natural logarithm, :math:`e \ln 2 + 2\,\mathrm{artanh}(s)`, :math:`s = (m - 1) / (m + 1)`, number :math:`m\, 2^e`.

    Valid for normal numbers above 0. The series of artanh is cut after :math:`s^{19}`, with
    :math:`|s| \le 0.172`.

    >>> round(logarithm(10.0), 12), logarithm(1.0)
    (2.302585092994, 0.0)
    """
    bits = bits_of(number) + _FROM_ROOT_HALF
    exponent = number_of((bits >> _EXPONENT_PLACE) | _WHOLE) - (4503599627370496.0 + 1023.0)
    less_one = number_of((bits & _MANTISSA) + _ROOT_HALF) - 1.0
    s = less_one / (2.0 + less_one)
    z = s * s
    # by pairs, so that the terms need not wait for each other
    z2 = z * z
    z4 = z2 * z2
    low = (1.0 / 3.0 + z * (1.0 / 5.0)) + z2 * (1.0 / 7.0 + z * (1.0 / 9.0))
    high = (1.0 / 11.0 + z * (1.0 / 13.0)) + z2 * (1.0 / 15.0 + z * (1.0 / 17.0))
    series = z * (low + z4 * (high + z4 * (1.0 / 19.0)))
    return exponent * _LN_2 + (2.0 * s + 2.0 * s * series)


@kernel
def _exponential_parts(exponent: float) -> tuple[float, float]:
    """Return the exponential of an exponent as a power of two times one plus a small number."""
    exponent = min(max(exponent, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    shifted = exponent * (1.0 / _LN_2) + _ROUND
    whole = shifted - _ROUND
    rest = (exponent - whole * _LN_2_HIGH) - whole * _LN_2_LOW
    power = number_of((bits_of(shifted) + _BIAS) << _EXPONENT_PLACE)
    # Taylor to the 13th power of at most half the logarithm of 2
    rest2 = rest * rest
    rest4 = rest2 * rest2
    low = (0.5 + rest * (1.0 / 6.0)) + rest2 * (1.0 / 24.0 + rest * (1.0 / 120.0))
    middle = (1.0 / 720.0 + rest * (1.0 / 5040.0)) + rest2 * (1.0 / 40320.0 + rest * (1.0 / 362880.0))
    high = (1.0 / 3628800.0 + rest * (1.0 / 39916800.0)) + rest2 * (
        1.0 / 479001600.0 + rest * (1.0 / 6227020800.0)
    )
    series = low + rest4 * (middle + rest4 * high)
    return power, rest + rest2 * series


@kernel
def exponential(exponent: float) -> float:
    """Exponential of a number; held at those of -700 and 700.

    >>> round(exponential(1.0), 12), exponential(0.0)
    (2.718281828459, 1.0)
    """
    power, rest = _exponential_parts(exponent)
    return power + power * rest


@kernel
def exponential_less_one(exponent: float) -> float:
    """Exponential of a number less one, without loss of digits near 0; held at those of -700 and 700.

    >>> round(exponential_less_one(1e-9) * 1e9, 10), exponential_less_one(0.0)
    (1.0000000005, 0.0)
    """
    power, rest = _exponential_parts(exponent)
    return power * rest + (power - 1.0)
