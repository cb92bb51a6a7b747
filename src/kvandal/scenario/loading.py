"""From a preset's name or a TOML file, and changes to it, to a validated scenario."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvandal.errors import ScenarioError
from kvandal.scenario import changes as change
from kvandal.scenario.messages import key_text, sentence, shown
from kvandal.scenario.model import Scenario

MAXIMUM_EXTENDS = 8
"""Longest chain of `extends`."""
MAXIMUM_BYTES = 1 << 20
"""Largest scenario file [bytes]."""
MAXIMUM_DEPTH = 16
"""Deepest nesting of tables and lists; a scenario needs five."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file or preset as it was read; `folder` is what its paths are relative to, `place` tells it from others."""

    name: str
    folder: Path
    document: dict[str, Any]
    place: str = ""


def presets() -> list[str]:
    """Names of the scenarios shipped with the product."""
    folder = resources.files("kvandal.scenario").joinpath("presets")
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load(
    source: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    overlays: Sequence[str | Path] = (),
) -> Scenario:
    """Load a scenario.

    Parameters
    ----------
    source
        A preset's name (:func:`presets`) or the path of a TOML file. A file may say
        ``extends = "stargate-norway"`` (or another file, relative to itself) and then holds only what differs.
        Paths of series and traces in a file are relative to that file.
    changes
        Dotted keys and their new values, e.g. ``{"site.grid_mw": 290}``; applied last, validated alike. A whole
        table is replaced. Paths are relative to the working folder.
    labels
        What errors call a change, by its key, e.g. ``{"run.days": "--days"}``. Default: the key.
    overlays
        TOML files with keys of a scenario that are laid over it in their order, before `changes`: tables are merged,
        anything else is replaced. One that says `extends` must extend `source`.

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
    layers = _layers(str(source))
    over = [_over(str(overlay), str(source), layers[0].place) for overlay in overlays]
    layers = [layer for part in reversed(over) for layer in part] + layers
    document, by_key = _laid(layers, changes or {}, labels or {})
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise _refusal(error, layers, by_key) from None


def changed(
    scenario: Scenario,
    changes: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    overlays: Sequence[str | Path] = (),
    name: str = "",
) -> Scenario:
    """Change a scenario that is there already, e.g. that of a run; see :func:`load` for the arguments.

    A tenant that has the same as its group in what it can inherit follows a change of the group.

    Parameters
    ----------
    scenario
        The scenario; it stays as it is.
    changes, labels, overlays
        As for :func:`load`. An overlay must not say `extends`.
    name
        What errors call the scenario.

    Examples
    --------
    >>> changed(load("stargate-norway"), {"site.grid_mw": 290}).site.grid_mw
    290.0

    """
    document = json.loads(scenario.model_dump_json())
    document["tenants"] = change.uninherited(document["tenants"])
    layers = [_Layer(name, Path(), document)]
    over = [_over(str(overlay), name, None) for overlay in overlays]
    layers = [layer for part in reversed(over) for layer in part] + layers
    document, by_key = _laid(layers, changes or {}, labels or {})
    try:
        return Scenario.model_validate_json(json.dumps(document, default=_instant))
    except ValidationError as error:
        raise _refusal(error, layers, by_key) from None


def resolved(
    source: str | Path | Scenario,
    changes: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return what files and changes say together, as a JSON document that needs no file any more.

    It is not validated, and holds only what is said: :func:`from_resolved` fills in defaults, after further changes, just
    as :func:`load` does. See there for the arguments; `source` may be a scenario too.

    Examples
    --------
    >>> resolved("stargate-norway", {"site.grid_mw": 290})["site"]["grid_mw"]
    290

    """
    if isinstance(source, Scenario):
        stated = json.loads(source.model_dump_json())
        stated["tenants"] = change.uninherited(stated["tenants"])
        layers = [_Layer(source.name, Path(), stated)]
    else:
        layers = _layers(str(source))
    document, _ = _laid(layers, changes or {}, labels or {})
    found: dict[str, Any] = json.loads(json.dumps(document, default=_instant))
    return found


def from_resolved(
    document: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    name: str = "",
) -> Scenario:
    """Build the scenario of a document that :func:`resolved` gave, with further changes; `name` is what errors call it.

    Raises
    ------
    ScenarioError
        If a key is unknown or a value impossible.

    Examples
    --------
    >>> from_resolved(resolved("stargate-norway"), {"site.grid_mw": 290}).site.grid_mw
    290.0

    """
    layers = [_Layer(name, Path(), dict(document))]
    laid, by_key = _laid(layers, changes or {}, labels or {})
    try:
        return Scenario.model_validate_json(json.dumps(laid, default=_instant))
    except ValidationError as error:
        raise _refusal(error, layers, by_key) from None


def from_here(key: str, value: Any) -> Any:
    """Return a value for a key with its paths made absolute from the working folder, as JSON takes it."""
    return json.loads(json.dumps(_from_here(change.split_key(key), value), default=_instant))


def from_json(document: Any) -> Scenario:
    """Return the scenario that a JSON document holds, as run.json has it.

    Raises
    ------
    ScenarioError
        If it is not a scenario of this version.

    """
    try:
        return Scenario.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise _refusal(error, [_Layer("", Path(), document)], {}) from None


def _instant(value: Any) -> str:
    """Write what TOML knows and JSON does not: instants, dates, times."""
    return str(value.isoformat())


def _laid(
    layers: list[_Layer], changes: Mapping[str, Any], labels: Mapping[str, str]
) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """Lay files over each other and changes on top; also what errors call the changes."""
    labels = {key: key for key in changes} | dict(labels)
    document: dict[str, Any] = {}
    for layer in reversed(layers):
        document = _merged(document, change.anchored(layer.document, layer.folder))
    undone = change.conflict(list(changes))
    if undone is not None:
        raise ScenarioError(f"would undo {labels[undone[0]]}; give one of the two", key=labels[undone[1]])
    by_key: dict[tuple[str, ...], str] = {}
    for key, new in changes.items():
        steps = change.split_key(key)
        _refuse_depth(new, None, labels[key])
        change.apply(document, steps, _from_here(steps, new), labels[key])
        by_key[steps] = labels[key]
    return document, by_key


def _over(overlay: str, source: str, place: str | None) -> list[_Layer]:
    """Read a file of changes: what stands in it and, where it extends the source, between the two, the topmost first."""
    if overlay not in presets() and not (overlay and _is_file(Path(overlay))):
        raise ScenarioError("no such file; a change is a TOML file, or --set KEY=VALUE", file=overlay or "''")
    layers = _layers(overlay)
    for number, layer in enumerate(layers):
        if place is not None and _same_place(layer.place, place):
            return layers[:number]
    if len(layers) == 1 and overlay not in presets():
        return layers
    below = "nothing" if len(layers) == 1 else repr(layers[-1].name)
    raise ScenarioError(
        f"is a scenario on {below}, not a change of {source!r}; a change holds only what differs, "
        f"{'and does not say extends' if place is None else f'or extends {source!r} itself'}",
        file=overlay,
        key="extends",
    )


def _same_place(one: str, other: str) -> bool:
    try:
        return one == other or (not {one, other} & set(presets()) and Path(one).samefile(other))
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def validate(document: Mapping[str, Any], *, file: str | None = None) -> Scenario:
    """Validate a scenario given as nested tables; errors name `file`, the key, the value and what is allowed."""
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise _refusal(error, [_Layer(file or "", Path(), dict(document))], {}) from None


def _refusal(
    error: ValidationError, layers: list[_Layer], changed: Mapping[tuple[str, ...], str]
) -> ScenarioError:
    """Turn pydantic's error into one sentence that names the file (or the change) and the key at fault."""
    problems = error.errors(include_url=False)
    first = problems[0]
    location = first["loc"]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    names = tuple(step for step in location if step != "[key]")
    by_change = [
        (steps, label) for steps, label in changed.items() if steps == names[: len(steps)] or names == steps
    ]
    if by_change:
        steps, label = by_change[-1]
        rest = key_text(names[len(steps) :])
        return ScenarioError(
            f"{rest}: {sentence(first)}{more}" if rest else f"{sentence(first)}{more}", key=label
        )
    file = next((layer.name for layer in layers if _holds(layer.document, names)), layers[0].name)
    below = [label for steps, label in changed.items() if steps[: len(names)] == names]
    if below and first["type"] == "value_error":  # several keys do not go together; one of them was changed
        file = f"{file} with {', '.join(below)}"
    return ScenarioError(f"{sentence(first)}{more}", file=file or None, key=key_text(location) or None)


def _holds(document: Any, location: tuple[Any, ...]) -> bool:
    for step in location:
        inside = (isinstance(document, dict) and step in document) or (
            isinstance(document, list) and isinstance(step, int) and step < len(document)
        )
        if not inside:
            return False
        document = document[step]
    return True


def _from_here(steps: tuple[str, ...], new: Any) -> Any:
    """Make paths in a changed value absolute, from the working folder."""
    nested = new
    for step in reversed(steps):
        nested = {step: nested}
    nested = change.anchored(nested, Path())
    for step in steps:
        nested = nested[step]
    return nested


def _layers(source: str) -> list[_Layer]:
    """Read a preset or a file with all that it extends, the topmost first."""
    layers: list[_Layer] = []
    places: list[str] = []
    folder, wanted = Path(), source
    while True:
        preset = wanted in presets()
        place = wanted if preset else os.path.normpath(folder / wanted)
        if place in places:
            circle = " -> ".join([*(layer.name for layer in layers[places.index(place) :]), wanted])
            raise ScenarioError(f"goes in a circle: {circle}", file=layers[-1].name, key="extends")
        if len(layers) > MAXIMUM_EXTENDS:
            raise ScenarioError(
                f"goes deeper than {MAXIMUM_EXTENDS} files", file=layers[-1].name, key="extends"
            )
        places.append(place)
        below = layers[-1].name if layers else None
        text = _preset_text(wanted) if preset else _read(folder / wanted, wanted, below)
        name = wanted if preset or not layers else str(folder / wanted)
        document = _parsed(text, name)
        parent = document.pop("extends", None)
        folder = folder if preset else (folder / wanted).parent
        layers.append(_Layer(name, folder, document, place))
        if parent is None:
            return layers
        if not isinstance(parent, str) or not parent:
            raise ScenarioError(
                f"must be a preset's name or a path, got {shown(parent)}", file=name, key="extends"
            )
        wanted = parent


def _preset_text(name: str) -> str:
    return resources.files("kvandal.scenario").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise ScenarioError(f"not valid TOML: {error}", file=name) from None
    except RecursionError:
        raise ScenarioError(f"nested deeper than {MAXIMUM_DEPTH} tables and lists", file=name) from None
    _refuse_depth(document, name, None)
    return document


def _refuse_depth(document: Any, file: str | None, key: str | None) -> None:
    """Refuse what is nested so deep that later steps could not walk it."""
    level = [document]
    for _ in range(MAXIMUM_DEPTH):
        below: list[Any] = []
        for entry in level:
            if isinstance(entry, dict):
                below += entry.values()
            elif isinstance(entry, list):
                below += entry
        if not below:
            return
        level = below
    raise ScenarioError(f"nested deeper than {MAXIMUM_DEPTH} tables and lists", file=file, key=key)


def _read(path: Path, source: str, below: str | None) -> str:
    """Read a scenario file; `below` is the file that extends it."""
    file, key = (source, None) if below is None else (below, "extends")
    named = "" if below is None else f" {source!r}"
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAXIMUM_BYTES + 1)
        if len(raw) > MAXIMUM_BYTES:
            raise ScenarioError(
                f"larger than {MAXIMUM_BYTES >> 20} MiB: not a scenario{named}", file=file, key=key
            )
        return raw.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        names = presets()
        near = difflib.get_close_matches(source, names, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        what = "no such file" if source.endswith(".toml") or "/" in source else "no such preset or file"
        raise ScenarioError(f"{what}{named}.{hint} Presets: {', '.join(names)}", file=file, key=key) from None
    except IsADirectoryError:
        raise ScenarioError(
            f"is a folder; a scenario is a TOML file or a preset{named}", file=file, key=key
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ScenarioError(
            f"not text in UTF-8 (line {line}); a scenario is a TOML file{named}", file=file, key=key
        ) from None
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}{named}", file=file, key=key) from None
    except ValueError as error:  # a NUL in the path
        raise ScenarioError(f"cannot be read: {error}{named}", file=file, key=key) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge, key by key; anything else is replaced."""
    out = dict(below)
    for key, new in above.items():
        old = out.get(key)
        out[key] = _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
    return out
