"""Changes to a scenario: ``key=value`` as the command line gives them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvandal.errors import ScenarioError
from kvandal.scenario.messages import key_text, shown
from kvandal.scenario.tenants import INHERITED

SHIPPED_SERIES = ("tromso-2021-era5", "synthetic-no4", "wind-north", "hydro-norway")
"""Names that stand for a series of the product, not for a file."""


def parse_change(text: str) -> tuple[str, Any]:
    """Read one ``key=value`` of the command line; the value is TOML, or else a plain word.

    >>> parse_change("site.grid_mw=290"), parse_change("market.prices=prices.csv")
    (('site.grid_mw', 290), ('market.prices', 'prices.csv'))
    """
    key, separator, raw = text.partition("=")
    key, raw = key.strip(), raw.strip()
    if not separator or not key or not raw:
        raise ScenarioError(f"expected key=value, e.g. site.grid_mw=290, got {shown(text)}", key="--set")
    try:
        document = tomllib.loads(f"value = {raw}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return key, raw
    return key, document["value"] if set(document) == {"value"} else raw


def split_key(key: str) -> tuple[str, ...]:
    """Split a dotted key into its steps; a name that holds a dot stands in quotes.

    >>> split_key('tenants."a.b".weight')
    ('tenants', 'a.b', 'weight')
    """
    if '"' in key or "'" in key:
        try:
            table: Any = tomllib.loads(f"{key} = 0") if "\n" not in key and "=" not in key else {}
        except (tomllib.TOMLDecodeError, RecursionError, ValueError):
            table = {}
        steps: list[str] = []
        while isinstance(table, dict) and len(table) == 1:
            ((step, table),) = table.items()
            steps.append(step)
    else:
        steps = [step.strip() for step in key.split(".")]
    if not steps or not all(steps):
        raise ScenarioError(f"expected a dotted key, e.g. site.grid_mw, got {shown(key)}", key="--set")
    return tuple(steps)


def conflict(keys: list[str]) -> tuple[str, str] | None:
    """Find two changes of which the later would undo the earlier."""
    steps = [split_key(key) for key in keys]
    for later in range(len(keys)):
        for earlier in range(later):
            if steps[earlier][: len(steps[later])] == steps[later]:
                return keys[earlier], keys[later]
    return None


def apply(document: dict[str, Any], steps: tuple[str, ...], new: Any, label: str) -> None:
    """Set one key of a document in place; a whole table is replaced, not merged."""
    table = document
    *parents, last = steps
    for parent in parents:
        below = table.get(parent)
        if below is not None and not isinstance(below, dict):
            raise ScenarioError(f"{parent!r} is not a table, so it has no key {last!r}", key=label)
        table[parent] = below = dict(below or {})
        table = below
    table[last] = new


def anchored(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a document in which the paths of the user's own series and traces are absolute, from `folder`."""
    out = dict(document)
    for part, key in (("climate", "weather"), ("market", "prices")):
        if isinstance(out.get(part), dict):
            out[part] = _with_path(out[part], key, folder)
    if isinstance(out.get("demand"), dict):
        out["demand"] = {
            name: _with_path(entry, "path", folder) if isinstance(entry, dict) else entry
            for name, entry in out["demand"].items()
        }
    purchases = out["supply"].get("purchases") if isinstance(out.get("supply"), dict) else None
    if isinstance(purchases, dict):
        anchored_purchases = {
            name: _with_path(entry, "profile", folder) if isinstance(entry, dict) else entry
            for name, entry in purchases.items()
        }
        out["supply"] = {**out["supply"], "purchases": anchored_purchases}
    return out


def input_files(document: Mapping[str, Any]) -> list[str]:
    """List the files of the user's own that a document names: weather, prices, traces, profiles of contracts.

    >>> input_files({"market": {"prices": "/data/prices.csv#no4_eur_per_mwh"}, "climate": {"weather": "tromso-2021-era5"}})
    ['/data/prices.csv']
    """

    def entries(part: Any) -> list[dict[str, Any]]:
        return [entry for entry in part.values() if isinstance(entry, dict)] if isinstance(part, dict) else []

    supply = document.get("supply")
    purchases = supply.get("purchases") if isinstance(supply, dict) else None
    named = [
        *(
            (part, key)
            for part, key in ((document.get("climate"), "weather"), (document.get("market"), "prices"))
        ),
        *((entry, "path") for entry in entries(document.get("demand"))),
        *((entry, "profile") for entry in entries(purchases)),
    ]
    given = [part[key] for part, key in named if isinstance(part, dict) and isinstance(part.get(key), str)]
    return [text.partition("#")[0] for text in given if text.strip() and text not in SHIPPED_SERIES]


def uninherited(tenants: dict[str, Any]) -> dict[str, Any]:
    """Drop what tenants may have from their group, so that they follow a change of the group.

    >>> uninherited({"a": {"notice_s": 60}, "b": {"parent": "a", "notice_s": 60}})
    {'a': {'notice_s': 60}, 'b': {'parent': 'a'}}
    """
    out = {}
    for name, entry in tenants.items():
        above = tenants.get(entry.get("parent"), {})
        out[name] = {
            key: value
            for key, value in entry.items()
            if key not in INHERITED or key not in above or above[key] != value
        }
    return out


def differences(one: Any, other: Any, steps: tuple[str, ...] = ()) -> list[tuple[str, Any, Any]]:
    """Keys in which two documents differ, with both values; None where a side has no such key.

    >>> differences({"site": {"grid_mw": 230.0}}, {"site": {"grid_mw": 150.0}})
    [('site.grid_mw', 230.0, 150.0)]
    """
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys([*one, *other])
        return [
            found for name in names for found in differences(one.get(name), other.get(name), (*steps, name))
        ]
    return [] if one == other else [(key_text(steps), one, other)]


def _with_path(table: dict[str, Any], key: str, folder: Path) -> dict[str, Any]:
    given = table.get(key)
    if not isinstance(given, str) or not given.strip() or given in SHIPPED_SERIES or "\0" in given:
        return table
    try:
        return {**table, key: str((folder / given.strip()).absolute())}
    except OSError as error:
        raise ScenarioError(
            f"relative to a working folder that is gone: {error.strerror}, got {given!r}", key=key
        ) from None
