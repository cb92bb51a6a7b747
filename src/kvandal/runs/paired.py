"""Paired differences of two sides over seeds: mean, confidence interval, and who gains or loses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

CONFIDENCE = 0.95
NAMED = 3
"""Tenants named among those that gain or lose."""
USEFUL, WAIT = "gpu_hours_useful", "wait_p95_s"
"""Metrics by which a tenant gains or loses; the second where the first says nothing."""


@cache
def student_t(confidence: float, degrees: int) -> float:
    r"""Return the :math:`t` with :math:`P(|T| \le t)` = `confidence` for Student's t of whole degrees of freedom.

    The distribution is the finite series in :math:`\theta = \arctan(t / \sqrt{\nu})` of Abramowitz and Stegun (1964),
    26.7.3 and 26.7.4, inverted by bisection.

    >>> round(student_t(0.95, 1), 4), round(student_t(0.95, 2), 4), round(student_t(0.95, 9), 4)
    (12.7062, 4.3027, 2.2622)
    """
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _within(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _within(theta: float, degrees: int) -> float:
    """Return the probability of |T| below sqrt(degrees) tan(theta)."""
    cosine, sine = math.cos(theta), math.sin(theta)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = term if degrees > 1 or not odd else 0.0
    for step in range(3 if odd else 2, degrees - 1, 2):
        term *= (step - 1) / step * cosine * cosine
        total += term
    return 2 / math.pi * (theta + sine * total) if odd else sine * total


def interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    r"""Interval of the mean of paired differences, :math:`\bar d \pm t_{n-1}\, s / \sqrt n`; None for fewer than two.

    >>> low, high = interval([1.0, 2.0, 3.0])
    >>> round(low, 4), round(high, 4)
    (-0.4841, 4.4841)
    """
    count = len(differences)
    if count < 2:
        return None
    mean = math.fsum(differences) / count
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in differences) / (count - 1))
    half = student_t(confidence, count - 1) * spread / math.sqrt(count)
    return mean - half, mean + half


def paired(base: Sequence[float | None], variant: Sequence[float | None]) -> dict[str, Any]:
    """Compare the numbers of two sides, seed by seed.

    Means are those of the seeds in which both sides know the number; where there is none, each side's own.

    Returns
    -------
    seeds : seeds in which both sides know the number
    base, variant, difference : means; null where not known
    relative : difference over the size of the base
    low, high : interval of the difference; null for fewer than two seeds

    Examples
    --------
    >>> found = paired([10.0, 20.0, None], [11.0, 23.0, 5.0])
    >>> found["seeds"], found["base"], found["variant"], found["difference"]
    (2, 15.0, 17.0, 2.0)

    """
    pairs = [(a, b) for a, b in zip(base, variant, strict=True) if a is not None and b is not None]
    if not pairs:
        sides = {"base": mean(base), "variant": mean(variant)}
        return {"seeds": 0, **sides, **dict.fromkeys(("difference", "relative", "low", "high"))}
    gaps = [b - a for a, b in pairs]
    one, gap, found = mean([a for a, _ in pairs]), mean(gaps), interval(gaps)
    return {
        "seeds": len(pairs),
        "base": one,
        "variant": mean([b for _, b in pairs]),
        "difference": gap,
        "relative": gap / abs(one) if one and gap is not None else (0.0 if gap == 0 else None),
        "low": found[0] if found else None,
        "high": found[1] if found else None,
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def is_change(row: Mapping[str, Any]) -> bool:
    """Whether a number differs between the sides; one that only one side knows does."""
    difference = row["difference"]
    return difference != 0 if difference is not None else (row["base"] is None) != (row["variant"] is None)


def is_sure(row: Mapping[str, Any], seeds: int) -> bool:
    """Whether a difference is not zero and, with several seeds, its interval leaves zero out."""
    if not row["difference"]:
        return False
    if row["low"] is None:
        return seeds == 1
    return bool(row["low"] > 0 or row["high"] < 0)


def verdict(rows: Sequence[Mapping[str, Any]], seeds: int) -> dict[str, Any]:
    """Say who gains and who loses: by useful GPU-hours, else by the wait; the largest change first.

    Parameters
    ----------
    rows
        What :func:`paired` gave for each tenant and metric, with both names.
    seeds
        Seeds that were simulated; with several, only differences beyond chance count.

    Returns
    -------
    gains, loses : names of tenants
    gains_text, loses_text : a sentence for each

    """
    tenants = dict.fromkeys(row["tenant"] for row in rows if row["tenant"] is not None)
    found = {(row["tenant"], row["metric"]): row for row in rows}
    scored = []
    for tenant in tenants:
        useful, wait = found[tenant, USEFUL], found[tenant, WAIT]
        hours = useful["difference"] if is_sure(useful, seeds) else 0.0
        later_s = wait["difference"] if is_sure(wait, seeds) else 0.0
        if hours or later_s:
            scored.append((hours, -later_s, tenant))
    gains = sorted(
        (one for one in scored if (one[0] or one[1]) > 0), key=lambda one: (-one[0], -one[1], one[2])
    )
    loses = sorted(
        (one for one in scored if (one[0] or one[1]) < 0), key=lambda one: (one[0], one[1], one[2])
    )
    beyond = " beyond chance" if seeds > 1 else ""
    out: dict[str, Any] = {}
    for key, word, nobody, listed in (
        ("gains", "Gains most: ", f"Nobody gains{beyond}.", gains),
        ("loses", "Loses most: ", f"Nobody loses{beyond}.", loses),
    ):
        told = [
            _told(tenant, found[tenant, USEFUL], found[tenant, WAIT], seeds)
            for _, _, tenant in listed[:NAMED]
        ]
        more = f"; and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
        out[key] = [tenant for _, _, tenant in listed]
        out[f"{key}_text"] = f"{word}{'; then '.join(told)}{more}." if told else nobody
    return out


def _told(tenant: str, useful: Mapping[str, Any], wait: Mapping[str, Any], seeds: int) -> str:
    parts = []
    if is_sure(useful, seeds):
        share = "" if useful["relative"] is None else f" ({signed_percent(useful['relative'])})"
        hours = useful["difference"]
        parts.append(f"{hours:{'+,.0f' if abs(hours) >= 1000 else '+.4g'}} useful GPU-hours{share}")
    if is_sure(wait, seeds):
        parts.append(f"P95 of its waits {signed_span(wait['difference'])}")
    return f"{tenant}, {', '.join(parts)}"


def signed_span(seconds: float) -> str:
    """Write a difference of times for people.

    >>> signed_span(90), signed_span(-5400), signed_span(0)
    ('+90 s', '-1.5 h', '0 s')
    """
    size = abs(seconds)
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if size >= 2 * length or (unit == "h" and size >= length):
            return f"{seconds / length:+.3g} {unit}"
    return f"{seconds:+.3g} s" if seconds else "0 s"


def signed_percent(share: float) -> str:
    """Write a relative difference for people.

    >>> signed_percent(0.1234), signed_percent(-2.5), signed_percent(-0.000004)
    ('+12.3 %', '-250.0 %', '-0.0004 %')
    """
    return f"{100 * share:+,.1f} %" if abs(share) >= 0.0005 else f"{100 * share:+.1g} %"
