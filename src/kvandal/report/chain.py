"""What comes on top of the IT load, from the racks to the meter; the battery."""

from __future__ import annotations

import numpy as np

from kvandal.report.chart import Figure, Line, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.grid import Floats
from kvandal.report.text import amount
from kvandal.report.ticks import Site

PARTS = (
    ("HV transformers", "hv", "hv_loss_mw"),
    ("Power blocks (MV transformer, UPS)", "blocks", "block_loss_mw"),
    ("Busways", "busway", "busway_loss_mw"),
    ("CDU pumps", "cdu-pump", "cdu_pump_mw"),
    ("Facility-water pumps", "fws-pump", "fws_pump_mw"),
    ("Heat rejection", "rejection", "rejection_mw"),
    ("Fan walls", "fan-wall", "fan_wall_mw"),
    ("Miscellaneous", "misc", "misc_mw"),
)


def overhead_figure(site: Site) -> Figure:
    """Draw losses and cooling part by part, with the PUE."""
    grid, series, totals = site.grid, site.series, site.totals
    lines = [Line(name, role, series[column]) for name, role, column in PARTS]
    lines.append(Line("PUE", "envelope", _pue(series["site_power_mw"], series["it_power_mw"]), "thin", 1))
    caption = (
        f"Cooling took {amount(totals['cooling_mw'] / 1000, 'GWh')}, losses {amount(totals['losses_mw'] / 1000, 'GWh')} "
        f"and the rest {amount(totals['misc_mw'] / 1000, 'GWh')}. The line is the PUE of each step, on the right axis; a battery that "
        f"charges lifts it. {str(grid).capitalize()} means."
    )
    return Figure(
        "overhead",
        "What comes on top of the IT load",
        caption,
        over_time(grid, lines, ["MW", "PUE"], decimals=(3, 4), from_zero=(True, False)),
        period_table(grid, lines, ["MW", "1"], (2, 4)),
    )


def _pue(site_mw: Floats, it_mw: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(it_mw > 0, site_mw / it_mw, np.nan)


def battery_figures(folder: RunFolder, site: Site) -> list[Figure]:
    """Draw what the battery gave and took; nothing if there is none."""
    size_mwh = folder.scenario.get("power", {}).get("bess_energy_mwh")
    if not site.totals["battery_loss_mw"] and not np.nansum(site.series["battery_mwh"]):
        return []
    grid, series = site.grid, site.series
    lines = [
        Line("Delivered, less what it took", "it", series["battery_mw"], "line"),
        Line("Energy stored", "useful", series["battery_mwh"], "thin", 1),
    ]
    summary = folder.summary
    caption = (
        f"Above zero the battery helps the site stay below its limit, below zero it charges or stands by. It gave "
        f"{amount(summary.get('battery_throughput_mwh'), 'MWh')} and lost {amount(summary.get('battery_losses_mwh'), 'MWh')} on the way "
        f"and in standby; it holds up to {amount(size_mwh, 'MWh')}. {str(grid).capitalize()} means."
    )
    return [
        Figure(
            "battery",
            "Battery",
            caption,
            over_time(grid, lines, ["MW", "MWh"], decimals=(3, 3)),
            period_table(grid, lines, ["MW", "MWh"], (3, 2)),
        )
    ]
