"""Information, key figures and indicators of Commission Delegated Regulation (EU) 2024/1364, annexes I to IV.

Order, symbols and units are those of the text in the Official Journal (L, 2024/1364, 17.5.2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from kvandal.ledger.forms.lines import (
    HAND_OVER,
    METER,
    RACKS,
    UPS,
    Line,
    Source,
    given,
    missing,
    worked_out,
)
from kvandal.ledger.indicators import ratio
from kvandal.twin.setpoints import hourly_setpoints
from kvandal.twin.site import build_site

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario

SCOPE = "Scope and period"
CENTRE, OPERATION = "Annex I, 1: the data centre", "Annex I, 2: its operation"
ENERGY, CAPACITY, TRAFFIC = (
    "Annex II, 1: energy and sustainability",
    "Annex II, 2: ICT capacity",
    "Annex II, 3: data traffic",
)
INDICATORS = "Annex III: indicators"
LIMIT_KW = 500.0
SIZES_KW = ((500.0, "very small"), (1000.0, "small"), (2000.0, "medium size"), (10_000.0, "large"))
DEGREE_DAY_LIMIT_C, DEGREE_DAY_BASE_C = 24.0, 21.0
PADS = "make-up water of the dry coolers' pads"


def cooling_degree_days(daily_mean_c: pl.Series) -> float:
    """Cooling degree days as Eurostat counts them: mean less 21 °C on days whose mean is 24 °C or more.

    >>> cooling_degree_days(pl.Series([20.0, 24.0, 23.9, 30.0]))
    12.0
    """
    return float((daily_mean_c - DEGREE_DAY_BASE_C).filter(daily_mean_c >= DEGREE_DAY_LIMIT_C).sum())


def size_category(installed_kw: float) -> str:
    """Size of a data centre as annex IV has it; a limit belongs to the smaller size.

    >>> size_category(750.0), size_category(2000.0), size_category(10_001.0)
    ('small', 'medium size', 'very large')
    """
    return next((name for limit, name in SIZES_KW if installed_kw <= limit), "very large")


def installed_kw(scenario: Scenario) -> float:
    """Nominal power of racks, network and storage, weighted by the time for which it stood in the period [kW]."""
    arrays = build_site(scenario)
    rack_kw = arrays.tdp_kw[arrays.model] + arrays.net_kw
    standing = 1.0 - np.asarray(arrays.delivered_s, np.float64) / (scenario.run.days * 86_400)
    return float((rack_kw * np.clip(standing, 0.0, 1.0)).sum())


def eed_lines(source: Source) -> list[Line]:
    """All lines of the report, in the order of the annexes."""
    energy = _energy(source)
    return [
        *_scope(source),
        *_centre(source),
        *_operation(source),
        *energy,
        *_capacity_and_traffic(source),
        *_indicators({line.code: line.value for line in energy}),
    ]


def _scope(source: Source) -> list[Line]:
    installed, record = installed_kw(source.scenario), source.record
    asked = "must report" if installed >= LIMIT_KW else "need not report"
    return [
        Line(SCOPE, "scope", "Whether the regulation asks it to report", asked, "", "derived", RACKS, f"from {LIMIT_KW:g} kW of installed IT power on, in the Union", "Article 1"),
        Line(SCOPE, "period", "Period", f"{record['start_utc']} to {record['end_utc']}", "", "given", "", f"{record['days']} days; the regulation asks for a calendar year, or for the part of it since the start of operation", "Article 3"),
        Line(SCOPE, "size", "Size category in the public database", size_category(installed), "", "derived", RACKS, "by installed IT power", "Annex IV"),
    ]  # fmt: skip


def _centre(source: Source) -> list[Line]:
    known, site = source.scenario.registration, source.scenario.site
    start = known.commissioned_utc
    month = f"{start.year:04d}-{start.month:02d}" if start else None
    kind = None
    if known.centre_type is not None and known.centre_structure is not None:
        kind = f"{known.centre_type} data centre, {known.centre_structure}"
    return [
        given(CENTRE, "name", "Name of the data centre", site.title, point="Annex I, 1(a)", key="site.title"),
        given(CENTRE, "owner", "Owner", ", ".join(site.owners) or None, point="Annex I, 1(b)", key="site.owners"),
        given(CENTRE, "owner contact", "Contact details of the owner", known.owner_contact, point="Annex I, 1(b)"),
        given(CENTRE, "operator", "Operator", known.operator, point="Annex I, 1(b)"),
        given(CENTRE, "operator contact", "Contact details of the operator", known.contact, point="Annex I, 1(b)"),
        given(CENTRE, "location", "Location: code of the local administrative unit (LAU)", known.lau_code, point="Annex I, 1(c)"),
        given(CENTRE, "type", "Type: enterprise, colocation or co-hosting; a structure or a group of structures", kind, point="Annex I, 1(d)", key="registration.centre_type and centre_structure"),
        given(CENTRE, "also offers", "Colocation or co-hosting offered beside it", known.also_offers, point="Annex I, 1(d)"),
        given(CENTRE, "start", "Year and month of entry into operation", month, point="Annex I, 1(e)"),
    ]  # fmt: skip


def _operation(source: Source) -> list[Line]:
    known, power, cooling = (
        source.scenario.registration,
        source.scenario.power,
        source.scenario.cooling,
    )
    spare = power.blocks_per_group - power.blocks_needed
    pods = f"CDUs {_redundancy(cooling.cdus_per_pod, cooling.spare_cdus_per_pod)}"
    rooms = f"{pods}, dry-cooler banks {_redundancy(cooling.banks_per_hall, cooling.spare_banks_per_hall)}"

    def line(code: str, name: str, told: str | None, built: str | None, why: str, point: str) -> Line:
        if told is not None or built is None:
            return given(OPERATION, code, name, told, point=point)
        return Line(OPERATION, code, name, built, "", "derived", "", why, point)

    high = "redundancy electrical, high voltage"
    low = "redundancy electrical, low voltage"
    return [
        line(high, "Electrical redundancy at high voltage", known.redundancy_high_voltage, _redundancy(power.hv_transformers - 1, 1), f"{power.hv_transformers} HV transformers carry the site with one out; of the lines to the site nothing is known", "Annex I, 2(a)"),
        line(low, "Electrical redundancy at low voltage (line-up)", known.redundancy_low_voltage, _redundancy(power.blocks_needed, spare), f"{power.blocks_needed} of {power.blocks_per_group} power blocks carry a group of rows", "Annex I, 2(a)"),
        line("redundancy electrical, rack", "Electrical redundancy at the rack", known.redundancy_rack, None, "", "Annex I, 2(a)"),
        line("redundancy cooling, room", "Redundancy of cooling at the room", known.redundancy_cooling_room, rooms, "duty and spare units of cooling", "Annex I, 2(b)"),
        line("redundancy cooling, rack", "Redundancy of cooling at the rack", known.redundancy_cooling_rack, None, "", "Annex I, 2(b)"),
    ]  # fmt: skip


def _redundancy(needed: int, spare: int) -> str:
    """Write a redundancy over the baseline N.

    >>> _redundancy(3, 0), _redundancy(3, 1), _redundancy(2, 2)
    ('N', 'N+1', '2N')
    """
    if spare == 0:
        return "N"
    return "2N" if spare == needed else f"N+{spare}"


def _energy(source: Source) -> list[Line]:
    return [*_power_and_floor(source), *_grid(source), *_water_and_heat(source), *_renewables(source)]


def _power_and_floor(source: Source) -> list[Line]:
    known, summary = source.scenario.registration, source.summary
    ups = source.ups_output_mwh()
    it_mwh, at, how = (
        (ups, UPS, "PUE category 1: sum of it_power_mw and busway_loss_mw over all ticks")
        if ups is not None
        else (summary["it_energy_mwh"], "output of the busways", "no UPS: PUE category 2, sum of it_power_mw")
    )
    return [
        Line(ENERGY, "PD_IT", "Installed IT power demand", installed_kw(source.scenario), "kW", "derived", RACKS, "installed, not rated, power: rack TDP, network and storage, weighted by the time for which each rack stood", "Annex II, 1(a)"),
        given(ENERGY, "S_DC", "Total floor area of the data centre", known.floor_area_m2, "m²", "Annex II, 1(b)"),
        given(ENERGY, "S_CR", "Floor area of the computer rooms", known.computer_room_area_m2, "m²", "Annex II, 1(c)"),
        Line(ENERGY, "E_DC", "Total energy consumption", summary["site_energy_mwh"] * 1000, "kWh", "simulated", METER, "sum of site_power_mw over all ticks, energy of the generators included; the customers' heat pumps have meters of their own", "Annex II, 1(d)"),
        Line(ENERGY, "E_DC-BG", "Of it from back-up generators", source.total_mwh("generator_mwh") * 1000, "kWh", "simulated", "generators' busbar", "test runs: sum of generator_mwh", "Annex II, 1(d)"),
        Line(ENERGY, "E_IT", "Total energy consumption of IT equipment", it_mwh * 1000, "kWh", "simulated", at, how, "Annex II, 1(e)"),
    ]  # fmt: skip


def _grid(source: Source) -> list[Line]:
    supply = source.scenario.supply
    functions = [*supply.reserves, *(["consumption on call"] if supply.conditional_mw > 0 else [])]
    offered = source.tables["reserves"].group_by("time_utc").agg(pl.col("offered_mw").sum())
    offered_kw = float(offered["offered_mw"].sum()) / (source.record["days"] * 24) * 1000
    return [
        Line(ENERGY, "grid functions", "Electrical grid functions", ", ".join(functions) or "none", "", "given", METER, "reserves sold (supply.reserves) and a connection that may be called off (supply.conditional_mw)", "Annex II, 1(f)"),
        Line(ENERGY, "C_BtG", "Average battery capacity offered to the grid", offered_kw, "kW", "simulated", "terminals of the battery", "mean over all hours of offered_mw, all products together; the battery stands behind every offer", "Annex II, 1(g)"),
    ]  # fmt: skip


def _water_and_heat(source: Source) -> list[Line]:
    known, site = source.scenario.registration, source.tables["site"]
    water_m3 = float(site["water_l"].sum()) / 1000
    potable = None if known.potable_water_fraction is None else known.potable_water_fraction * water_m3
    daily = site.group_by_dynamic("time_utc", every="1d").agg(pl.col("ambient_c").mean())["ambient_c"]
    air_c = float(np.mean(hourly_setpoints(source.scenario)[1]))
    return [
        Line(ENERGY, "W_IN", "Total water input", water_m3, "m³", "simulated", PADS, "WUE category 2: sum of water_l; filling of the loops and sanitary water are not simulated", "Annex II, 1(h)"),
        worked_out(ENERGY, "W_IN-POT", "Total potable water input", potable, "m³", PADS, "W_IN times registration.potable_water_fraction", "Annex II, 1(i)"),
        Line(ENERGY, "E_REUSE", "Waste heat reused", source.summary["heat_exported_mwh"] * 1000, "kWh", "simulated", HAND_OVER, "sum of heat_export_mw over all ticks; none of it cools the data centre", "Annex II, 1(j)"),
        worked_out(ENERGY, "T_WH", "Average waste heat temperature", source.site_mean("fws_return_c"), "°C", "facility water where it enters the heat exchangers", "mean over time of fws_return_c", "Annex II, 1(k)"),
        Line(ENERGY, "T_IN", "Average set-point of the intake air of IT equipment", air_c, "°C", "given", "hall air", "cooling.hall_air_c and its schedule, mean over time; most heat goes into the water, whose set-point is cooling.tcs_supply_c", "Annex II, 1(l)"),
        given(ENERGY, "refrigerants", "Types of refrigerants", known.refrigerants, point="Annex II, 1(m)"),
        Line(ENERGY, "CDD", "Cooling degree days", cooling_degree_days(daily), "K·d", "simulated", "outdoor air", "Eurostat: base 21 °C, days from 24 °C on, daily means of the run's weather; the regulation asks for open sources of the year itself", "Annex II, 1(n)"),
    ]  # fmt: skip


def _renewables(source: Source) -> list[Line]:
    goo, ppa, own = (source.total_mwh(name) * 1000 for name in ("goo_mwh", "ppa_clean_mwh", "generator_mwh"))
    return [
        Line(ENERGY, "E_RES-TOT", "Total renewable energy consumption", goo + ppa + own, "kWh", "simulated", METER, "sum of the next three", "Annex II, 1(o)"),
        Line(ENERGY, "E_RES-GOO", "Of it from guarantees of origin", goo, "kWh", "simulated", "registry of guarantees", "guarantees bought and cancelled (goo_mwh), none of them from the contracts below", "Annex II, 1(p)"),
        Line(ENERGY, "E_RES-PPA", "Of it from power purchasing agreements", ppa, "kWh", "simulated", METER, "delivered and used, with their guarantees (ppa_clean_mwh)", "Annex II, 1(q)"),
        Line(ENERGY, "E_RES-OS", "Of it from on-site renewables", own, "kWh", "simulated", "generators' busbar", "generators on HVO, a fuel from biomass; needs the fuel's proof of sustainability", "Annex II, 1(r)"),
    ]  # fmt: skip


def _capacity_and_traffic(source: Source) -> list[Line]:
    known = source.scenario.registration
    rows: tuple[tuple[str, str, str, Any, str, str, str], ...] = (
        (CAPACITY, "C_SERV", "ICT capacity for servers (SERT active-state performance)", known.server_score, "", "no SERT rating of the servers is known", "Annex II, 2(a)"),
        (CAPACITY, "C_STOR", "ICT capacity for storage equipment", known.storage_pb, "PB", "storage is a constant power per GPU, its capacity is not known", "Annex II, 2(b)"),
        (CAPACITY, "coverage", "Part of the computer rooms' floor that these cover", known.capacity_floor_fraction, "1", "not given in [registration]", "Annex II, 2"),
        (TRAFFIC, "B_IN", "Incoming traffic bandwidth", known.bandwidth_in_gb_per_s, "GB/s", "data traffic is not simulated", "Annex II, 3(a)"),
        (TRAFFIC, "B_OUT", "Outgoing traffic bandwidth", known.bandwidth_out_gb_per_s, "GB/s", "data traffic is not simulated", "Annex II, 3(b)"),
        (TRAFFIC, "T_IN data", "Incoming data traffic (symbol T_IN, as that of the intake air)", known.traffic_in_eb, "EB", "data traffic is not simulated", "Annex II, 3(c)"),
        (TRAFFIC, "T_OUT data", "Outgoing data traffic (symbol T_OUT)", known.traffic_out_eb, "EB", "data traffic is not simulated", "Annex II, 3(d)"),
    )  # fmt: skip
    return [
        missing(part, code, name, unit, why, point)
        if value is None
        else given(part, code, name, value, unit, point)
        for part, code, name, value, unit, why, point in rows
    ]


def _indicators(values: dict[str, Any]) -> list[Line]:
    """Ratios of the key figures above, as annex III forms them."""
    it_kwh, all_kwh = values["E_IT"], values["E_DC"]
    rows = (
        ("PUE", "Power usage effectiveness", ratio(all_kwh, it_kwh), "1", "E_DC / E_IT", "Annex III(a)"),
        ("WUE", "Water usage effectiveness", ratio(values["W_IN"], it_kwh / 1000), "m³/MWh", "W_IN / E_IT, E_IT in MWh", "Annex III(b)"),
        ("ERF", "Energy reuse factor", ratio(values["E_REUSE"], all_kwh), "1", "E_REUSE / E_DC", "Annex III(c)"),
        ("REF", "Renewable energy factor", ratio(values["E_RES-TOT"], all_kwh), "1", "E_RES-TOT / E_DC", "Annex III(d)"),
    )  # fmt: skip
    return [
        worked_out(INDICATORS, code, name, value, unit, "as of the key figures", how, point)
        for code, name, value, unit, how, point in rows
    ]
