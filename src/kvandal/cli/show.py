"""`kvandal show`: a scenario's site and its power budget, or the summary of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli.options import JsonOption, SetOption, number, print_json, print_table, scenario_of

if TYPE_CHECKING:
    from kvandal.scenario.model import Scenario


def show(
    source: Annotated[str, typer.Argument(metavar="SCENARIO|RUN", help="A preset, a TOML file or a run folder.")],
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a site and whether its GPUs fit its grid connection; or what a run came to."""
    if Path(source).is_dir():
        _show_run(Path(source), as_json=as_json)
        return
    scenario = scenario_of(source, changes)
    document = site_document(scenario)
    if as_json:
        print_json(document)
    else:
        _print_site(scenario, document)


def _show_run(folder: Path, *, as_json: bool) -> None:
    from kvandal.runs.compare import flatten
    from kvandal.runs.folder import read_record

    record = read_record(folder)
    if as_json:
        print_json(record["summary"])
        return
    rows = [(key, value if isinstance(value, str) else number(value)) for key, value in flatten(record["summary"]).items()]
    print_table(f"{record['title']}: {record['days']} days from {record['start_utc']}", [("", ""), ("", "right")], rows)


def site_document(scenario: Scenario) -> dict[str, Any]:
    """Site and power budget as plain data."""
    from kvandal.physics.capacity import power_budget
    from kvandal.scenario.parameters import value
    from kvandal.twin.site import build_site

    site = build_site(scenario)
    pue = value("cooling.pue_design_day")
    blocks = []
    it_mw = 0.0
    for name, block in scenario.site.fleet.items():
        model = scenario.rack_models[block.model]
        budget = power_budget(
            block.gpus, model.rack_tdp_kw, scenario.network.net_storage_kw_per_gpu, pue, scenario.site.grid_mw
        )
        it_mw += budget.it_power_mw
        blocks.append(
            {"block": name, "model": block.model, "gpus": block.gpus, "racks": -(-block.gpus // 72),
             "rack_tdp_kw": model.rack_tdp_kw, "it_power_mw": budget.it_power_mw}
        )  # fmt: skip
    grid_mw = scenario.site.grid_mw
    return {
        "scenario": scenario.name,
        "title": scenario.site.title,
        "gpus": scenario.site.gpus_asked,
        "racks": site.racks,
        "trays": site.racks * 18,
        "rows": site.rows,
        "halls": site.halls,
        "cdus": site.cdus,
        "grid_mw": grid_mw,
        "blocks": blocks,
        "net_storage_kw_per_gpu": scenario.network.net_storage_kw_per_gpu,
        "it_power_mw": it_mw,
        "design_day_pue": pue,
        "site_power_mw": it_mw * pue,
        "headroom_mw": grid_mw - it_mw * pue,
        "maximum_pue": grid_mw / it_mw,
        "fits": it_mw * pue <= grid_mw,
        "cases": capacity_cases(scenario),
    }


def capacity_cases(scenario: Scenario) -> list[dict[str, Any]]:
    """Power budget of the same GPUs under other racks, network powers and PUEs."""
    from kvandal.physics.capacity import power_budget
    from kvandal.scenario.parameters import parameters

    rack, network = parameters()["rack.rack_tdp_kw"], parameters()["net.net_storage_kw_per_gpu"]
    peak_kw = parameters()["rack.rack_peak_kw"].value
    named = [
        ("GB200-like", rack.minimum, network.value),
        ("default GB300", rack.value, network.value),
        ("upper operating", 140.0, network.value),
        ("peak nameplate", peak_kw, network.value),
        ("pessimistic", peak_kw, network.maximum),
    ]
    cases = []
    for name, rack_kw, net_kw in named:
        sites = {}
        for pue in (1.06, 1.08, 1.10, 1.15):
            budget = power_budget(scenario.site.gpus_asked, rack_kw, net_kw, pue, scenario.site.grid_mw)
            sites[f"{pue:.2f}"] = budget.site_power_mw
        cases.append(
            {"case": name, "rack_kw": rack_kw, "net_kw_per_gpu": net_kw, "it_power_mw": budget.it_power_mw,
             "site_power_mw_by_pue": sites, "maximum_pue": budget.maximum_pue}
        )  # fmt: skip
    return cases


def _print_site(scenario: Scenario, document: dict[str, Any]) -> None:
    site = scenario.site
    print(f"{site.title}  ({scenario.name})")
    print(f"{scenario.description}\n")
    owners = ", ".join(f"{name} {share:.0%}" for name, share in site.owners.items())
    rows = [
        ("GPUs", f"{document['gpus']:,}"),
        ("racks", f"{document['racks']:,} of 18 trays of 4 GPUs, {document['rows']} rows, {document['halls']} halls"),
        ("grid connection", f"{site.grid_mw:g} MW"),
        ("power chain", f"132/33 kV, MV/LV, UPS {scenario.power.ups_mode}, busway"),
        ("cooling", f"{document['cdus']} CDU groups, TCS supply {scenario.cooling.tcs_supply_c:g} °C, dry coolers"),
        ("heat customers", ", ".join(scenario.heat.customers) or "none"),
        ("off-taker, owners", f"{site.offtaker}; {owners}"),
    ]
    rows += [
        (f"from month {delivery.month}", f"{delivery.gpus:,} GPUs arrive") for delivery in site.build_out
    ]
    print_table("Site", [("", ""), ("", "")], rows)
    print()
    terms = " + ".join(f"{b['racks']:,} racks x {b['rack_tdp_kw']:g} kW" for b in document["blocks"])
    verdict = "yes" if document["fits"] else "NO"
    print(f"Do {document['gpus']:,} GPUs fit {site.grid_mw:g} MW?  {verdict}")
    print(f"  IT power    {terms} + {document['gpus']:,} GPUs x {document['net_storage_kw_per_gpu']:g} kW network")
    print(f"              = {document['it_power_mw']:.1f} MW")
    print(f"  site power  {document['it_power_mw']:.1f} MW x design-day PUE {document['design_day_pue']:.2f} = "
          f"{document['site_power_mw']:.1f} MW, headroom {document['headroom_mw']:.1f} MW")  # fmt: skip
    print(f"  it fits up to a PUE of {document['maximum_pue']:.3f}\n")
    print_table(
        f"The same {document['gpus']:,} GPUs under other assumptions (site MW; x does not fit {site.grid_mw:g} MW)",
        [("case", ""), ("rack kW", "right"), ("net kW/GPU", "right"), ("IT MW", "right"),
         *((f"PUE {pue}", "right") for pue in document["cases"][0]["site_power_mw_by_pue"]), ("max PUE", "right")],
        [
            (case["case"], f"{case['rack_kw']:g}", f"{case['net_kw_per_gpu']:g}", f"{case['it_power_mw']:.1f}",
             *(f"{mw:.1f}{' x' if mw > site.grid_mw else ''}" for mw in case["site_power_mw_by_pue"].values()),
             f"{case['maximum_pue']:.3f}")
            for case in document["cases"]
        ],
    )  # fmt: skip
