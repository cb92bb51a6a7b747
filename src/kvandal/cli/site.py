"""`kvandal site`: a running site now, and what a change would do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kvandal.cli.options import JsonOption, changes_of, note, number, print_json, print_table
from kvandal.cli.server import ServerOption, TokenFileOption, connected, megawatts_of, told_instant
from kvandal.cli.weighed import print_weighed

if TYPE_CHECKING:
    from kvandal.client.resources.site import Site


def site(
    context: typer.Context,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the site now: power against the envelope, GPUs by tier, queue, water, heat, price, carbon, tenants."""
    if context.invoked_subcommand is not None:
        return
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


def whatif(
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A key of the policy and its new value, e.g. tenants.uk.ceiling_share=0.02. Repeatable.",
        ),
    ] = None,
    envelope: Annotated[
        str | None,
        typer.Option(metavar="POWER", help="Hold the site at this much: 180MW.", show_default=False),
    ] = None,
    days: Annotated[float, typer.Option(help="How far to look [days].")] = 1.0,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the twin, from the live state on, what a change would do to everybody; nothing is changed."""
    parsed, _ = changes_of(changes)
    envelope_mw = None if envelope is None else megawatts_of(envelope)
    with connected(server, token_file) as client:
        note("the twin weighs it on the live state ...")
        answer = client.whatif(parsed, envelope_mw=envelope_mw, days=days)
    if as_json:
        print_json(answer)
        return
    print_weighed(answer)


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
