"""`kvandal site`: a running site now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvandal.cli.options import JsonOption, number, print_json, print_table
from kvandal.cli.server import ServerOption, TokenFileOption, connected, told_instant

if TYPE_CHECKING:
    from kvandal.client.resources.site import Site


def site(
    server: ServerOption = None, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Tell the site now: power against the envelope, GPUs by tier, queue, water, heat, price, carbon, tenants."""
    with connected(server, token_file) as client:
        found = client.site()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(f"Site at {told_instant(found.at_utc)}", [("", "left"), ("", "left")], _rows(found))
    columns = [
        ("tenant", "left"),
        ("tier", "left"),
        ("own", "right"),
        ("on loan", "right"),
        ("lent out", "right"),
    ]
    columns += [("deserved", "right"), ("running", "right"), ("queued", "right"), ("queued GPUs", "right")]
    rows = (
        [
            tenant.name,
            tenant.tier or "",
            number(tenant.own),
            number(tenant.on_loan),
            number(tenant.lent_out),
            number(tenant.deserved),
            number(tenant.running_jobs),
            number(tenant.queued_jobs),
            number(tenant.queued_gpus),
        ]
        for tenant in found.tenants
    )
    print_table("Tenants (GPUs)", columns, rows)


def _rows(found: Site) -> list[tuple[str, str]]:
    rows = [
        (
            "power",
            f"{number(found.site_power_mw)} of {number(found.envelope_mw)} MW ({found.envelope_reason or '-'})",
        ),
        ("IT power", f"{number(found.it_power_mw)} MW, PUE {number(found.pue)}"),
    ]
    if (gpus := found.gpus) is not None:
        tiers = f"{number(gpus.firm)} firm, {number(gpus.assured)} assured, {number(gpus.lent)} lent"
        rows.append(
            (
                "GPUs",
                f"{tiers}, {number(gpus.free)} free, {number(gpus.broken)} broken of {number(gpus.installed)}",
            )
        )
    if (jobs := found.jobs) is not None:
        waiting = f"{number(jobs.queued)} queued for {number(jobs.queued_gpus)} GPUs"
        rows.append(("jobs", f"{number(jobs.running)} running, {waiting}, {number(jobs.recalled)} recalled"))
    if (water := found.water) is not None:
        tcs = f"cold plates {number(water.tcs_supply_c)} to {number(water.tcs_return_c)} °C"
        rows.append(
            (
                "water",
                f"{tcs}, facility {number(water.facility_supply_c)} to {number(water.facility_return_c)} °C",
            )
        )
    if (heat := found.heat) is not None:
        rows.append(("heat", f"{number(heat.delivered_mw)} of {number(heat.wanted_mw)} MW wanted"))
    rows += [
        ("outside", f"{number(found.ambient_c)} °C"),
        ("price", f"{number(found.price_eur_per_mwh)} EUR/MWh"),
        ("carbon", f"{number(found.carbon_g_per_kwh)} g/kWh"),
    ]
    if (engine := found.engine) is not None:
        rows.append(("engine", f"{engine.name}, {'answers' if engine.reachable else 'does not answer'}"))
    if found.fail_safe:
        rows.append(("fail-safe", found.fail_safe))
    return rows
