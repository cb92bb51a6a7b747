"""`kvandal show`: a scenario's site and its power budget, or the summary of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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
    from kvandal.scenario.tree import Limit


def show(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO|RUN", help="A preset, a TOML file or a run folder; a preset goes first."
        ),
    ],
    changes: SetOption = None,
    binding: Annotated[
        bool, typer.Option("--binding", help="Of a run: hours bound by every limit of the plant.")
    ] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Of a run: faults of the plant and what each did to whom.")
    ] = False,
    goodput: Annotated[
        bool,
        typer.Option("--goodput", help="Of a run: GPU-hours lost by tenant and cause, ETTR by size of job."),
    ] = False,
    power: Annotated[
        bool,
        typer.Option("--power", help="Of a run: how often power held work back, and what that cost whom."),
    ] = False,
    grants: Annotated[
        bool,
        typer.Option("--grants", help="Of a run: books of every grant, and jobs that rules turned away."),
    ] = False,
    loans: Annotated[
        bool,
        typer.Option("--loans", help="Of a run: loans by lender and borrower, and how fast they came back."),
    ] = False,
    energy: Annotated[
        bool, typer.Option("--energy", help="Of a run: energy, carbon and cost attributed to every tenant.")
    ] = False,
    job_energy: Annotated[
        int | None,
        typer.Option("--job-energy", metavar="JOB", help="Of a run: what one job drew, by hour and rack."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a site and whether its GPUs fit its grid connection; or what a run came to."""
    from kvandal.scenario.loading import presets

    folder = _folder(source)
    views = Views(binding, faults, goodput, power, grants, loans, energy, job_energy is not None)
    if folder is not None and source in presets():
        note(f"kvandal: {source!r} is a preset and a folder; this is the preset, the folder is ./{source}")
    elif folder is not None:
        if changes:
            raise InputError("belongs to a scenario, but this is a run folder", file=source, key="--set")
        if job_energy is not None:
            _show_job(folder, job_energy, as_json=as_json)
        else:
            _show_run(folder, views, as_json=as_json)
        return
    asked = [name.replace("_", "-") for name, wanted in views._asdict().items() if wanted]
    if asked:
        raise InputError(
            "belongs to a run folder; give the folder that `kvandal run` wrote",
            file=source,
            key=f"--{asked[0]}",
        )
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


class Views(NamedTuple):
    """What of a run is asked for."""

    binding: bool
    faults: bool
    goodput: bool
    power: bool
    grants: bool
    loans: bool
    energy: bool
    job_energy: bool


def _show_job(folder: Path, job: int, *, as_json: bool) -> None:
    from kvandal.cli.energy import print_job_energy
    from kvandal.runs.job_energy import job_energy

    document = job_energy(folder, job)
    if as_json:
        print_json(document)
    else:
        print_job_energy(document)


def _show_run(folder: Path, views: Views, *, as_json: bool) -> None:
    from kvandal.cli.energy import energy_document, print_energy
    from kvandal.cli.goodput import goodput_document, print_goodput
    from kvandal.cli.grants import grants_document, print_grants
    from kvandal.cli.loans import loans_document, print_loans
    from kvandal.cli.plant import plant_document, print_plant
    from kvandal.runs.compare import flatten
    from kvandal.runs.folder import read_record

    record = read_record(folder)
    title = f"{record['title']}: {days_of(record['days'])} from {record['start_utc']}, seed {record['seed']}"
    plant = views.binding or views.faults or views.power
    shown: dict[str, Any] = {}
    if plant:
        shown = plant_document(folder, record, binding=views.binding, faults=views.faults, power=views.power)
    if views.goodput:
        shown["goodput"] = goodput_document(folder)
    if views.grants:
        shown |= grants_document(folder)
    if views.loans:
        shown |= loans_document(folder)
    if views.energy:
        shown["energy"] = energy_document(folder)
    if not any(views):
        shown = record["summary"]
    if as_json:
        print_json(shown)
    elif any(views):
        if plant:
            print_plant(title, shown)
        if views.goodput:
            if plant:
                emit("")
            print_goodput(title, shown["goodput"])
        if views.grants:
            if plant or views.goodput:
                emit("")
            print_grants(title, shown)
        if views.loans:
            if plant or views.goodput or views.grants:
                emit("")
            print_loans(title, shown)
        if views.energy:
            if any(views[:-2]):
                emit("")
            print_energy(title, shown["energy"])
    else:
        print_table(
            title, [("", ""), ("", "right")], [(key, number(value)) for key, value in flatten(shown).items()]
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
        (
            "power chain",
            f"132/33 kV, MV/LV, UPS {scenario.power.ups_mode}, busway; {document['power_groups']:,} power groups",
        ),
        (
            "cooling",
            f"{document['cdus']:,} CDU groups in {document['pods']:,} pods, TCS supply {scenario.cooling.tcs_supply_c:g} °C, {scenario.cooling.heat_rejection.replace('_', ' ')}",
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
    emit("")
    _print_redundancy(document)
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


def _print_redundancy(document: dict[str, Any]) -> None:
    print_table(
        "What is lost when units fail (finished site at TDP, fullest place, MW)",
        [
            ("unit", ""),
            ("serves", ""),
            ("there", "right"),
            ("needed", "right"),
            ("rating", "right"),
            ("load", "right"),
            ("lost, one out", "right"),
            ("lost, two out", "right"),
        ],
        [
            (
                row["unit"],
                row["serves"],
                f"{row['units']}",
                f"{row['needed']}",
                f"{row['rating_mw']:.2f}",
                f"{row['load_mw']:.2f}",
                f"{row['lost_with_one_out_mw']:.2f}",
                f"{row['lost_with_two_out_mw']:.2f}",
            )
            for row in document["redundancy"]
        ],
    )
    emit("\nWithout the grid:")
    for row in document["ride_through"]:
        lasts = f", {number(row['seconds'])} s" if row["seconds"] else ""
        emit(f"  {row['load']}: {row['carried_by']}{lasts}")


def _limit_text(limit: Limit) -> str:
    return " + ".join(
        text
        for text, holds in (
            (f"{limit.share:.1%}", limit.share or not limit.gpus),
            (f"{limit.gpus:,}", limit.gpus),
        )
        if holds
    )


def _print_tenants(scenario: Scenario) -> None:
    from kvandal.scenario.tree import limits_of, path_text

    limits = limits_of(scenario.tenants, {})
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
                path_text(scenario.tenants, name),
                tenant.tier,
                tenant.region,
                *(
                    _limit_text(limit)
                    for limit in (limits[name].guarantee, limits[name].deserved, limits[name].ceiling)
                ),
                f"{tenant.notice_s:,}",
                f"{tenant.price_usd_per_gpu_hour:.2f}",
            )
            for name, tenant in scenario.tenants.items()
        ],
    )
