"""From what pydantic finds wrong to fields, values and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from kvandal.client.resources.base import Line, Name
from kvandal.control.api.problems import Refusal, fault


def _pattern_of(kind: Any) -> str:
    """Return the pattern of an annotated text."""
    found = get_args(kind)[1]
    return next(str(part.pattern) for part in found.metadata if hasattr(part, "pattern"))


MOST_FAULTS = 20
"""Faults that one problem lists."""
_ALLOWED = {
    "missing": "given",
    "extra_forbidden": "left out: it is not known",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "list_type": "a list",
    "datetime_type": "an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "datetime_parsing": "an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "datetime_from_date_parsing": "an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "timezone_aware": "an instant with its offset from UTC, e.g. 2027-01-01T00:00:00Z",
    "string_unicode": "text in UTF-8",
}
_WITH_CONTEXT = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters long",
    "string_too_long": "at most {max_length} characters long",
    "too_long": "at most {max_length} entries long",
    "too_short": "at least {min_length} entries long",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
}
_PATTERNS = {
    _pattern_of(Line): "one line of text, not blank, without control characters",
    _pattern_of(Name): "letters, digits, dots, dashes and underscores, at most 100",
}


def refusal_of(problems: Iterable[Mapping[str, Any]]) -> Refusal:
    """Return the refusal of a request whose fields are not right."""
    found = [_fault_of(problem) for problem in problems]
    if len(found) == 1 and found[0]["unreadable"]:
        return Refusal(400, f"the body is not JSON: {found[0]['message']}", kind="not-json")
    status = 400 if any(entry["missing_key"] for entry in found) else 422
    for entry in found:
        del entry["unreadable"], entry["missing_key"]
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return Refusal(
        status,
        f"{first['field']}: {first['message']}{more}",
        errors=found[:MOST_FAULTS],
        kind="idempotency-key-missing" if status == 400 else None,
    )


def _fault_of(problem: Mapping[str, Any]) -> dict[str, Any]:
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    allowed, message = _ALLOWED.get(kind, ""), None
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        allowed = _PATTERNS[context["pattern"]]
    elif kind in _WITH_CONTEXT:
        allowed = _WITH_CONTEXT[kind].format_map(context)
    elif kind == "value_error":
        message = str(context.get("error", problem.get("msg", "")))
        allowed = message.removeprefix("must be ")
    elif kind == "json_invalid":
        message = str(context.get("error", "cannot be read"))
    elif not allowed:
        message = str(problem.get("msg", "is not valid"))
        allowed = message
    place = ".".join(str(step) for step in problem["loc"])
    given = None if kind == "missing" else problem.get("input")
    found = fault(place, given, allowed, message)
    found["unreadable"] = kind == "json_invalid"
    found["missing_key"] = kind == "missing" and place.lower() == "header.idempotency-key"
    return found
