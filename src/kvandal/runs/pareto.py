"""Which of several candidates are not beaten by another in everything that counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(values: Sequence[Sequence[float | None]], directions: Sequence[int]) -> list[bool]:
    """Tell which candidates lie on the Pareto front.

    A candidate is beaten if another is at least as good in every objective and better in one. Equal candidates do not
    beat each other. One of which an objective is not known (None) is not compared.

    Parameters
    ----------
    values
        Of each candidate, in the order of the objectives.
    directions
        Of each objective: 1 if more is better, -1 if less is.

    Examples
    --------
    >>> front([(3.0, 1.0), (2.0, 2.0), (3.0, 2.0), (None, 0.0)], (1, -1))
    [True, False, False, False]

    """
    known = [index for index, one in enumerate(values) if all(value is not None for value in one)]
    found = [False] * len(values)
    if not known:
        return found
    goods = np.array([values[index] for index in known], np.float64) * np.array(directions, np.float64)
    for place, index in enumerate(known):
        beaten = (goods >= goods[place]).all(axis=1) & (goods > goods[place]).any(axis=1)
        found[index] = not bool(beaten.any())
    return found
