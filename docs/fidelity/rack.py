"""Rack power against published figures, and the power of GPUs over time against the Acme clusters."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

import kvandal as kv
from fidelity.figure import Figure, Panel, Series, Span, Spans
from fidelity.plant import week
from fidelity.row import Float64, Section, row, short
from kvandal.physics.rack import gpu_power_w, load_for_power_fraction, rack_power_kw

ACME = Path(__file__).parent / "acme_2023_gpu_power.csv"
A100_TDP_W = 400.0
NEAR_IDLE = 0.2
"""GPU power over TDP below which a GPU does next to nothing."""
QUANTILES = (10, 25, 50, 75, 90)
TRAYS, TRAY_IDLE_KW, TRAY_FULL_KW, SWITCHES_KW, REST_KW = 18, 1.0, 6.667, 9 * 0.5, 3.0
"""NVIDIA's registry of a GB200 tray; nine switch trays and fans of an idle rack after the design basis."""


def acme() -> dict[str, Float64]:
    """Power of a GPU over its TDP at each percent of GPU time, by cluster."""
    frame = pl.read_csv(ACME, comment_prefix="#")
    return {name: frame[f"{name}_w"].to_numpy() / A100_TDP_W for name in ("kalos", "seren")}


def twin() -> tuple[Float64, Float64]:
    """Power of a GPU over its TDP in the week in January: values, rising, and percent of GPU time up to each."""
    scenario, run = kv.load("stargate-norway"), week("January")
    rack = scenario.rack_models["gb300_nvl72"]
    busy = run.tables["jobs"].group_by("demand").agg(pl.col("gpu_s_allocated").sum())
    site = run.site
    parts = [
        (
            rack.gpu_idle_w / rack.gpu_tdp_w,
            float(site["gpu_s_installed"].sum() - site["gpu_s_allocated"].sum()),
        )
    ]
    for name, gpu_s in busy.iter_rows():
        fraction = scenario.demand[name].rack_load_fraction
        load = load_for_power_fraction(rack.rack_idle_kw, rack.rack_tdp_kw, fraction)
        kw = rack_power_kw(rack.rack_idle_kw, rack.rack_tdp_kw, load, 72 * rack.gpu_tdp_w / 1000, 1.0)
        watts = gpu_power_w(kw, rack.rack_idle_kw, rack.rack_tdp_kw, rack.gpu_idle_w, rack.gpu_tdp_w)
        parts.append((watts / rack.gpu_tdp_w, float(gpu_s)))
    parts.sort()
    shares = np.array([share for share, _ in parts])
    return shares, 100 * np.cumsum([gpu_s for _, gpu_s in parts]) / sum(gpu_s for _, gpu_s in parts)


def _quantile(values: Float64, percent: Float64, asked: float) -> float:
    return float(values[min(int(np.searchsorted(percent, asked - 1e-9)), len(values) - 1)])


@cache
def section() -> Section:
    """Compare racks at full load and idle, and quantiles of GPU power."""
    models = kv.load("stargate-norway").rack_models
    full = {
        name: rack_power_kw(rack.rack_idle_kw, rack.rack_tdp_kw, 1.0, 72 * rack.gpu_tdp_w / 1000, 1.0)
        for name, rack in models.items()
    }
    idle = models["gb300_nvl72"].rack_idle_kw
    published = (
        ("GB200 (awesomeagents.ai)", 120.0, 120.0, full["gb200_nvl72"]),
        ("GB200, 18 trays of the registry", TRAYS * TRAY_FULL_KW, TRAYS * TRAY_FULL_KW, full["gb200_nvl72"]),
        ("GB300, operating (Supermicro)", 132.0, 140.0, full["gb300_nvl72"]),
        ("GB300 (Microsoft)", 136.0, 136.0, full["gb300_nvl72"]),
        ("GB300, 1-s peak", 142.0, 142.0, models["gb300_nvl72"].rack_peak_kw),
        ("Rubin, Max-Q to Max-P", 190.0, 230.0, full["rubin_nvl72"]),
    )
    clusters, (values, percent) = acme(), twin()
    quantiles = [_quantile(values, percent, q) for q in QUANTILES]
    steps = np.diff(np.concatenate(([0.0], percent))) / 100
    mean, near = float((values * steps).sum()), float(steps[values < NEAR_IDLE].sum())
    lows, highs = np.minimum(*clusters.values()), np.maximum(*clusters.values())
    means = [float(cluster.mean()) for cluster in clusters.values()]
    nears = [float((cluster < NEAR_IDLE).mean()) for cluster in clusters.values()]
    built = TRAYS * TRAY_IDLE_KW + SWITCHES_KW + REST_KW
    source = "Acme Kalos and Seren, A100, 2023"
    rows = (
        row(
            "rack_full", "rack at full load", "rack_power_kw", "published rack figures", f"{len(published)} figures", "kW",
            [p[3] for p in published], [p[1] for p in published],
            "132 kW is the lower end of what is said of a GB300; Microsoft's 136 kW is 3 % more", high=[p[2] for p in published], places=1,
        ),
        row(
            "rack_idle", "GB300 rack without a job", "rack_power_kw", "registry of GB200 trays plus switches and fans", "1 point", "kW",
            rack_power_kw(idle, 132.0, 0.0, 100.8, 1.0), built, "within the design basis's 25 to 28 kW; nobody publishes one for a GB300", places=1,
        ),
        row(
            "gpu_quantiles", "GPU power over TDP, quantiles 10 to 90 %", "simulate, gpu_power_w", source, f"{len(QUANTILES)} quantiles", "% of TDP",
            100 * np.array(quantiles), 100 * lows[list(QUANTILES)],
            "half of the time Acme's GPUs draw a quarter of TDP or less, and reach or pass TDP when they compute; ours are 85 % allocated and held at a mean per class",
            high=100 * highs[list(QUANTILES)], places=0,
        ),
        row(
            "gpu_near_idle", "GPU time below 20 % of TDP", "simulate, gpu_power_w", source, "1 figure", "% of time", 100 * near, 100 * min(nears),
            "Acme's share counts allocated GPUs that wait too; ours only those that nobody holds", high=100 * max(nears), places=0,
        ),
        row(
            "gpu_mean", "mean GPU power over TDP", "simulate, gpu_power_w", source, "1 figure", "% of TDP", 100 * mean, 100 * min(means),
            "as above: the default demand is a contracted site that is nearly full, Acme was a development cluster", high=100 * max(means), places=0,
        ),
    )  # fmt: skip
    stairs_x, stairs_y = np.repeat(100 * values, 2), np.concatenate(([0.0], np.repeat(percent, 2)[:-1]))
    over = list(range(101))
    figure = Figure(
        "rack",
        "Published rack power beside ours; cumulative distribution of GPU power over TDP in our twin and in two clusters.",
        (
            Spans("Power of a rack at full load", "kW", [Span(*p) for p in published]),
            Panel(
                "Power of GPUs over time", "GPU power over TDP [%]", "share of GPU time up to it [%]",
                (
                    Series("twin, January", list(stairs_x), list(stairs_y)),
                    Series("Kalos", list(100 * clusters["kalos"]), over, "reference", dashed=True),
                    Series("Seren", list(100 * clusters["seren"]), over, "third", dashed=True),
                ),
                zero=True,
            ),
        ),
    )  # fmt: skip
    january = week("January").tables["racks"]["mean_kw"].mean()
    floor = [float(cluster[5]) for cluster in clusters.values()]
    text = (
        "The idle end fits: an A100 draws "
        f"{short(100 * min(floor))} % of its TDP with nothing to do, our GPU {100 * values[0]:.0f} %. Between the ends the two differ in kind. "
        f"Acme's median is {short(100 * lows[50])} to {short(100 * highs[50])} % of TDP, ours {100 * quantiles[2]:.0f} %: queues with research "
        "jobs, debugging and evaluation against a site sold under contract with 85 % of its GPUs allocated; and each of our jobs draws the "
        "mean of its class all the time, so our distribution is a staircase where a measured one is smooth. At the 90 % quantile Acme is at "
        f"{short(100 * lows[90])} to {short(100 * highs[90])} % of TDP, ours at {100 * quantiles[4]:.0f} %: within a training step our GPUs, too, "
        "swing up to their peak, but only a [transient](transients.md) resolves that. A year of the twin at Acme's mean would draw "
        f"{short(100 * (1 - max(means) / mean))} % less GPU power; the mean rack of the week draws {january:.0f} kW. "
        "[The quantiles](fidelity/acme_2023_gpu_power.csv) are from InternLM/AcmeTrace (CC-BY-4.0)."
    )
    return Section(rows, figure, text)
