"""What it takes to go on from a saved state of a run folder: an instant, the scenario, the state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError, RunFolderError, ScenarioError
from kvandal.runs.folder import STATES, state_name

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario


def start_of(record: Mapping[str, Any]) -> datetime:
    """First instant of a run."""
    return datetime.fromisoformat(record["start_utc"])


def instant(text: str, key: str) -> datetime:
    """Read an ISO time with its offset; one that UTC cannot hold is the first of all instants.

    Examples
    --------
    >>> instant("2027-01-12T07:00+01:00", "--at").isoformat()
    '2027-01-12T06:00:00+00:00'

    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"must be an ISO time with its offset, e.g. 2027-01-12T06:00Z, got {text!r}", key=key
        ) from None
    if moment.tzinfo is None:
        raise InputError(f"must say its offset from UTC, e.g. {text.strip()}Z, got {text!r}", key=key)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def scenario_document(record: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Scenario]:
    """Return the scenario of a run, as plain values and validated.

    Raises
    ------
    RunFolderError
        If it is not one of this version.

    """
    from kvandal.scenario.loading import validate

    document = json.loads(json.dumps(record["scenario"]))
    file = folder / "run.json"
    try:
        document["run"]["start_utc"] = datetime.fromisoformat(document["run"]["start_utc"])
        scenario = validate(document, file=str(file))
    except (ScenarioError, KeyError, TypeError, ValueError) as error:
        reason = f"{error.key}: {error.message}" if isinstance(error, ScenarioError) else str(error)
        raise RunFolderError(
            f"the scenario is not one of this version of kvandal: {reason}", file=file, key="scenario"
        ) from None
    return document, scenario


def saved_state(folder: Path, by_tick: int, rather_by_tick: int | None = None) -> tuple[int, bytes]:
    """Return the last saved state that is no later than a tick, as its ticks done and the contents of its file.

    Parameters
    ----------
    folder : run folder
    by_tick : ticks done, at most
    rather_by_tick : the same, if there is such a state; else the first of all is returned

    Raises
    ------
    RunFolderError
        If there is none, or it cannot be read.

    """
    states = folder / STATES
    ticks = sorted(
        int(path.stem.removeprefix("state-"))
        for path in states.glob("state-*.npz")
        if path.stem.removeprefix("state-").isdigit()
    )
    if not ticks or ticks[0] > by_tick:
        raise RunFolderError(
            "has no saved state from before that time (it was written by an older version of kvandal, or its states "
            "were removed); run the scenario again",
            file=states,
        )
    wanted = by_tick if rather_by_tick is None else rather_by_tick
    before = [tick for tick in ticks if tick <= wanted]
    tick = before[-1] if before else ticks[0]
    path = states / state_name(tick)
    try:
        return tick, path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"cannot be read: {error.strerror}", file=path) from None


def planned_tables(folder: Path) -> dict[str, Any]:
    """Return the tables of a run folder that say what was planned for its hours.

    Raises
    ------
    RunFolderError
        If one is missing or cannot be read.

    """
    import polars as pl

    found = {}
    for name in ("plan", "heat"):
        path = folder / f"{name}.parquet"
        try:
            found[name] = pl.read_parquet(path, glob=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise RunFolderError(f"cannot be read: {error}", file=path) from None
    return found
