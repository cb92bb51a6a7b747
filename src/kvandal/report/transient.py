"""A window of seconds as one self-contained page: verdict, power at the meter, battery, ramps, spectrum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kvandal.report.chart import Figure, Section
from kvandal.report.grid import Floats, rounded
from kvandal.report.page import POLICY, asset, embedded
from kvandal.report.text import DASH, MINUS, amount, escape, fold, number, percent, plain, significant, table

NAMES = {
    "none": "unmitigated",
    "floor": "GPU floor",
    "storage": "rack storage",
    "battery": "battery",
    "all": "all three",
}
ROLES = {"none": "envelope", "floor": "cooling", "storage": "losses", "battery": "ppa", "all": "assured"}
POINTS = 15_000
"""Points of a line on the page; longer series are drawn by the extremes of equal spans."""
SPECTRUM_POINTS = 400
"""Points of a spectrum: the highest amplitude of each span of frequencies."""


def render_transient(folder: Path) -> str:
    """Render a folder of `kvandal transient` as one page that needs no network and no other file."""
    document: dict[str, Any] = json.loads((folder / "transient.json").read_text(encoding="utf-8"))
    tables = {
        name: pl.read_parquet(folder / f"{name}.parquet", glob=False)
        for name in ("transient", "seconds", "spectrum")
    }
    sections = [
        _verdicts(document),
        _power(document, tables["transient"]),
        _ramps(document, tables["seconds"]),
        _spectrum(document, tables["spectrum"]),
        _energies(document),
        _assumptions(document),
    ]
    specs: dict[str, Any] = {}
    for section in sections:
        specs.update(section.specs())
    title = escape(f"{document['title']}: {document['seconds']} s from {document['at_utc']}")
    body = "".join(section.html(place) for place, section in enumerate(sections, start=1))
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
            f'<meta name="generator" content="kvandal {escape(str(document["kvandal_version"]))}">',
            f'<title>{title}</title><link rel="icon" href="data:,">',
            f"<style>\n{asset('report.css')}</style></head>\n<body>",
            '<div id="trouble" role="alert" hidden></div><main>',
            f'<header><p class="kind">Transient</p><h1>{title}</h1>{_facts(document)}</header>',
            '<noscript><p class="notice">Charts need JavaScript; the figures stand in the tables.</p></noscript>',
            body,
            "</main>\n",
            f'<script type="application/json" id="kvandal-charts">{embedded(specs)}</script>\n',
            f"<script>{asset('trouble.js')}</script>\n<script>{asset('echarts.min.js')}</script>\n",
            f"<script>{asset('palette.js')}{asset('charts.js')}{asset('floor.js')}{asset('transient.js')}{asset('report.js')}</script>\n</body></html>\n",
        ]
    )


def _facts(document: dict[str, Any]) -> str:
    jobs, stop = document["jobs"], document["stop"]
    facts = [
        ("Scenario", f"<code>{escape(document['scenario_name'])}</code>"),
        ("Step", f"{number(document['step_s'] * 1000)} ms"),
        ("Jobs", _jobs(jobs)),
        ("In the window", f"{number(jobs['starts'])} jobs start, {number(jobs['stops'])} stop"),
        ("Saved state", escape(document["saved_state_utc"])),
        ("Run's ticks, mean", amount(document["run_ticks_mean_mw"], "MW")),
    ]
    if stop is not None:
        facts.append(
            (
                "Stopped",
                f"{escape(stop['what'])}, {number(stop['gpus'])} GPUs, after {number(stop['at_s'])} s",
            )
        )
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{key}</dt><dd>{text}</dd></div>" for key, text in facts)
        + "</dl>"
    )


def _jobs(jobs: dict[str, Any]) -> str:
    return (
        f"{number(jobs['running'])} on {number(jobs['gpus'])} GPUs, of these {number(jobs['training'])} training on "
        f"{number(jobs['training_gpus'])}; the largest holds {number(jobs['largest_gpus'])}"
    )


def _verdicts(document: dict[str, Any]) -> Section:
    requirement, cases = document["requirement"], document["cases"]
    band = f"{requirement['band_low_hz']:g}{DASH}{requirement['band_high_hz']:g} Hz"
    rows = []
    for key, name, figures in (
        ("ramp", f"Ramp, at most {requirement['ramp_limit_mw_per_min']:g} MW/min", _ramp),
        (
            "range",
            f"Range within 10 s, at most {requirement['range_limit_mw']:g} MW",
            lambda case: amount(case["range_mw"], "MW"),
        ),
        (
            "spectral_share",
            f"Fluctuation energy in {band}, at most {percent(requirement['band_energy_fraction'], 0)}",
            _share,
        ),
        ("band_amplitude", f"Oscillation in {band}, at most {requirement['band_limit_mw']:g} MW", _line),
    ):
        rows.append(
            [
                name,
                *(
                    f"<b>{'holds' if case['holds'][key] else 'does not hold'}</b><br>{figures(case)}"
                    for case in cases
                ),
            ]
        )
    lead = (
        "Ramp: change of the 1-s mean over 60 s. Range: largest difference of two steps within 10 s. Energy and "
        "oscillation: Hann-windowed spectrum of the whole window; below "
        f"{percent(requirement['negligible_fraction'])} of the mean power (rms) the share of energy is not judged."
    )
    if not document["band_resolved"]:
        lead += f" <b>These steps see up to {document['resolves_hz'][1]:g} Hz only, not the whole band.</b>"
    return Section(
        "verdict",
        "Does the requirement hold?",
        lead,
        [table(["requirement", *(NAMES[case["case"]] for case in cases)], rows)],
    )


def _ramp(case: dict[str, Any]) -> str:
    return (
        f"+{number(case['ramp_up_mw_per_min'], 1)} / {MINUS}{number(case['ramp_down_mw_per_min'], 1)} MW/min"
    )


def _share(case: dict[str, Any]) -> str:
    share = case["band_share"]
    shown = "nothing fluctuates" if share is None else percent(share)
    return f"{shown} ({amount(case['band_rms_mw'], 'MW')} rms)"


def _line(case: dict[str, Any]) -> str:
    return f"{amount(case['line_mw'], 'MW')} at {significant(case['line_hz'], 2)} Hz"


def _spread(values: Floats) -> Floats:
    """Shorten a series to the lowest and highest of equal spans, in turn."""
    if len(values) <= POINTS:
        return values
    span = -(-2 * len(values) // POINTS)
    whole = values[: len(values) // span * span].reshape(-1, span)
    return np.column_stack([whole.min(axis=1), whole.max(axis=1)]).reshape(-1)


def _chart(
    document: dict[str, Any],
    lines: list[tuple[str, str, str, int, Floats]],
    units: list[str],
    marks: list[tuple[str, float]],
) -> dict[str, Any]:
    """Describe a chart over the seconds of the window: lines are (name, role, style, axis, values)."""
    shown = [_spread(values) for *_, values in lines]
    step = document["seconds"] / max(1, len(shown[0]))
    return {
        "kind": "seconds",
        "seconds": document["seconds"],
        "first": step / 2,
        "step": step,
        "units": units,
        "decimals": [2, 2],
        "series": [
            {"name": name, "role": role, "style": style, "axis": axis, "values": rounded(values, 3)}
            for (name, role, style, axis, _), values in zip(lines, shown, strict=True)
        ],
        "marks": [{"name": name, "value": value} for name, value in marks],
    }


def _power(document: dict[str, Any], series: pl.DataFrame) -> Section:
    lines = [
        (
            NAMES[case],
            ROLES[case],
            "line" if case == "all" else "thin",
            0,
            series[f"grid_{case}_mw"].to_numpy(),
        )
        for case in NAMES
    ]
    by_case = {case["case"]: case for case in document["cases"]}
    raw, mitigated = by_case["none"], by_case["all"]
    figure = Figure(
        "grid",
        "Site power",
        f"At the meter, between {amount(raw['lowest_mw'], 'MW')} and {amount(raw['highest_mw'], 'MW')} without mitigation, "
        f"{amount(mitigated['lowest_mw'], 'MW')} and {amount(mitigated['highest_mw'], 'MW')} with all of it.",
        _chart(document, lines, ["MW"], []),
    )
    parts: list[str | Figure] = [figure]
    battery, capacity = mitigated["battery"], float(document["battery"]["bess_energy_mwh"])
    if battery is not None and capacity > 0:
        parts.append(
            Figure(
                "battery",
                "Battery, all mitigations together",
                f"Delivered (above zero) and taken; state of charge on the right axis. At most {amount(battery['highest_mw'], 'MW')} "
                f"of {amount(float(document['battery']['bess_power_mw']), 'MW')}, throughput {amount(battery['throughput_mwh'], 'MWh')}.",
                _chart(
                    document,
                    [
                        ("Battery", "ppa", "thin", 0, series["battery_mw"].to_numpy()),
                        (
                            "State of charge",
                            "price",
                            "line",
                            1,
                            100 * series["battery_mwh"].to_numpy() / capacity,
                        ),
                    ],
                    ["MW", "%"],
                    [],
                ),
            )
        )
    return Section("power", "Power, second by second", parts=parts)


def _ramps(document: dict[str, Any], seconds: pl.DataFrame) -> Section:
    limit = float(document["requirement"]["ramp_limit_mw_per_min"])
    lines = [
        (NAMES[case], ROLES[case], "line", 0, seconds[f"ramp_{case}_mw_per_min"].to_numpy()) for case in NAMES
    ]
    figure = Figure(
        "ramps",
        "Change over one minute",
        "1-s mean less the 1-s mean 60 s before; the first minute looks back before the window.",
        _chart(
            document, lines, ["MW/min"], [(f"limit {limit:g}", limit), (f"limit {MINUS}{limit:g}", -limit)]
        ),
    )
    return Section("ramps", "Ramps", parts=[figure])


def _spectrum(document: dict[str, Any], spectrum: pl.DataFrame) -> Section:
    requirement = document["requirement"]
    hz = spectrum["hz"].to_numpy()[1:]
    edges = np.unique(np.round(np.geomspace(1, len(hz) + 1, SPECTRUM_POINTS + 1)).astype(int)) - 1
    shown = {
        case: np.maximum.reduceat(spectrum[f"grid_{case}_mw"].to_numpy()[1:], edges[:-1])
        for case in ("none", "battery", "all")
    }
    highest = max(float(values.max()) for values in shown.values())
    lowest = max(1e-6, highest * 1e-5)
    spec = {
        "kind": "spectrum",
        "hz": [float(f"{value:.5g}") for value in hz[edges[:-1]]],
        "lowest": lowest,
        "band": [requirement["band_low_hz"], min(requirement["band_high_hz"], float(hz[-1]))],
        "series": [
            {
                "name": NAMES[case],
                "role": ROLES[case],
                "style": "line",
                "values": [float(f"{max(value, lowest):.4g}") for value in values],
            }
            for case, values in shown.items()
        ],
        "marks": [
            {"name": f"limit {requirement['band_limit_mw']:g} MW", "value": requirement["band_limit_mw"]}
        ],
    }
    caption = (
        "Amplitude of a sinusoid that would give the same line (Hann window); shaded: the regulated band. Towards high "
        "frequencies a point is the highest of its span."
    )
    return Section("spectrum", "Spectrum", parts=[Figure("amplitudes", "Amplitude spectrum", caption, spec)])


def _energies(document: dict[str, Any]) -> Section:
    cases = document["cases"]
    names = (
        ("work", "asked for by the work"),
        ("burned", "burned by floor and ramps"),
        ("put_off", "put off by ramps"),
        ("into_rack_storage", "into the racks' storage"),
        ("chain_losses", "losses of the power chain"),
        ("cooling_and_rest", "cooling and the rest"),
        ("into_battery", "into the battery"),
        ("battery_losses", "lost in the battery"),
    )
    rows = [[name, *(number(case["energy_mwh"][key] + 0.0, 4) for case in cases)] for key, name in names]
    worst = max(case["energy_mwh"]["error"] for case in cases)
    body = table(
        ["energy [MWh]", *(NAMES[case["case"]] for case in cases)],
        rows,
        right=range(1, len(cases) + 1),
        total=["at the meter", *(number(case["energy_mwh"]["grid"], 4) for case in cases)],
    )
    return Section(
        "energy", "Where the energy went", f"The parts add up to the meter within {worst:.0e}.", [body]
    )


def _assumptions(document: dict[str, Any]) -> Section:
    rows = [
        [f"<code>{part}.{escape(key)}</code>", plain(value)]
        for part, name in (("grid", "requirement"), ("swing", "swing"), ("power", "battery"))
        for key, value in document[name].items()
    ]
    return Section(
        "assumptions",
        "Assumptions",
        "Cooling, losses over IT power and power caps are held as in the tick before the window. The model and its limits: "
        "docs/transients.md.",
        [fold("Values", table(["key", "value"], rows, right=(1,)))],
    )
