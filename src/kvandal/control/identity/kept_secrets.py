"""Secrets that are handed out: random, shown once, kept as their SHA-256 alone.

A hash made slow on purpose would protect guessable passwords; 256 random bits need none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NAME, _SECRET = 8, 44  # letters; 58 ** 44 is more than 2 ** 256
_TOKEN = re.compile(rf"kvd_[0-9A-Za-z]{{{_NAME + _SECRET}}}")


def new_token() -> str:
    """Return a new token: `kvd_`, eight letters that name it, and 256 random bits.

    >>> token = new_token()
    >>> prefix_of(token) == token[:12]
    True
    """
    return "kvd_" + "".join(secrets.choice(_LETTERS) for _ in range(_NAME + _SECRET))


def prefix_of(token: str) -> str | None:
    """Return the part of a token by which it is found, which is no secret; None where it is no token.

    >>> prefix_of("Bearer of good news") is None
    True
    """
    return token[: 4 + _NAME] if _TOKEN.fullmatch(token) else None


def new_secret() -> str:
    """Return 256 random bits for a cookie or an address."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Compare in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def csrf_token(session: str) -> str:
    """Return what a page of a session sends back when it writes; other sites cannot know it."""
    return digest(f"csrf:{session}")[:43]
