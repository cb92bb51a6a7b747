"""From a preset's name or a TOML file, and ``key=value`` changes, to a validated scenario."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kvandal.errors import ScenarioError
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import parameters

MAXIMUM_EXTENDS = 8
"""Longest chain of `extends`."""


@dataclass(frozen=True, slots=True)
class RangeWarning:
    """A value outside the plausible range of its parameter."""

    key: str
    value: float
    minimum: float
    maximum: float
    unit: str
    reference: str

    def __str__(self) -> str:
        """Return one line for a person."""
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.key} = {self.value:g}{unit} lies outside the plausible range "
            f"{self.minimum:g} to {self.maximum:g}{unit} ({self.reference})"
        )


def presets() -> list[str]:
    """Names of the scenarios shipped with the product."""
    folder = resources.files("kvandal.scenario").joinpath("presets")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(source: str | Path, changes: Mapping[str, Any] | None = None) -> Scenario:
    """Load a scenario.

    Parameters
    ----------
    source
        A preset's name (:func:`presets`) or the path of a TOML file. A file may say
        ``extends = "stargate-norway"`` (or another file, relative to itself) and then holds only what differs.
    changes
        Dotted keys and their new values, e.g. ``{"site.grid_mw": 290}``; applied last, validated alike.

    Raises
    ------
    ScenarioError
        If the preset is unknown, the file unreadable, a key unknown or a value impossible.

    Examples
    --------
    >>> load("stargate-norway").site.racks
    1389
    >>> load("stargate-norway", {"site.grid_mw": 290}).site.grid_mw
    290.0

    """
    document, base = _document(str(source), Path.cwd(), 0)
    for key, new in (changes or {}).items():
        _assign(document, key, new)
    _anchor_paths(document, base)
    return validate(document, file=str(source), changed=tuple(changes or ()))


def validate(document: Mapping[str, Any], *, file: str | None = None, changed: tuple[str, ...] = ()) -> Scenario:
    """Validate a scenario given as nested tables; errors name `file`, the key, the value and what is allowed."""
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise ScenarioError(_sentence(error, changed), file=file) from None


def range_warnings(scenario: Scenario) -> list[RangeWarning]:
    """List the values that leave the plausible range of their parameter, in order of the scenario."""
    return [
        RangeWarning(key, number, entry.minimum, entry.maximum, entry.unit, entry.reference)
        for key, number, entry in _tied_values(scenario, "")
        if not entry.minimum <= number <= entry.maximum and number != entry.value
    ]


def _tied_values(part: BaseModel, prefix: str) -> Iterator[tuple[str, float, Any]]:
    registry = parameters()
    own_rack_model = prefix.startswith("rack_models.") and not prefix.startswith("rack_models.gb300")
    for name, field in type(part).model_fields.items():
        key, content = f"{prefix}{name}", getattr(part, name)
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "parameter" in extra:
            if not own_rack_model:  # the registry's rack ranges speak of the GB300
                yield key, float(content), registry[str(extra["parameter"])]
        elif isinstance(content, BaseModel):
            yield from _tied_values(content, f"{key}.")
        elif isinstance(content, dict):
            for entry_name, entry in content.items():
                if isinstance(entry, BaseModel):
                    yield from _tied_values(entry, f"{key}.{entry_name}.")


def parse_change(text: str) -> tuple[str, Any]:
    """Read one ``key=value`` of the command line; the value is TOML, or else a plain word."""
    key, separator, raw = text.partition("=")
    key, raw = key.strip(), raw.strip()
    if not separator or not key or not raw:
        raise ScenarioError(f"expected key=value, e.g. site.grid_mw=290, got {text!r}", key="--set")
    try:
        return key, tomllib.loads(f"value = {raw}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return key, raw


def _document(source: str, relative_to: Path, depth: int) -> tuple[dict[str, Any], Path]:
    """Read a preset or a file with all that it extends; also the folder that its paths are relative to."""
    if depth > MAXIMUM_EXTENDS:
        raise ScenarioError(f"extends goes deeper than {MAXIMUM_EXTENDS} files (a circle?)", file=source, key="extends")
    if source in presets():
        text = resources.files("kvandal.scenario").joinpath("presets", f"{source}.toml").read_text(encoding="utf-8")
        folder = relative_to
    else:
        path = relative_to / source
        text, folder = _read(path, source), path.parent
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise ScenarioError(f"not valid TOML: {error}", file=source) from None
    parent = document.pop("extends", None)
    if parent is None:
        return document, folder
    if not isinstance(parent, str):
        raise ScenarioError(f"must be a preset's name or a path, got {parent!r}", file=source, key="extends")
    below, _ = _document(parent, folder, depth + 1)
    return _merged(below, document), folder


def _read(path: Path, source: str) -> str:
    looks_like_file = source.endswith(".toml") or "/" in source
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = presets()
        near = difflib.get_close_matches(source, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        what = "no such file" if looks_like_file else "no such preset or file"
        raise ScenarioError(f"{what}.{hint} Presets: {', '.join(names)}", file=source) from None
    except IsADirectoryError:
        raise ScenarioError("is a folder; a scenario is a TOML file or a preset", file=source) from None
    except UnicodeDecodeError:
        raise ScenarioError("not a text file in UTF-8; a scenario is a TOML file", file=source) from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"cannot be read: {error}", file=source) from None


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge, key by key; anything else is replaced."""
    out = dict(below)
    for key, new in above.items():
        old = out.get(key)
        out[key] = _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
    return out


def _assign(document: dict[str, Any], key: str, new: Any) -> None:
    table = document
    *parents, last = key.split(".")
    for parent in parents:
        below = table.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ScenarioError(f"{parent!r} is not a table, so it has no key {last!r}", key=f"--set {key}")
        table = below
    table[last] = new


def _anchor_paths(document: dict[str, Any], base: Path) -> None:
    """Make the paths of the user's own series and traces absolute, from the folder of the scenario file."""
    shipped = {"tromso-2021-era5", "synthetic-no4"}
    places: list[tuple[Any, str]] = [(document.get("climate"), "weather"), (document.get("market"), "prices")]
    demand = document.get("demand")
    if isinstance(demand, dict):
        places += [(entry, "path") for entry in demand.values()]
    for table, key in places:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key] not in shipped:
            table[key] = str((base / table[key]).resolve() if "\0" not in table[key] else table[key])


def _sentence(error: ValidationError, changed: tuple[str, ...]) -> str:
    """Say what is wrong first: key, value, what is allowed; and how many more mistakes there are."""
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    given = first.get("input")
    if first["type"] == "extra_forbidden":
        message = f"unknown key{_suggestion(first['loc'])}"
    elif first["type"] == "value_error":
        message = str(first["ctx"]["error"])
    elif first["type"] == "missing":
        message = "this key is missing"
    else:
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}, got {_short(given)}"
    where = f"--set {key}" if key in changed else key
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {message}{more}" if where else f"{message}{more}"


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Name the allowed keys at a place of the scenario, nearest first."""
    part: Any = Scenario
    for step in location[:-1]:
        fields = getattr(part, "model_fields", None)
        if fields is not None and step in fields:
            annotation = fields[step].annotation
            part = _model_in(annotation)
        if part is None:
            return ""
    fields = getattr(part, "model_fields", None)
    if not fields:
        return ""
    near = difflib.get_close_matches(str(location[-1]), list(fields), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; allowed are: {', '.join(fields)}"


def _model_in(annotation: Any) -> Any:
    """Find the scenario part inside an annotation such as ``dict[str, Tenant]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
