"""PUE: its parts at full load, at part load, over two weeks of the twin, and beside published Nordic sites."""

from __future__ import annotations

from functools import cache

from fidelity.figure import Figure, Panel, Series, Span, Spans
from fidelity.plant import Plant, week
from fidelity.row import Section, row

PRINTED = {
    "electrical": (0.031, 0.031),
    "CDU pumps": (0.009, 0.009),
    "facility pumps": (0.008, 0.008),
    "dry coolers": (0.004, 0.020),
    "air side": (0.007, 0.007),
    "building": (0.008, 0.008),
}
"""The build-up of the design basis at full load with eco-mode UPS, parts over IT power."""
SITES = (
    ("Lefdal (fjord water)", 1.08, 1.15),
    ("Glomfjord, advertised", 1.05, 1.20),
    ("Nordic liquid-cooled sites", 1.03, 1.15),
)
DESIGN_DAY_C = 28.0


@cache
def section() -> Section:
    """Compare parts, sums and sites."""
    none, eco, double = (Plant(power__ups_mode=mode) for mode in ("none", "eco", "double"))
    parts = eco.settle(1.0, 10.0)
    winter, summer = eco.settle(1.0, -5.0)["PUE"], eco.settle(1.0, 26.0)["PUE"]
    cold, hot = none.settle(1.0, -10.0)["PUE"], double.settle(1.0, DESIGN_DAY_C)["PUE"]
    full, part = eco.settle(1.0, 5.0)["PUE"], eco.settle(0.3, 5.0)["PUE"]
    weeks = {name: float(week(name).summary["pue"]) for name in ("January", "July")}
    mean = sum(weeks.values()) / 2
    names = list(PRINTED)
    rows = (
        row(
            "pue_parts", "PUE, parts at full load, eco-mode UPS, 10 °C", "plant_tick", "build-up of the design basis", f"{len(names)} parts",
            "of IT", [parts[name] for name in names], [PRINTED[name][0] for name in names],
            "largest at the dry coolers: at 10 °C our fans turn slowly and draw with the cube of it, the build-up never goes below 0.004",
            high=[PRINTED[name][1] for name in names], places=4,
        ),
        row(
            "pue_winter", "PUE, full load, no UPS, -10 °C", "plant_tick", "1.055 (build-up)", "1 point", "", cold, 1.055,
            "fans at their least airflow draw next to nothing (build-up 0.004), losses follow the real load of redundant units (build-up: full-load constants)", places=3,
        ),
        row(
            "pue_eco", "PUE, full load, eco mode, -5 and 26 °C", "plant_tick", "1.067 to 1.083 (build-up)", "2 points", "",
            [winter, summer], [1.067, 1.067], "as above", high=[1.083, 1.083], places=3,
        ),
        row(
            "pue_design_day", "PUE, full load, double conversion, 28 °C", "plant_tick", "1.106 (build-up)", "1 point", "", hot, 1.106,
            "as above", places=3,
        ),
        row(
            "pue_part_load", "PUE at 30 % over PUE at full load, 5 °C", "plant_tick", "+0.03 to +0.06 (design basis, judgement)", "1 point", "",
            part - full, 0.03, "our pumps and fans follow the load; what stays is building and idle losses, and no more is known of real sites at 30 %",
            high=0.06, places=3,
        ),
        row(
            "pue_weeks", "PUE of a week in January and in July", "simulate", "annual 1.08 (1.05 to 1.15)", "2 weeks of the default site", "",
            list(weeks.values()), [1.05, 1.05], "a cold coast, eco-mode UPS, no chillers", high=[1.15, 1.15], places=3,
        ),
        row(
            "pue_sites", "PUE, mean of the two weeks", "simulate", "published Nordic sites: " + "; ".join(f"{n} {a:g} to {b:g}" for n, a, b in SITES),
            f"{len(SITES)} sites", "", [mean] * len(SITES), [site[1] for site in SITES],
            "Lefdal pumps fjord water and is not a hall of NVL72 racks; all three are the operators' figures", high=[site[2] for site in SITES], places=3,
        ),
    )  # fmt: skip
    loads = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    spans = [Span(name, *PRINTED[name], parts[name]) for name in names]
    figure = Figure(
        "pue",
        "Parts of the PUE at full load beside the build-up of the design basis; PUE over IT load at three temperatures.",
        (
            Spans("Parts of the PUE, full load, eco-mode UPS, 10 °C", "power over IT power", spans),
            Panel(
                "PUE over load, eco-mode UPS", "power of every rack over TDP [%]", "PUE",
                tuple(
                    Series(f"{ambient:.0f} °C", [100 * load for load in loads], [eco.settle(load, ambient)["PUE"] for load in loads], role)
                    for ambient, role in ((-10.0, "ours"), (10.0, "third"), (26.0, "second"))
                ),
                band=(1.067, 1.083),
            ),
        ),
    )  # fmt: skip
    lowest = min(weeks.values())
    text = (
        "The build-up of the design basis adds design figures; our plant runs a hundred racks through an hour at one load and weather. "
        f"At full load and 10 °C the parts add to {parts['PUE']:.3f}; the two weeks of the whole site give {weeks['January']:.3f} (January) "
        f"and {weeks['July']:.3f} (July). That is the lower end of what Nordic sites publish"
        + (" and below Lefdal" if mean < SITES[0][1] else "")
        + ". Published figures are annual, rarely say what they include, and none is of "
        "a site of this size; who wants to be careful takes Lefdal's lower end, 1.08. The shaded band in the figure is the design basis's for full load."
        + ("" if lowest >= 1.05 else " **The weeks lie below the design basis's range.**")
    )
    return Section(rows, figure, text)
