"""Whole cents, their months, and the parts of owners."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from kvandal.ledger.books.journal import CENT, Posting
from kvandal.scenario.model import Scenario

MONTH = pl.col("time_utc").dt.strftime("%Y-%m").alias("month")


def cents(eur: float) -> int:
    """Whole cents, half to even."""
    return round(eur * 100)


def shared(scenario: Scenario, account: str, amount: int) -> list[Posting]:
    """Share an amount out over the owners by their shares, to the last cent; without owners it stays whole."""
    owners = scenario.site.owners
    if not owners:
        return [Posting(account, CENT, amount)]
    upto = np.cumsum(list(owners.values()))
    sums = [0, *(round(amount * float(share) / float(upto[-1])) for share in upto)]
    return [
        Posting(f"{account}:{name}", CENT, last - first)
        for name, (first, last) in zip(owners, pairwise(sums), strict=True)
    ]
