"""The models of the plant against independent references, and the page that says so."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fidelity.dry_cooler import exact_effectiveness
from fidelity.figure import Figure, Panel, Series
from fidelity.heat_pump import Cycle
from fidelity.page import GROUPS, IMAGES, PAGE, differences, on_page, prose, section_of, table
from fidelity.row import number, row, short, signed

BOUNDS = {
    "exchanger_held": (0.1, 0.05),
    "exchanger_flow": (0.2, 0.1),
    "exchanger_one_flow": (3, 2),
    "exchanger_both_flows": (6, 4),
    "pump_design": (0.001, 0.001),
    "pump_rack": (6, 3),
    "pump_power": (25, 12),
    "heat_pump_lorenz_ze": (80, 55),
    "heat_pump_lorenz_nh3": (55, 35),
    "heat_pump_series": (40, 22),
    "heat_pump_carnot": (35, 28),
    "heat_pump_mantsala": (10, 10),
    "density": (0.001, 0.001),
    "heat_capacity": (0.001, 0.001),
    "viscosity": (0.1, 0.05),
    "conductivity": (0.001, 0.001),
    "ashrae_heat_capacity": (0.5, 0.3),
    "ashrae_viscosity": (4, 2),
    "crossflow": (4, 1.5),
    "cooler_heat": (1.5, 1),
    "cooler_airflow": (2, 1.5),
    "ups_double": (1e-9, 1e-9),
    "ups_eco": (1e-9, 1e-9),
    "transformer": (1e-9, 1e-9),
    "transformer_hv": (1e-9, 1e-9),
    "shelf": (1e-9, 1e-9),
    "ups_claims": (0.1, 0.1),
    "chain": (2, 2),
    "pue_winter": (1, 1),
    "pue_eco": (1, 1),
    "pue_design_day": (1, 1),
    "pue_weeks": (1e-9, 1e-9),
    "pue_sites": (3, 2),
    "rack_full": (4, 2),
    "rack_idle": (8, 8),
    "junction_margin": (1e-6, 1e-6),
    "flow_loss": (1e-9, 1e-9),
    "flow_loss_solver": (2, 1),
    "kw_per_gpu_narvik": (7, 5),
    "kw_per_gpu_weeks": (1e-9, 1e-9),
    "heat_energy": (3, 3),
    "heat_peak": (20, 20),
    "ettr_formula": (1, 0.5),
    "ettr_twin": (1e-9, 1e-9),
    "ettr_first_order": (9, 4.5),
    "ettr_clustered": (1e-9, 1e-9),
    "ettr_llama": (1e-9, 1e-9),
    "ettr_spares": (1e-9, 1e-9),
    "philly_use": (4, 4),
    "philly_trays": (7, 7),
    "philly_hours": (120, 15),
    "lingjun_hours": (1e-6, 1e-6),
}
"""Row: largest error and RMS of the error, relative [%]."""
KELVINS = {
    "wet_bulb_exact": (1e-3, 1e-3),
    "wet_bulb_real": (0.05, 0.03),
    "wet_bulb_stull": (2.5, 0.7),
    "wet_bulb_pads": (0.6, 0.3),
    "junction": (0.5, 0.5),
}
"""Row: the same [K]."""
WORSE = {
    "pump_affinity": "pump_power",
    "cooler_simple": "cooler_airflow",
    "wet_bulb_stull": "wet_bulb_exact",
    "heat_degree_hours": "heat_signature",
    "exchanger_both_flows": "exchanger_held",
}
"""Simpler models are worse than the defaults: a comparison that cannot tell them apart is none."""
PARTS = [
    pytest.param(name, marks=pytest.mark.shared_data if name in {"heat_demand", "replay"} else ())
    for name in GROUPS
]


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_errors_are_bounded_and_the_page_says_them(name: str):
    """A part is computed again: within its bounds, as printed on the page, with its figure."""
    section = section_of(name)
    rows = {found.key: found for found in section.rows}
    for key, found in rows.items():
        assert np.isfinite(found.ours).all(), key
        if key in BOUNDS:
            assert abs(found.maximum_pct) <= BOUNDS[key][0], key
            assert found.rms_pct <= BOUNDS[key][1], key
        if key in KELVINS:
            assert abs(found.maximum) <= KELVINS[key][0], key
            assert found.rms <= KELVINS[key][1], key
        if key in WORSE:
            assert found.rms > 1.5 * rows[WORSE[key]].rms, key
    lines, text = on_page(name, PAGE.read_text(encoding="utf-8"))
    assert differences(table(name, section) + prose(name, section), lines + text) == [], "run make fidelity"
    drawn = (IMAGES / f"{section.figure.name}.svg").read_text(encoding="utf-8")
    assert differences(section.figure.svg(), drawn) == [], "run make fidelity"


def test_every_bound_is_of_a_row_and_every_row_is_on_the_page():
    """No bound is forgotten when a row is renamed; the page holds each part once."""
    text = PAGE.read_text(encoding="utf-8")
    for name, heading in GROUPS.items():
        assert text.count(f"\n## {heading}\n") == 1
        lines, prose_text = on_page(name, text)
        assert lines
        assert f"images/fidelity/{name.replace('_', '-')}.svg" in prose_text
    keys = {part.read_text(encoding="utf-8") for part in Path(IMAGES).parents[1].glob("fidelity/*.py")}
    for key in [*BOUNDS, *KELVINS, *WORSE]:
        stem = key.removeprefix("ashrae_").replace("_", " ")
        assert any(f'"{key}"' in source or f'"{stem}"' in source for source in keys), key


def test_figures_are_a_few_kilobytes_and_speak():
    """Every figure is a small SVG with words for those who cannot see it."""
    for path in sorted(IMAGES.glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        assert len(text) < 60_000, path.name
        assert "<title>" in text
        assert 'role="img"' in text
        assert "nan" not in text


def test_errors_by_hand():
    """Points, ranges, relative errors and RMS of a row."""
    found = row("x", "q", "f", "r", "2 points", "kW", [11.0, 18.0], [10.0, 20.0], "why")
    assert found.maximum == -2.0
    assert found.maximum_pct == pytest.approx(10.0)
    assert found.rms == pytest.approx(2.5**0.5)
    ranged = row("x", "q", "f", "r", "3 points", "", [1.0, 1.2, 0.9], [1.05] * 3, "why", high=[1.15] * 3)
    assert ranged.error.tolist() == pytest.approx([-0.05, 0.05, -0.15])
    inside = row("x", "q", "f", "r", "1 point", "", 1.1, 1.05, "why", high=1.15)
    assert inside.maximum == 0.0
    assert "1.10 / 1.05 to 1.15" in inside.cells()


def test_numbers_as_written():
    assert [short(value) for value in (0.0, 0.0005, 0.0123, 1.26, 12.6, 126.0)] == [
        "0",
        "< 0.001",
        "0.012",
        "1.3",
        "13",
        "126",
    ]
    assert [signed(value) for value in (1.26, -1.26, 0.0)] == ["+1.3", "\u22121.3", "0"]
    assert [number(-0.001, 2), number(-1.5, 1)] == ["0.00", "\u22121.5"]


def test_differences_see_what_matters():
    """A last digit may flicker between machines; a number, a word or a line may not change."""
    assert differences("a 1.23 b", "a 1.24 b") == []
    assert differences("a 1.23 b", "a 1.26 b") == ["1.23 instead of 1.26"]
    assert differences("a \u22121.2 b", "a 1.2 b") == ["\u22121.2 instead of 1.2"]
    assert differences("1.23 b", "1.23 c") == ["'# b' instead of '# c'"]
    assert differences("one\n\ntwo", "one") == ["one text is longer"]


def test_the_figure_draws_what_it_is_given():
    """A line through two corners of the axes, and a mark between them."""
    panel = Panel("t", "x", "y", (Series("a", [0, 10], [0, 10]), Series("b", [5], [5], marks=True)))
    text = Figure("f", "words", (panel,)).svg()
    points = text.split('<polyline points="')[1].split('"')[0].split()
    (x0, y0), (x1, y1) = ([float(part) for part in point.split(",")] for point in points)
    assert x0 < x1
    assert y0 > y1
    assert f'cx="{(x0 + x1) / 2:.1f}" cy="{(y0 + y1) / 2:.1f}"' in text


@pytest.mark.parametrize(
    ("units", "ratio", "printed"), [(0.5, 1.0, 0.326), (1.0, 1.0, 0.476), (3.0, 0.001, 0.950)]
)
def test_exact_crossflow_at_known_points(units: float, ratio: float, printed: float):
    """The reference itself: crossflow unmixed at equal rates, and 1 - exp(-NTU) where one stream is endless."""
    assert exact_effectiveness(units, ratio) == pytest.approx(printed, abs=0.001)


def test_the_reference_cycle_stays_below_carnot_and_falls_with_the_lift():
    """The reference itself obeys thermodynamics."""
    cycle = Cycle("Ammonia")
    cops = [cycle.cop(45.0, 37.0, supply - 25.0, supply) for supply in (65.0, 75.0, 85.0)]
    assert cops == sorted(cops, reverse=True)
    assert cops[0] < (65.0 + 273.15) / (65.0 - 37.0)
    assert cycle.series_cop(45.0, 37.0, 50.0, 75.0) > cops[1]


@pytest.mark.shared_data
def test_the_quantiles_of_acme_are_those_of_its_monitoring(shared_data: Path):
    """The small file beside the page holds every tenth point of the distribution that Acme published."""
    frame = pl.read_parquet(shared_data / "power/acme_2023_power_temp_util_cdfs.parquet")
    frame = frame.filter(pl.col("metric") == "gpu_power_w")
    path = PAGE.parent / "fidelity/acme_2023_gpu_power.csv"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in csv.DictReader(lines):
        for cluster in ("kalos", "seren"):
            known = frame.filter(
                pl.col("cluster") == cluster, pl.col("cdf_pct") >= float(line["cdf_pct"]) - 1e-9
            )
            assert float(line[f"{cluster}_w"]) == pytest.approx(known["value"].min(), rel=1e-5)
