"""Indicators of ISO/IEC 30134 and EN 50600-4, by category of measuring point."""

from __future__ import annotations

from kvandal.ledger.forms.lines import HAND_OVER, METER, RACKS, Line, Source, missing


def en50600_lines(source: Source) -> list[Line]:
    """All indicators, those that are not known too."""
    summary, site, hours = source.summary, source.tables["site"], source.hours()
    it_mwh, site_mwh = summary["it_energy_mwh"], summary["site_energy_mwh"]
    busway_mwh = float(site["busway_loss_mw"].sum()) * hours
    at_ups = site_mwh / (it_mwh + busway_mwh) if it_mwh > 0 else None
    reused = summary["heat_exported_mwh"]
    ere = (site_mwh - reused) / it_mwh if it_mwh > 0 else None

    def line(standard: str, code: str, name: str, value: float | None, unit: str, at: str, how: str) -> Line:
        return Line(standard, code, name, value, unit, "derived" if value is not None else "missing", at, how)

    return [
        line("30134-2, 50600-4-2", "PUE1", "Power usage effectiveness, category 1", at_ups, "1", "output of the UPS", "E_DC over IT energy and busway losses"),
        line("30134-2, 50600-4-2", "PUE2", "Category 2", summary["pue"], "1", "output of the busway", "the busway ends at the rack: equal to category 3"),
        line("30134-2, 50600-4-2", "PUE3", "Category 3", summary["pue"], "1", RACKS, "E_DC / E_IT"),
        line("30134-3, 50600-4-3", "REF", "Renewable energy factor", summary["ref"], "1", METER, "contracts with guarantees, guarantees cancelled and HVO over E_DC"),
        missing("30134-4, 50600-4-4", "ITEEsv", "IT equipment energy efficiency of servers", "", "needs a benchmark of peak performance of each server model"),
        line("30134-5, 50600-4-5", "ITEUsv", "IT equipment utilisation of servers (GPU variant)", summary["allocation_share"], "1", "scheduler", "GPU-seconds allocated over installed; not CPU time"),
        line("30134-6, 50600-4-6", "ERF", "Energy reuse factor", summary["erf"], "1", HAND_OVER, "heat exported over E_DC"),
        line("30134-7, 50600-4-7", "CER", "Cooling efficiency ratio", summary["cer"], "1", "coolant loops and their pumps and fans", "heat of IT over energy of cooling"),
        line("30134-8, 50600-4-8", "CUE", "Carbon usage effectiveness, location-based, direct", summary["cue_kg_per_kwh"], "kg/kWh", METER, "carbon_location_direct_t / E_IT"),
        line("30134-9, 50600-4-9", "WUE1", "Water usage effectiveness, category 1", summary["wue_l_per_kwh"], "L/kWh", "make-up water of the pads", "water evaporated over E_IT"),
        missing("30134-9, 50600-4-9", "WUE2", "Water usage effectiveness, category 2", "L/kWh", "water behind the purchased electricity is not simulated"),
        line("The Green Grid", "ERE", "Energy reuse effectiveness", ere, "1", METER, "(E_DC - E_REUSE) / E_IT"),
    ]  # fmt: skip
