"""Indicators of ISO/IEC 30134 and EN 50600-4, by category of measuring point."""

from __future__ import annotations

from kvandal.ledger.forms.lines import (
    HAND_OVER,
    METER,
    RACKS,
    UPS,
    Line,
    Source,
    missing,
    worked_out,
)
from kvandal.ledger.indicators import ratio

PUE, REF = "Power usage effectiveness (30134-2, 50600-4-2)", "Renewable energy factor (30134-3, 50600-4-3)"
SERVERS = "Servers (30134-4 and -5, 50600-4-4 and -5)"
ERF, CER = "Energy reuse factor (30134-6, 50600-4-6)", "Cooling efficiency ratio (30134-7, 50600-4-7)"
CUE = "Carbon usage effectiveness (30134-8, 50600-4-8)"
WUE = "Water usage effectiveness (30134-9, 50600-4-9)"
GREEN_GRID = "The Green Grid"
PADS = "make-up water of the dry coolers' pads"
NO_TEXT = "what the standard's categories count was not to be verified; the carbon on its bases is above"


def en50600_lines(source: Source) -> list[Line]:
    """All indicators, those that are not known too."""
    return [
        *_energy(source),
        *_servers(source),
        *_heat_and_cooling(source),
        *_carbon(source),
        *_water(source),
    ]


def _energy(source: Source) -> list[Line]:
    summary, ups = source.summary, source.ups_output_mwh()
    it_mwh, site_mwh = summary["it_energy_mwh"], summary["site_energy_mwh"]
    first = (
        missing(PUE, "PUE1", "Category 1", "1", "the site has no UPS", "category 1")
        if ups is None
        else worked_out(PUE, "PUE1", "Category 1", ratio(site_mwh, ups), "1", UPS, "E_DC over IT energy and busway losses", "category 1")
    )  # fmt: skip
    return [
        first,
        worked_out(PUE, "PUE2", "Category 2", ratio(site_mwh, it_mwh), "1", "output of the busways, which stand in for PDUs", "a busway ends at the rack: equal to category 3", "category 2"),
        worked_out(PUE, "PUE3", "Category 3", ratio(site_mwh, it_mwh), "1", RACKS, "E_DC over IT energy; power shelves and fans of the racks are IT", "category 3"),
        worked_out(REF, "REF", "Renewable energy factor", summary["ref"], "1", METER, "contracts with guarantees, guarantees cancelled and generators on HVO over E_DC"),
    ]  # fmt: skip


def _servers(source: Source) -> list[Line]:
    share = source.summary["allocation_share"]
    return [
        missing(SERVERS, "ITEEsv", "IT equipment energy efficiency for servers", "", "needs a benchmark of peak performance over peak power of each server model"),
        missing(SERVERS, "ITEUsv", "IT equipment utilisation for servers", "1", "utilisation of CPUs is not simulated"),
        worked_out(SERVERS, "GPU share", "GPUs in use, not an indicator of the standard", share, "1", "scheduler", "GPU-seconds allocated over installed"),
    ]  # fmt: skip


def _heat_and_cooling(source: Source) -> list[Line]:
    summary = source.summary
    it_mwh, site_mwh, reused = (
        summary[key] for key in ("it_energy_mwh", "site_energy_mwh", "heat_exported_mwh")
    )
    return [
        worked_out(ERF, "ERF", "Energy reuse factor", summary["erf"], "1", HAND_OVER, "heat exported over E_DC"),
        worked_out(CER, "CER", "Cooling efficiency ratio", summary["cer"], "1", "CDU, facility-water, dry-cooler and fan-wall meters", "energy of IT, all of which becomes heat, over energy of pumps and fans"),
        worked_out(GREEN_GRID, "ERE", "Energy reuse effectiveness", ratio(site_mwh - reused, it_mwh), "1", METER, "(E_DC - E_REUSE) / E_IT, IT at the input of the racks"),
    ]  # fmt: skip


def _carbon(source: Source) -> list[Line]:
    it_mwh = source.summary["it_energy_mwh"]
    bases = (
        ("CUE location direct", "Location-based, direct emissions", "carbon_location_direct_t"),
        ("CUE location life cycle", "Location-based, life cycle", "carbon_location_lifecycle_t"),
        ("CUE market direct", "Market-based, direct emissions", "carbon_market_direct_t"),
        ("CUE market life cycle", "Market-based, life cycle", "carbon_market_lifecycle_t"),
    )
    return [
        *(
            worked_out(CUE, code, name, ratio(source.total_mwh(column), it_mwh), "kg/kWh", METER, f"{column} over IT energy at the input of the racks; refrigerants are not in it")
            for code, name, column in bases
        ),
        *(missing(CUE, f"CUE{number}", f"Category {number}", "kg/kWh", NO_TEXT, f"category {number}") for number in (1, 2, 3)),
    ]  # fmt: skip


def _water(source: Source) -> list[Line]:
    litres, it_kwh = float(source.tables["site"]["water_l"].sum()), source.summary["it_energy_mwh"] * 1000
    fraction = source.scenario.registration.potable_water_fraction
    potable = None if fraction is None else litres * fraction
    return [
        worked_out(WUE, "WUE1", "Category 1", ratio(potable, it_kwh), "L/kWh", PADS, "drinking water (registration.potable_water_fraction) over IT energy at the input of the racks", "category 1"),
        worked_out(WUE, "WUE2", "Category 2", ratio(litres, it_kwh), "L/kWh", PADS, "all water of the pads, none of which comes back, over IT energy at the input of the racks", "category 2"),
        missing(WUE, "WUE3", "Category 3", "L/kWh", "what the standard's third category counts was not to be verified", "category 3"),
        missing(GREEN_GRID, "WUE source", "Water usage effectiveness at the source", "L/kWh", "water behind the purchased electricity is not simulated"),
    ]  # fmt: skip
