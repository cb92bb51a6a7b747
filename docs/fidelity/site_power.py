"""Site power per GPU against the sites that were announced."""

from __future__ import annotations

from functools import cache

from fidelity.figure import Figure, Panel, Series, Span, Spans
from fidelity.plant import week
from fidelity.row import Section, row
from kvandal.physics.capacity import power_budget
from kvandal.scenario.parameters import value

SITES = (
    ("Narvik, 230 MW", 230.0, 100_000),
    ("Narvik, first half for Microsoft", 115.0, 52_000),
    ("Texas (Nscale for Microsoft)", 240.0, 104_000),
    ("Loughton, UK", 50.0, 23_000),
    ("UAE, first 200 MW", 200.0, 100_000),
    ("Abilene, Texas (GB200)", 1200.0, 450_000),
)
"""Announced MW and announced GPUs."""
GB200_SITES = {"Abilene, Texas (GB200)"}
"""All others are GB300."""


def needed_rack_kw(site_mw: float, gpus: int, pue: float, net_kw: float) -> float:
    """Rack power at which a fleet draws exactly what was announced [kW]."""
    return 72 * (1000 * site_mw / gpus / pue - net_kw)


@cache
def section() -> Section:
    """Compare the power budget with announcements, and the twin's weeks with the budget."""
    net, pue, rack = (
        value("net.net_storage_kw_per_gpu"),
        value("cooling.pue_design_day"),
        value("rack.rack_tdp_kw"),
    )
    ours = []
    for name, mw, gpus in SITES:
        kind = value("rack.gb200_rack_kw") if name in GB200_SITES else rack
        ours.append(1000 * power_budget(gpus, kind, net, pue, mw).site_power_mw / gpus)
    published = [1000 * mw / gpus for _, mw, gpus in SITES]
    racks = [needed_rack_kw(mw, gpus, pue, net) for _, mw, gpus in SITES]
    drawn = {}
    for name in ("January", "July"):
        site = week(name).site
        drawn[name] = (
            1000 * site["site_power_mw"].mean() / 100_000,
            1000 * site["site_power_mw"].max() / 100_000,
        )
    budget = ours[0]
    rows = (
        row(
            "kw_per_gpu", "site power per GPU at full load", "power_budget", "announced MW over announced GPUs", f"{len(SITES)} sites", "kW",
            ours, published,
            "announcements are round numbers and connections, not consumption; Abilene has far more power than its GPUs need", places=2,
        ),
        row(
            "kw_per_gpu_narvik", "the same, GB300 sites of the Nscale frame", "power_budget", "Narvik, Texas, Loughton", "4 sites", "kW",
            ours[:4], published[:4], "a connection has a reserve of about 5 %", places=2,
        ),
        row(
            "kw_per_gpu_weeks", "highest site power per GPU in two weeks of the twin", "simulate", "at most the announced 2.30 at Narvik",
            "2 weeks of the default site", "kW", [peak for _, peak in drawn.values()], [0.0, 0.0],
            "racks are not all at full load at once", high=[2.30, 2.30], places=2,
        ),
    )  # fmt: skip
    pues = [1.0 + 0.01 * i for i in range(31)]
    figure = Figure(
        "site-power",
        "Announced and modelled site power per GPU at six sites; rack power and PUE at which each announcement is met.",
        (
            Spans(
                "Site power per GPU", "kW per GPU",
                [Span(name, kw, kw, mine) for (name, _, _), kw, mine in zip(SITES, published, ours, strict=True)],
            ),
            Panel(
                "What would meet the announcement", "PUE", "rack power [kW]",
                (
                    Series("Narvik", pues, [needed_rack_kw(230.0, 100_000, p, net) for p in pues], "ours"),
                    Series("UAE", pues, [needed_rack_kw(200.0, 100_000, p, net) for p in pues], "third"),
                    Series("Abilene", pues, [needed_rack_kw(1200.0, 450_000, p, net) for p in pues], "second"),
                    Series("ours: 132 kW, 1.10", [pue], [rack], "reference", marks=True),
                ),
            ),
        ),
    )  # fmt: skip
    matches = "; ".join(f"{name} {kw:.0f} kW" for (name, _, _), kw in zip(SITES, racks, strict=True))
    text = (
        f"All-in we say {budget:.2f} kW per GPU: {rack:.0f} kW per rack of 72, {net:g} kW of network and storage per GPU, PUE {pue:g}. At the "
        f"same PUE and network the announcements correspond to these racks: {matches}. The UAE's 200 MW are met by racks of 132 kW only at a "
        f"PUE of {2.0 / (rack / 72 + net):.2f}, so they are IT power, or not every GPU runs at TDP at once. Abilene's 1.2 GW for GB200 racks "
        f"of 120 kW leaves {1200 - 450_000 * (120 / 72 + net) / 1000 * pue:.0f} MW for something else; what, is not published. In the twin's weeks "
        f"the site draws {drawn['January'][0]:.2f} (January) and {drawn['July'][0]:.2f} kW (July) per installed GPU on average."
    )
    return Section(rows, figure, text)
