"""Plain values as YAML text: what manifests need, no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
"""Words that need no quotes."""
RESERVED = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def yaml_text(value: Any) -> str:
    """Write a mapping or a list in block style.

    >>> print(yaml_text({"a": 1, "b": [{"c": "x y", "d": []}]}), end="")
    a: 1
    b:
      - c: "x y"
        d: []
    """
    return "\n".join(_lines(value)) + "\n"


def yaml_documents(values: Iterable[Any]) -> str:
    """Write several documents in one file."""
    return "---\n".join(yaml_text(value) for value in values)


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [line for key, inner in value.items() for line in _entry(f"{_scalar(key)}:", inner)]
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        lines = []
        for inner in value:
            first, *others = _lines(inner)
            lines += [f"- {first}", *(f"  {line}" for line in others)]
        return lines
    return [_scalar(value)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Mapping | Sequence) or not value:
        return [f"{head} {_scalar(value)}"]
    return [head, *(f"  {line}" for line in _lines(value))]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)
