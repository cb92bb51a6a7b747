"""Where settings come from: the file, the environment, the command line; and what is said when one is wrong."""

from __future__ import annotations

import difflib
import os
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from kvandal.control.settings import CONFIG, ONLY_IN_THE_ENVIRONMENT, PREFIX, Settings, holds_password
from kvandal.errors import SettingsError
from kvandal.scenario.base import Part, described, model_in
from kvandal.scenario.messages import key_text, sentence

MAXIMUM_BYTES = 1 << 20
"""Largest file of settings [bytes]."""


def load_settings(
    config: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Put the settings together: defaults, file, environment, options.

    Parameters
    ----------
    config
        The file; None: the one that ``KVANDAL_CONFIG`` names, if it names one. Paths in it are relative to it.
    options
        Values of the command line by dotted key, e.g. ``{"speed": 60.0}``; None: not given.
    labels
        What errors call an option, by its key. Default: ``--key``, with dashes.
    environment
        Variables; None: those of this program.

    Raises
    ------
    SettingsError
        Names the file (or variable, or option), the key, the value and what is allowed.

    """
    variables = os.environ if environment is None else environment
    file = Path(config) if config is not None else Path(variables[CONFIG]) if variables.get(CONFIG) else None
    document = {} if file is None else _read(file)
    origin: dict[tuple[str, ...], str] = {}
    for steps, text, name in _variables(variables):
        _put(document, steps, _from_text(steps, text), name)
        origin[steps] = name
    for key, value in (options or {}).items():
        if value is not None:
            steps = tuple(key.split("."))
            label = (labels or {}).get(key, f"--{key.replace('_', '-').replace('.', '-')}")
            _put(document, steps, str(value) if isinstance(value, Path) else value, label)
            origin[steps] = label
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise _refusal(error, file, origin) from None


def keys() -> dict[str, FieldInfo]:
    """All settings by dotted key."""
    return dict(_fields(Settings, ""))


def variable(key: str) -> str:
    """Name the variable of the environment for a key.

    >>> variable("oidc.client_secret_file")
    'KVANDAL_SERVE_OIDC__CLIENT_SECRET_FILE'
    """
    return PREFIX + key.replace(".", "__").upper()


def _fields(part: type[Part], prefix: str) -> list[tuple[str, FieldInfo]]:
    found: list[tuple[str, FieldInfo]] = []
    for name, field in described(part).items():
        below = model_in(field.annotation)
        if below is None:
            found.append((f"{prefix}{name}", field))
        else:
            found += _fields(below, f"{prefix}{name}.")
    return found


def _read(file: Path) -> dict[str, Any]:
    """Read the file; its paths become absolute, its secrets are refused."""
    try:
        if file.stat().st_size > MAXIMUM_BYTES:
            raise SettingsError(
                f"is larger than {MAXIMUM_BYTES:,} bytes; settings are a few lines", file=file
            )
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", file=file) from None
    except UnicodeDecodeError:
        raise SettingsError("is not text in UTF-8", file=file) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"is not TOML: {error}", file=file) from None
    for key in ONLY_IN_THE_ENVIRONMENT:
        if _at(document, key.split(".")) is not None:
            raise SettingsError(
                f"a secret does not stand in this file; name its file with {key}_file, or set {variable(key)}",
                file=file,
                key=key,
            )
    address = document.get("database")
    if isinstance(address, str) and holds_password(address):
        raise SettingsError(
            "a password does not stand in this file; name its file with database_password_file, "
            f"or set {variable('database_password')}",
            file=file,
            key="database",
        )
    _anchor(document, file.absolute().parent)
    return document


def _at(document: Any, steps: list[str]) -> Any:
    for step in steps:
        document = document.get(step) if isinstance(document, dict) else None
    return document


def _anchor(document: dict[str, Any], folder: Path) -> None:
    """Make paths of the file absolute: they are relative to it."""
    for key, field in keys().items():
        *above, name = key.split(".")
        table = _at(document, above) if above else document
        value = table.get(name) if isinstance(table, dict) else None
        if not isinstance(value, str) or not value:
            continue
        if _is_path(field.annotation):
            table[name] = str(folder / value)
        elif key == "database" and value.startswith("sqlite:///"):
            table[name] = f"sqlite:///{folder / value.removeprefix('sqlite:///')}"
        elif key == "scenario" and value.endswith(".toml"):
            table[name] = str(folder / value)


def _is_path(annotation: Any) -> bool:
    if get_origin(annotation) in {Union, types.UnionType, Annotated}:
        return any(_is_path(part) for part in get_args(annotation))
    return annotation is Path


def _variables(environment: Mapping[str, str]) -> list[tuple[tuple[str, ...], str, str]]:
    known = keys()
    found = []
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if key not in known:
            near = difflib.get_close_matches(name, [variable(one) for one in known], n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else "kvandal doctor lists them"
            raise SettingsError(f"no such setting; {hint}", key=name)
        found.append((tuple(key.split(".")), text, name))
    return found


def _from_text(steps: tuple[str, ...], text: str) -> Any:
    """Read the text of a variable as its setting takes it: text as it is, lists by commas, all else as TOML."""
    kind = keys()[".".join(steps)].annotation
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind not in {int, float, bool}:
        return text
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text
    return document["value"] if set(document) == {"value"} else text


def _put(document: dict[str, Any], steps: tuple[str, ...], value: Any, name: str) -> None:
    table = document
    for step in steps[:-1]:
        below = table.setdefault(step, {})
        if not isinstance(below, dict):
            raise SettingsError(f"{step} is not a table in the file", key=name)
        table = below
    table[steps[-1]] = value


def _refusal(
    error: ValidationError, file: Path | None, origin: Mapping[tuple[str, ...], str]
) -> SettingsError:
    problems = error.errors(include_url=False)
    first = problems[0]
    location = tuple(str(step) for step in first["loc"] if step != "[key]")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    said = sentence(first, Settings) + more
    label = next((name for steps, name in origin.items() if location[: len(steps)] == steps), None)
    if label is not None:
        return SettingsError(said, key=label)
    changed = "" if location or file is None else " with ".join(dict.fromkeys(["", *origin.values()]))
    return SettingsError(said, file=f"{file}{changed}" if file else None, key=key_text(first["loc"]) or None)
