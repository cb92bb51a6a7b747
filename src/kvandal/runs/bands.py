"""Statistics of the members of a run: bands of every number, and which parameters matter for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

BANDS = (("p10", 0.10), ("p50", 0.50), ("p90", 0.90))
CONFIDENCE = 0.95
EXACT_UP_TO = 8
"""So many members: all their permutations are counted; beyond, Student's t is close."""
STRONGEST = 10
"""Parameters named for every number."""
CHECKS = frozenset({"balance_error_max"})
"""Numbers that are rounding: they have bands, but nothing matters for them."""
ROUNDING = 1e-9
"""A spread below this share of the size is rounding, not spread."""

QUANTILE_RULE = "linear interpolation between order statistics (Hyndman and Fan 1996, type 7)"


def band(values: Sequence[float | None]) -> dict[str, float | None]:
    """Quantiles of the values that are known: linear between order statistics (type 7 of Hyndman and Fan 1996).

    Null where fewer than two members know the number.

    >>> band([5.0, 1.0, None, 2.0, 3.0, 4.0])
    {'p10': 1.4, 'p50': 3.0, 'p90': 4.6}
    """
    known = np.array([value for value in values if value is not None], np.float64)
    if known.size < 2:
        return {name: None for name, _ in BANDS}
    return {name: float(np.quantile(known, share, method="linear")) for name, share in BANDS}


def ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of their ranks.

    >>> ranks(np.array([10.0, 30.0, 20.0, 30.0])).tolist()
    [1.0, 3.5, 2.0, 3.5]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    group = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], values.size)
    out = np.empty(values.size)
    out[order] = ((starts + 1 + ends) / 2)[group]
    return out


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation; None where either side is constant, or there are fewer than two pairs.

    >>> spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 8.0, 27.0, 64.0]))
    1.0
    """
    if one.size < 2 or _constant(one) or _constant(other):
        return None
    a, b = ranks(one) - (one.size + 1) / 2, ranks(other) - (other.size + 1) / 2
    return max(-1.0, min(1.0, float((a @ b) / math.sqrt((a @ a) * (b @ b)))))


def _constant(values: Floats) -> bool:
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


@cache
def distinguishable(members: int, parameters: int) -> float | None:
    """Smallest absolute rank correlation that chance does not give: with `CONFIDENCE`, for all parameters together.

    Among fifty parameters without any effect two or three would pass a test of each at 95 %. The level of each is
    therefore 1 - 0.95^(1/parameters) (Šidák 1967). Up to `EXACT_UP_TO` members all permutations are counted; beyond,
    the null distribution is Student's t of rho sqrt((n - 2) / (1 - rho^2)). None if no correlation is large enough.

    >>> distinguishable(5, 1), distinguishable(4, 1), round(distinguishable(30, 1), 3)
    (1.0, None, 0.361)
    """
    alpha = 1 - CONFIDENCE ** (1 / max(1, parameters))
    if members < 3:
        return None
    if members <= EXACT_UP_TO:
        places = np.arange(members, dtype=np.float64)
        squares = ((np.array(list(permutations(range(members)))) - places) ** 2).sum(axis=1)
        size = np.round(np.abs(1 - 6 * squares / (members * (members**2 - 1))), 12)
        for rho in np.unique(size):
            if (size >= rho).mean() <= alpha:
                return float(rho)
        return None
    # With rho = sin(angle), the density of the t approximation is cos(angle) ** (members - 3).
    angle = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angle) ** (members - 3)
    area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return float(np.sin(np.interp(1 - alpha, area / area[-1], angle)))


def statistics(
    drawn: Mapping[str, Sequence[float]],
    outcomes: Sequence[Mapping[str, Any] | None],
    base: Mapping[str, Any],
) -> dict[str, Any]:
    """Bands of every number and its rank correlation with every parameter.

    Parameters
    ----------
    drawn
        Values of each parameter, by member.
    outcomes
        Flat summary of each member; None for one that was refused.
    base
        Flat summary of the run as asked.

    """
    columns = {key: np.array(values, np.float64) for key, values in drawn.items()}
    bands, correlation = {}, {}
    for name in numbers(base, outcomes):
        found = [None if one is None else one.get(name) for one in outcomes]
        known = np.array([value is not None for value in found])
        least = distinguishable(int(known.sum()), len(columns))
        bands[name] = {
            "base": base.get(name),
            **band(found),
            "members": int(known.sum()),
            "rho_distinguishable": least,
        }
        values = np.array([value for value in found if value is not None], np.float64)
        pairs = [
            (key, spearman(column[known], values)) for key, column in columns.items() if name not in CHECKS
        ]
        ordered = sorted(
            ((key, rho) for key, rho in pairs if rho is not None), key=lambda p: (-abs(p[1]), p[0])
        )
        correlation[name] = [
            {"key": key, "rho": rho, "matters": least is not None and abs(rho) >= least - ROUNDING}
            for key, rho in ordered[:STRONGEST]
        ]
    return {"bands": bands, "rank_correlation": correlation}


def numbers(base: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """Names of the numbers of a flat summary; what is unknown everywhere counts as a number too."""
    names = dict.fromkeys([*base, *(name for one in outcomes if one is not None for name in one)])
    return [
        name
        for name in names
        if all(not isinstance(one.get(name), str | bool) for one in (base, *outcomes) if one is not None)
    ]
