"""The contract of run.json: its published JSON schema, and a check of what is read against it.

Writing is strict (the schema allows no unknown key), reading is tolerant: an unknown key is passed over, so that a
run of a later program with the same ``schema_version`` can be read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, NoReturn

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where a document breaks the contract, and how."""

    key: str
    message: str


@cache
def schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of run.json."""
    text = resources.files("kvandal.runs").joinpath("run.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def first_mistake(record: Any) -> Mistake | None:
    """Check a run.json as read; None if it keeps the contract."""
    return next(_mistakes(record, schema(), ""), None)


def without_nan(document: Any) -> Any:
    """Return a document in which a number that is none, or infinite, is null: what is not known.

    >>> without_nan({"a": [1.0, float("nan")], "b": float("inf")})
    {'a': [1.0, None], 'b': None}
    """
    if isinstance(document, dict):
        return {key: without_nan(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [without_nan(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def refuse_constant(name: str) -> NoReturn:
    """Refuse the NaN and Infinity that Python's reader of JSON would let pass."""
    raise ValueError(f"{name} is not a JSON number")


def _mistakes(value: Any, rule: dict[str, Any], key: str) -> Iterator[Mistake]:
    if "$ref" in rule:
        rule = schema()["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    wanted = rule.get("type")
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else wanted
        if not any(_is(value, name) for name in names):
            yield Mistake(key, f"must be {' or '.join(names)}, got {json.dumps(value)[:60]}")
            return
    if "pattern" in rule and isinstance(value, str) and not re.search(rule["pattern"], value):
        yield Mistake(key, f"must match {rule['pattern']}, got {json.dumps(value)[:60]}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in rule and value < rule["minimum"]:
            yield Mistake(key, f"must be at least {rule['minimum']}, got {value}")
        if "maximum" in rule and value > rule["maximum"]:
            yield Mistake(key, f"must be at most {rule['maximum']}, got {value}")
    if isinstance(value, dict):
        yield from _mistakes_below(value, rule, key)
    if isinstance(value, list) and "items" in rule:
        for index, entry in enumerate(value):
            yield from _mistakes(entry, rule["items"], f"{key}[{index}]")


def _mistakes_below(value: dict[str, Any], rule: dict[str, Any], key: str) -> Iterator[Mistake]:
    prefix = f"{key}." if key else ""
    for name in rule.get("required", ()):
        if name not in value:
            yield Mistake(f"{prefix}{name}", "this key is missing")
    known = rule.get("properties", {})
    others = rule.get("additionalProperties")
    for name, entry in value.items():
        if name in known:
            yield from _mistakes(entry, known[name], f"{prefix}{name}")
        elif isinstance(others, dict):
            yield from _mistakes(entry, others, f"{prefix}{name}")


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":
        return False
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])
