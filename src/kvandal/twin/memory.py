"""Memory that is free."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back_freed() -> None:
    """Give memory that this process has freed, and keeps for later, back to the system; where the C library can do that.

    Making the demand of a year leaves a hundred megabytes in pieces that the tables of the loop do not fit into.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
