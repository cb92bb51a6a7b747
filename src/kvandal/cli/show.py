"""`kvandal show`: a scenario's site and its power budget, or the summary of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli.options import (
    JsonOption,
    SetOption,
    days_of,
    emit,
    note,
    number,
    print_json,
    print_table,
    scenario_of,
)
from kvandal.errors import InputError

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario


def show(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO|RUN", help="A preset, a TOML file or a run folder; a preset goes first."
        ),
    ],
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a site and whether its GPUs fit its grid connection; or what a run came to."""
    from kvandal.scenario.loading import presets

    folder = _folder(source)
    if folder is not None and source in presets():
        note(f"kvandal: {source!r} is a preset and a folder; this is the preset, the folder is ./{source}")
    elif folder is not None:
        if changes:
            raise InputError("belongs to a scenario, but this is a run folder", file=source, key="--set")
        _show_run(folder, as_json=as_json)
        return
    from kvandal.runs.site import site_document

    scenario = scenario_of(source, changes)
    document = site_document(scenario)
    if as_json:
        print_json(document)
    else:
        _print_site(scenario, document)


def _folder(source: str) -> Path | None:
    try:
        return Path(source) if Path(source).is_dir() else None
    except (OSError, ValueError):
        return None


def _show_run(folder: Path, *, as_json: bool) -> None:
    from kvandal.runs.compare import flatten
    from kvandal.runs.folder import read_record

    record = read_record(folder)
    if as_json:
        print_json(record["summary"])
        return
    rows = [(key, number(value)) for key, value in flatten(record["summary"]).items()]
    print_table(
        f"{record['title']}: {days_of(record['days'])} from {record['start_utc']}, seed {record['seed']}",
        [("", ""), ("", "right")],
        rows,
    )


def _print_site(scenario: Scenario, document: dict[str, Any]) -> None:
    site, gpus = scenario.site, f"{document['gpus']:,} GPUs"
    emit(f"{site.title}  ({scenario.name})\n{scenario.description}\n")
    owners = ", ".join(f"{name} {share:.0%}" for name, share in site.owners.items() if share)
    place = f"latitude {site.latitude_deg:g}°, {site.elevation_m:g} m above the sea, {site.time_zone}"
    floor = f"{document['trays']:,} trays, {document['rows']:,} rows, {document['halls']:,} halls"
    rows = [
        ("GPUs", f"{document['gpus']:,}"),
        ("racks", f"{document['racks']:,} with {floor}"),
        ("place", place),
        ("grid connection", f"{site.grid_mw:g} MW"),
        ("power chain", f"132/33 kV, MV/LV, UPS {scenario.power.ups_mode}, busway"),
        (
            "cooling",
            f"{document['cdus']:,} CDU groups, TCS supply {scenario.cooling.tcs_supply_c:g} °C, dry coolers",
        ),
        ("heat customers", ", ".join(scenario.heat.customers) or "none"),
        ("off-taker, owners", f"{site.offtaker}; {owners}"),
    ]
    rows += [
        (f"from month {delivery.month}", f"{delivery.gpus:,} GPUs arrive") for delivery in site.build_out
    ]
    print_table("Site", [("", ""), ("", "")], rows)
    terms = " + ".join(f"{b['racks']:,} racks x {b['rack_tdp_kw']:g} kW" for b in document["blocks"])
    it_mw, site_mw = document["it_power_mw"], document["site_power_mw"]
    emit(
        f"\nDo {gpus} fit {site.grid_mw:g} MW?  {'yes' if document['fits'] else 'NO'}\n"
        f"  IT power    {terms} + {gpus} x {document['net_storage_kw_per_gpu']:g} kW network\n"
        f"              = {it_mw:.1f} MW\n"
        f"  site power  {it_mw:.1f} MW x design-day PUE {document['design_day_pue']:.2f} = {site_mw:.1f} MW, "
        f"headroom {document['headroom_mw']:.1f} MW\n"
        f"  it fits up to a PUE of {document['maximum_pue']:.3f}, or {document['maximum_gpus']:,} such GPUs at this PUE\n"
    )
    _print_cases(document)
    if scenario.tenants:
        emit("")
        _print_tenants(scenario)


def _print_cases(document: dict[str, Any]) -> None:
    grid_mw, cases = document["grid_mw"], document["cases"]
    columns = [("case", ""), ("rack kW", "right"), ("net kW/GPU", "right"), ("IT MW", "right")]
    columns += [(f"PUE {pue}", "right") for pue in cases[0]["site_power_mw_by_pue"]]
    print_table(
        f"The same {document['gpus']:,} GPUs under other assumptions (site MW; x does not fit {grid_mw:g} MW)",
        [*columns, ("max PUE", "right")],
        [
            (
                case["case"],
                f"{case['rack_kw']:g}",
                f"{case['net_kw_per_gpu']:g}",
                f"{case['it_power_mw']:.1f}",
                *(f"{mw:.1f}{' x' if mw > grid_mw else ''}" for mw in case["site_power_mw_by_pue"].values()),
                f"{case['maximum_pue']:.3f}",
            )
            for case in cases
        ],
    )


def _print_tenants(scenario: Scenario) -> None:
    print_table(
        "Tenants (shares of the installed GPUs)",
        [
            ("tenant", ""),
            ("tier", ""),
            ("region", ""),
            ("guarantee", "right"),
            ("deserved", "right"),
            ("ceiling", "right"),
            ("notice s", "right"),
            ("USD/GPU-h", "right"),
        ],
        [
            (
                name,
                tenant.tier,
                tenant.region,
                f"{tenant.guarantee_share:.1%}",
                f"{tenant.deserved_share:.1%}",
                f"{tenant.ceiling_share:.1%}",
                f"{tenant.notice_s:,}",
                f"{tenant.price_usd_per_gpu_hour:.2f}",
            )
            for name, tenant in scenario.tenants.items()
        ],
    )
