"""A window of a run at 20 to 100 ms: from a saved state to what the grid sees, and whether a requirement holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError, RunFolderError, ScenarioError
from kvandal.runs.contract import without_nan
from kvandal.runs.folder import (
    STATES,
    read_record,
    refuse_existing,
    state_name,
    whole_folder,
    write_durably,
)
from kvandal.runs.restart import instant, planned_tables, saved_state, scenario_document, start_of

if TYPE_CHECKING:
    import polars as pl

    from kvandal.scenario.model import Scenario
    from kvandal.twin.transient import Series, Window

STEPS_MS = (20, 25, 40, 50, 100)
"""Lengths of a step [ms]: they divide a second."""
SECONDS_MINIMUM, SECONDS_MAXIMUM = 20, 3600
"""Shortest window (two periods of 0.1 Hz) and longest [s]."""
TABLES = ("grid", "swing", "power")
"""Parts of the scenario that a window may see otherwise than its run did."""
BATTERY_PREFIX = "power.bess_"


@dataclass(frozen=True)
class Asked:
    """What is asked of a window.

    Attributes
    ----------
    at : its start, ISO time with offset
    seconds : its length [s]
    step_ms : length of a step [ms]
    stop_largest_s, stop_all_s : when the largest job, or all training, stops [s into the window]; None: never
    changes : keys of grid, swing and power.bess_* with new values
    labels : what errors call a change, by its key

    """

    at: str
    seconds: int
    step_ms: int
    stop_largest_s: float | None
    stop_all_s: float | None
    changes: Mapping[str, Any]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Transient:
    """A simulated window: its figures (transient.json) and its tables.

    Attributes
    ----------
    document : figures, verdicts, energies
    tables : ``transient`` (a row per step), ``seconds`` (1-s means and ramps), ``spectrum`` (amplitudes)

    """

    document: dict[str, Any]
    tables: dict[str, pl.DataFrame]


def simulate_window(folder: Path, asked: Asked) -> Transient:
    """Restart a run from its last saved state before a time and simulate what the grid sees.

    Raises
    ------
    InputError
        If the folder holds no saved states, the time lies outside the run, or a value is impossible.

    """
    record = read_record(folder)
    begin_s = _begin_s(record, asked)
    scenario = scenario_of(record, folder, asked)
    from kvandal.demand.build import build_demand
    from kvandal.ledger.plan_table import follow_tables
    from kvandal.twin.simulate import prepare
    from kvandal.twin.snapshot import jobs_mark, unpacked
    from kvandal.twin.transient import LEAD_S, open_window, stopped

    tick_s = int(record["tick_s"])
    tick, content = saved_state(folder, math.floor(begin_s / tick_s), math.floor((begin_s - LEAD_S) / tick_s))
    jobs, _ = build_demand(scenario)
    start = prepare(scenario, jobs)
    follow_tables(start.inputs, scenario, planned_tables(folder))
    try:
        state, plant, tick = unpacked(content, start.state, start.plant, jobs_mark(jobs))
    except InputError as error:
        raise RunFolderError(error.message, file=folder / STATES / state_name(tick)) from None
    window = open_window(start, state, plant, tick, begin_s, asked.seconds, asked.step_ms / 1000)
    stop = None
    for at_s, largest_only in ((asked.stop_largest_s, True), (asked.stop_all_s, False)):
        if at_s is not None:
            window, gpus = stopped(window, at_s=at_s, largest_only=largest_only)
            stop = {"what": "largest job" if largest_only else "all training", "at_s": at_s, "gpus": gpus}
    saved_utc = start_of(record) + timedelta(seconds=tick * tick_s)
    return _measured(window, record, begin_s, stop, saved_utc)


def write_transient(result: Transient, folder: Path) -> None:
    """Write a window's folder: transient.json, its tables, transient.html; whole or not at all."""
    from kvandal.report.transient import render_transient

    refuse_existing(folder)
    with whole_folder(folder) as draft:
        document = json.dumps(without_nan(result.document), indent=1, ensure_ascii=False, allow_nan=False)
        write_durably((document + "\n").encode("utf-8"), draft / "transient.json")
        for name, table in result.tables.items():
            table.write_parquet(draft / f"{name}.parquet", compression="zstd", statistics=False)
        write_durably(render_transient(draft).encode("utf-8"), draft / "transient.html")


def _begin_s(record: Mapping[str, Any], asked: Asked) -> float:
    """Start of the window [s after the start of the run]; refuses what does not lie in the run."""
    if asked.step_ms not in STEPS_MS:
        raise InputError(
            f"must be one of {', '.join(map(str, STEPS_MS))} (ms), got {asked.step_ms}", key="--step-ms"
        )
    if not SECONDS_MINIMUM <= asked.seconds <= SECONDS_MAXIMUM:
        raise InputError(
            f"must be {SECONDS_MINIMUM} to {SECONDS_MAXIMUM} (s), got {asked.seconds}", key="--seconds"
        )
    for option, stop_s in (("--stop-largest", asked.stop_largest_s), ("--stop-all", asked.stop_all_s)):
        if stop_s is not None and not 0 <= stop_s <= asked.seconds:
            raise InputError(f"must lie in the window, 0 to {asked.seconds} (s), got {stop_s:g}", key=option)
    at = instant(asked.at, "--at")
    start, end = start_of(record), datetime.fromisoformat(record["end_utc"])
    if at < start or at + timedelta(seconds=asked.seconds) > end:
        raise InputError(
            f"the window must lie in the run, {start.isoformat()} to {end.isoformat()}, got {asked.at!r} and "
            f"{asked.seconds} s",
            key="--at",
        )
    return (at - start).total_seconds()


def scenario_of(record: Mapping[str, Any], folder: Path, asked: Asked) -> Scenario:
    """Return the scenario of a run, with the changes that are asked for.

    Raises
    ------
    ScenarioError, RunFolderError
        If a change is impossible, or the scenario is not one of this version.

    """
    from kvandal.scenario import changes
    from kvandal.scenario.loading import validate

    document, scenario = scenario_document(record, folder)
    for key, new in asked.changes.items():
        label = asked.labels.get(key, key)
        steps = changes.split_key(key)
        if steps[0] not in TABLES or (steps[0] == "power" and not key.startswith(BATTERY_PREFIX)):
            raise ScenarioError(
                f"only keys of grid, swing and {BATTERY_PREFIX}* can change here: the rest is the run's",
                key=label,
            )
        changes.apply(document, steps, new, label)
        try:
            scenario = validate(document)
        except ScenarioError as error:
            raise ScenarioError(error.message, key=label) from None
    return scenario


def _measured(
    window: Window,
    record: Mapping[str, Any],
    begin_s: float,
    stop: dict[str, Any] | None,
    saved_utc: datetime,
) -> Transient:
    """Simulate and measure every case."""
    import numpy as np
    import polars as pl

    from kvandal.twin import criteria, transient

    scenario, step_s = window.scenario, window.step_s
    lead = round(transient.LEAD_S / step_s)
    table = transient.waves(window)
    columns: dict[str, Any] = {}
    by_second: dict[str, Any] = {"time_s": [second + 0.5 for second in range(window.seconds)]}
    amplitudes: dict[str, Any] = {}
    cases: list[dict[str, Any]] = []
    for case in transient.CASES:
        series = transient.simulate_case(window, table, **transient.acts(case))
        found = criteria.figures(series.grid_mw, step_s, lead, scenario.grid)
        cases.append(
            {
                "case": case,
                **asdict(found),
                "holds": criteria.verdict(found, scenario.grid),
                "battery": _battery(window, series, lead),
                "energy_mwh": transient.balance_mwh(window, series),
            }
        )
        columns[f"grid_{case}_mw"] = series.grid_mw[lead:]
        means = criteria.second_means(series.grid_mw, step_s)
        by_second[f"grid_{case}_mw"] = means[-window.seconds :]
        by_second[f"ramp_{case}_mw_per_min"] = (means - np.roll(means, criteria.RAMP_S))[-window.seconds :]
        amplitudes["hz"], amplitudes[f"grid_{case}_mw"], _ = criteria.spectrum(series.grid_mw[lead:], step_s)
    columns["battery_mw"] = series.battery_mw[lead:]
    columns["battery_mwh"] = series.battery_mwh[lead:]
    columns["rack_storage_mwh"] = series.rack_storage_mwh[lead:]
    running, resolves_hz = window.running, 0.5 / step_s
    there = (running.on_s <= begin_s) & (running.off_s > begin_s)
    training = there & (running.kind == 0)
    at = start_of(record) + timedelta(seconds=begin_s)
    document = {
        "scenario_name": record["scenario_name"],
        "title": record["title"],
        "kvandal_version": record["kvandal_version"],
        "at_utc": at.isoformat(),
        "seconds": window.seconds,
        "step_s": step_s,
        "saved_state_utc": saved_utc.isoformat(),
        "resolves_hz": [1 / window.seconds, resolves_hz],
        "band_resolved": resolves_hz >= scenario.grid.band_high_hz,
        "jobs": {
            "running": int(there.sum()),
            "gpus": int(running.gpus[there].sum()),
            "training": int(training.sum()),
            "training_gpus": int(running.gpus[training].sum()),
            "largest_gpus": int(running.gpus[there].max(initial=0)),
            "starts": int(((running.on_s > begin_s) & (running.on_s < begin_s + window.seconds)).sum()),
            "stops": int(((running.off_s > begin_s) & (running.off_s < begin_s + window.seconds)).sum()),
        },
        "stop": stop,
        "run_ticks_mean_mw": window.ticks_mw,
        "loss_fraction": window.loss_fraction,
        "requirement": scenario.grid.model_dump(),
        "swing": scenario.swing.model_dump(),
        "battery": {
            key: value for key, value in scenario.power.model_dump().items() if key.startswith("bess_")
        },
        "cases": cases,
    }
    times_s = [(step + 0.5) * step_s for step in range(round(window.seconds / step_s))]
    tables = {
        "transient": pl.DataFrame({"time_s": times_s, **columns}),
        "seconds": pl.DataFrame(by_second),
        "spectrum": pl.DataFrame(amplitudes),
    }
    return Transient(document, tables)


def _battery(window: Window, series: Series, lead: int) -> dict[str, float] | None:
    """Sum up the battery; None where there is none."""
    capacity_mwh = float(window.scenario.power.bess_energy_mwh)
    power = series.battery_mw[lead:]
    if not power.any():
        return None
    return {
        "throughput_mwh": float(abs(power).sum()) * window.step_s / 3600,
        "highest_mw": float(abs(power).max()),
        "soc_start": float(series.battery_mwh[lead - 1]) / capacity_mwh,
        "soc_end": float(series.battery_mwh[-1]) / capacity_mwh,
    }
