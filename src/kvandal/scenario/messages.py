"""Say in one sentence what is wrong with a scenario, or another tree of settings: the key, the value, what is allowed."""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from kvandal.scenario.base import Part, described, model_in
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import parameters

LONGEST_SHOWN = 60
"""Longer values and keys are cut in messages [characters]."""

_KINDS = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "bool_type": "must be true or false",
    "string_type": 'must be text "in quotes"',
    "string_unicode": "must be text in UTF-8",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "tuple_type": "must be a [list]",
    "list_type": "must be a [list]",
    "finite_number": "must be a finite number",
    "datetime_type": "must be an instant with its offset from UTC and without quotes, e.g. 2027-01-01T00:00:00Z",
    "datetime_from_date_parsing": "must be an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "timezone_aware": "must say its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "too_short": "must hold at least one entry",
}
_BOUNDS = {
    "greater_than": ("gt", "must be above"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be below"),
    "less_than_equal": ("le", "must be at most"),
}


def sentence(problem: ErrorDetails, root: type[Part] = Scenario) -> str:
    """Say what is wrong with the value at one key of `root`, and what would be right."""
    kind, location = problem["type"], problem["loc"]
    context = problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{_suggestion(location, root)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        if len(location) == 3 and location[0] == "tenants":
            return "this key is missing: neither this tenant nor a group above it has one; is the tenant's name right?"
        return "this key is missing"
    field = _field_at(location, root)
    hint = ""
    if location and location[-1] == "[key]":
        return f"unknown name; allowed are {context.get('expected', 'other names')}"
    if kind == "literal_error":
        wanted = f"must be {context['expected']}"
    elif kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        wanted = f"{words} {bound(context[name])}"
        hint = _nearest(field, location, problem.get("input"))
    elif kind == "string_pattern_mismatch":
        wanted = "is not allowed"
    else:
        wanted = _KINDS.get(kind) or f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"
    meaning = f" ({field.description.rstrip('.')})" if field is not None and field.description else ""
    return f"{wanted}, got {shown(problem.get('input'))}{meaning}{hint}"


def _nearest(field: FieldInfo | None, location: tuple[int | str, ...], given: Any) -> str:
    """Name the nearest plausible value of a field that is tied to a parameter; for an approach, say why."""
    extra = field.json_schema_extra if field is not None else None
    if not isinstance(extra, dict) or "parameter" not in extra or not isinstance(given, int | float):
        return ""
    entry = parameters()[str(extra["parameter"])]
    nearest = min(max(given, entry.minimum), entry.maximum)
    why = ": nothing is cooled down to what cools it" if str(location[-1]).endswith("approach_k") else ""
    return f"{why}; nearest plausible value {nearest:g}"


def key_text(location: tuple[int | str, ...]) -> str:
    """Write a place of the scenario as a key: ``tenants."a.b".weight``, ``site.build_out[0].gpus``."""
    text = ""
    for step in location:
        if step == "[key]":
            continue
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", step)
            text += ("." if text else "") + (_cut(step) if plain else _cut(json.dumps(step)))
    return text


def shown(value: Any) -> str:
    """Write a value as TOML has it, cut to a length that can be read.

    >>> shown(True), shown("230"), shown({"a": 1})
    ('true', "'230'", 'a table')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    try:
        return _cut(repr(value))
    except ValueError:  # Python does not print integers of more than 4300 digits
        return "a number of thousands of digits"


def bound(limit: Any) -> str:
    """Write a limit: ``100,000``, ``0.5``, ``9.22337e+18``."""
    if isinstance(limit, float) and not limit.is_integer():
        return f"{limit:g}"
    return f"{int(limit):,}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _field_at(location: tuple[int | str, ...], root: type[Part]) -> FieldInfo | None:
    """Find the field that a place of the tree belongs to."""
    field, _ = _descend(location, root)
    return field


def _descend(location: tuple[int | str, ...], root: type[Part]) -> tuple[FieldInfo | None, Any]:
    """Field at the end of a path, and the part of the tree whose keys are allowed below it."""
    part: Any = root
    field: FieldInfo | None = None
    inside = False  # a table of named parts, or a list: the next step is a name or an index
    for step in location:
        if step == "[key]":
            continue
        if inside:
            inside = False
            continue
        if part is None or step not in part.model_fields:
            return None, part
        field = described(part)[str(step)]
        part = model_in(field.annotation)
        inside = part is not None and part is not field.annotation
    return field, None if inside else part


def _suggestion(location: tuple[int | str, ...], root: type[Part]) -> str:
    """Name the nearest allowed key, the place where this key belongs, or all allowed keys."""
    _, part = _descend(location[:-1], root)
    if part is None:
        return ""
    wrong = str(location[-1])[:LONGEST_SHOWN]
    fields = list(part.model_fields)
    elsewhere = [key for key in known_keys(root) if key.rsplit(".", 1)[-1] == wrong]
    near = difflib.get_close_matches(wrong, fields, n=1, cutoff=0.6)
    if near and not any("." in key for key in elsewhere):
        return f"; did you mean {near[0]!r}?"
    if elsewhere:
        return f"; did you mean {elsewhere[0]!r}?"
    return f"; allowed are: {', '.join(fields)}"


def known_keys(root: type[Part] = Scenario) -> Iterator[str]:
    """All keys of a scenario (or of `root`), dotted; a star stands for a name that it chooses."""
    yield from _keys_of(root, "")


def _keys_of(part: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in part.model_fields.items():
        yield f"{prefix}{name}"
        below = model_in(field.annotation)
        if below is not None:
            yield from _keys_of(below, f"{prefix}{name}." + ("" if below is field.annotation else "*."))
