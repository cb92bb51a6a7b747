"""Tables of records that are linked into lists."""

from __future__ import annotations

from typing import Any

import numpy as np


def unused_records(dtype: np.dtype[Any], rows: int) -> Any:
    """Return room for linked records; one row more, the last, heads the list of the unused ones."""
    records = np.zeros(rows + 1, dtype)
    records["next"][:-1] = np.arange(1, rows + 1)
    records["next"][-2] = -1
    records["next"][-1] = 0
    return records
