"""Random streams: one per name, purpose and index, none of which can shift another.

Every stream is a Philox counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"):
its key is the run's seed and a hash of the class's name, its counter starts at the block and the purpose. A class
added to a scenario, or a day added to a run, therefore changes no other draw.
"""

from __future__ import annotations

import hashlib

import numpy as np

_OFFSET = 1 << 40
"""Added to a block's index, which may be negative (blocks before the start of the run)."""


def stream(seed: int, name: str, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one purpose.

    Parameters
    ----------
    seed : seed of the run
    name : name of the consumer, e.g. of a class of demand
    purpose : what is drawn, e.g. ``"jitter"``
    index : block, round or any other running number; may be negative

    Examples
    --------
    >>> first = stream(1, "national", "jitter", 3).random(2)
    >>> bool((first == stream(1, "national", "jitter", 3).random(2)).all())
    True

    """
    key = np.array([seed, _hash(name)], dtype=np.uint64)
    counter = np.array([0, 0, index + _OFFSET, _hash(purpose)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
