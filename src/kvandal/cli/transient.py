"""`kvandal transient`: a few minutes of a run at 20 to 100 ms, as the grid sees them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    FolderArgument,
    JsonOption,
    emit,
    note,
    note_compilation,
    number,
    print_json,
    print_table,
)
from kvandal.errors import ScenarioError

if TYPE_CHECKING:
    from kvandal.runs.transient import Asked

HEADINGS = {
    "none": "unmitigated",
    "floor": "GPU floor",
    "storage": "rack storage",
    "battery": "battery",
    "all": "all three",
}
FIGURES = (
    ("mean_mw", "mean [MW]"),
    ("lowest_mw", "lowest [MW]"),
    ("highest_mw", "highest [MW]"),
    ("ramp_up_mw_per_min", "ramp up [MW/min]"),
    ("ramp_down_mw_per_min", "ramp down [MW/min]"),
    ("steepest_mw_per_s", "steepest second [MW/s]"),
    ("range_mw", "range within 10 s [MW]"),
    ("band_share", "fluctuation energy in band"),
    ("band_rms_mw", "fluctuation in band, rms [MW]"),
    ("line_mw", "strongest oscillation [MW]"),
    ("line_hz", "its frequency [Hz]"),
)


def transient(
    run: FolderArgument,
    at: Annotated[str, typer.Option(metavar="TIME", help="Start, ISO time with offset: 2027-01-12T06:00Z.")],
    seconds: Annotated[int, typer.Option(help="Length of the window [s].")] = 300,
    step_ms: Annotated[int, typer.Option(help="Step: 20, 25, 40, 50 or 100 [ms].")] = 20,
    stop_largest: Annotated[
        float | None, typer.Option(metavar="AT_S", help="Stop the largest job, seconds into the window.")
    ] = None,
    stop_all: Annotated[
        float | None, typer.Option(metavar="AT_S", help="Stop all training, seconds into the window.")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="GPU power floor over a job's peak power; 0: none.")
    ] = None,
    storage_j: Annotated[float | None, typer.Option(help="Rack storage per GPU [J]; 0: none.")] = None,
    battery_mw: Annotated[float | None, typer.Option(help="Power of the battery [MW]; 0: none.")] = None,
    battery_mwh: Annotated[float | None, typer.Option(help="Capacity of the battery [MWh].")] = None,
    ramp_limit: Annotated[float | None, typer.Option(help="Required: ramps at most [MW/min].")] = None,
    range_limit_mw: Annotated[
        float | None, typer.Option(help="Required: range within 10 s at most [MW].")
    ] = None,
    spectral_limit: Annotated[
        float | None, typer.Option(help="Required: share of fluctuation energy in 0.1-20 Hz at most.")
    ] = None,
    band_limit_mw: Annotated[
        float | None, typer.Option(help="Required: amplitude in 0.1-20 Hz at most [MW].")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a key of grid, swing or power.bess_*. Repeatable."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; must not exist. Default: transients/NAME-N.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Restart a run at a time and show, second by second, what the grid sees and whether a requirement holds."""
    from kvandal.runs.folder import next_folder, read_record, refuse_unwritable
    from kvandal.runs.transient import Asked, simulate_window, write_transient

    options = {
        "swing.floor_fraction": ("--floor", floor),
        "swing.storage_j_per_gpu": ("--storage-j", storage_j),
        "power.bess_power_mw": ("--battery-mw", battery_mw),
        "power.bess_energy_mwh": ("--battery-mwh", battery_mwh),
        "grid.ramp_limit_mw_per_min": ("--ramp-limit", ramp_limit),
        "grid.range_limit_mw": ("--range-limit-mw", range_limit_mw),
        "grid.band_energy_fraction": ("--spectral-limit", spectral_limit),
        "grid.band_limit_mw": ("--band-limit-mw", band_limit_mw),
    }
    new, labels = _changes(changes, options)
    asked = Asked(at, seconds, step_ms, stop_largest, stop_all, new, labels)
    signals.hold()
    record = read_record(run)
    folder = out if out is not None else next_folder(str(record["scenario_name"]), "transients")
    refuse_unwritable(folder)
    if not as_json:
        note_compilation()
    result = simulate_window(run, asked)
    signals.check()
    write_transient(result, folder)
    if as_json:
        print_json({"folder": str(folder), **result.document})
    else:
        _print(result.document, asked, folder)


def _changes(
    texts: list[str] | None, options: dict[str, tuple[str, float | None]]
) -> tuple[dict[str, Any], dict[str, str]]:
    from kvandal.scenario.changes import parse_change

    new: dict[str, Any] = {}
    labels: dict[str, str] = {}
    for key, value in (parse_change(text) for text in texts or ()):
        if key in new:
            raise ScenarioError("is given twice", key=f"--set {key}")
        new[key], labels[key] = value, f"--set {key}"
    for key, (option, given) in options.items():
        if given is not None:
            if key in new:
                raise ScenarioError(f"says the same as --set {key}; give one of the two", key=option)
            new[key], labels[key] = given, option
    return new, labels


def _print(document: dict[str, Any], asked: Asked, folder: Path) -> None:
    cases, requirement = document["cases"], document["requirement"]
    columns = [("", ""), *((HEADINGS[case["case"]], "right") for case in cases)]
    rows: list[tuple[str, ...]] = [(label, *(number(case[key]) for case in cases)) for key, label in FIGURES]
    rows.append(
        ("burned by floor and ramps [MWh]", *(number(case["energy_mwh"]["burned"]) for case in cases))
    )
    rows.append(
        (
            "battery throughput [MWh]",
            *(number(case["battery"]["throughput_mwh"] if case["battery"] else 0) for case in cases),
        )
    )
    rows.append(("", *("" for _ in cases)))
    low, high = requirement["band_low_hz"], requirement["band_high_hz"]
    verdicts = (
        ("ramp", f"ramp ≤ {requirement['ramp_limit_mw_per_min']:g} MW/min"),
        ("range", f"range ≤ {requirement['range_limit_mw']:g} MW"),
        ("spectral_share", f"energy in {low:g}-{high:g} Hz ≤ {requirement['band_energy_fraction']:.0%}"),
        ("band_amplitude", f"oscillation ≤ {requirement['band_limit_mw']:g} MW"),
    )
    rows += [
        (label, *("holds" if case["holds"][key] else "does not hold" for case in cases))
        for key, label in verdicts
    ]
    jobs = document["jobs"]
    print_table(
        f"{document['title']}: {asked.seconds} s from {document['at_utc']}, {jobs['training']:,} training jobs on "
        f"{jobs['training_gpus']:,} of {jobs['gpus']:,} busy GPUs",
        columns,
        rows,
    )
    if not document["band_resolved"]:
        note(
            f"kvandal: steps of {asked.step_ms} ms see up to {document['resolves_hz'][1]:g} Hz; for the band up to "
            f"{high:g} Hz give --step-ms 20"
        )
    emit(f"\n{folder / 'transient.html'}")
