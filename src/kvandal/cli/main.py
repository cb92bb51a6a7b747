"""The `kvandal` command."""

from __future__ import annotations

import io
import sys
from typing import NoReturn

import typer

from kvandal.cli import (
    audit,
    bench,
    books,
    compare,
    doctor,
    envelope,
    forecast,
    grant,
    job,
    models,
    office,
    optimise,
    params,
    plan,
    policy,
    policy_set,
    replay,
    report,
    run,
    serve,
    show,
    signals,
    site,
    statement,
    store,
    sweep,
    token,
    trace,
    transient,
    whatif,
    why,
)
from kvandal.cli.options import emit, note
from kvandal.cli.repeated import SeveralValues
from kvandal.errors import KvandalError

REPAIRABLE = 2
"""Exit code of an error that the user can repair."""

app = typer.Typer(
    name="kvandal",
    help="The digital twin of a sovereign AI data centre: who gets the GPUs, what it draws, where the heat goes, "
    "what it costs and emits.",
    epilog="Example: kvandal run stargate-norway --days 7",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run", epilog="Example: kvandal run stargate-norway --days 7 --set site.grid_mw=200 --out week")(
    run.run
)
app.command("show", epilog="Example: kvandal show stargate-norway    or    kvandal show runs/week")(show.show)
app.command("params", epilog="Example: kvandal params cooling")(params.params)
app.command("models", epilog="Example: kvandal models pump")(models.models)
app.command("compare", epilog="Example: kvandal compare runs/week runs/week-200-mw runs/week-290-mw")(
    compare.compare
)
app.command(
    "whatif", epilog="Example: kvandal whatif stargate-norway --days 7 --set site.grid_mw=150 --seeds 5"
)(whatif.whatif)
app.command(
    "sweep",
    cls=SeveralValues,
    epilog="Example: kvandal sweep stargate-norway --days 28 --vary site.grid_mw=190,210,230 --samples 3 --out sweeps/grid",
)(sweep.sweep)
app.command(
    "optimise",
    cls=SeveralValues,
    epilog="Example: kvandal optimise stargate-norway --days 28 --maximise gpu_hours "
    "--subject-to 'wait_p95_norway < 30 min' 'peak_mw < 230' --over site.fleet.main.gpus=80000..110000",
)(optimise.optimise)
app.command("plan", epilog="Example: kvandal plan stargate-norway-phase-1 --days 14")(plan.plan)
app.command("why", epilog="Example: kvandal why runs/week 1234")(why.why)
app.command("report", epilog="Example: kvandal report runs/week --out week.html")(report.report)
app.command("books", epilog="Example: kvandal books runs/week --json")(books.books)
app.command("statement", epilog="Example: kvandal statement runs/week tenant uk --out uk.html")(
    statement.statement
)
app.command("transient", epilog="Example: kvandal transient runs/week --at 2027-01-03T12:00Z --seconds 300")(
    transient.transient
)
app.command(
    "forecast", epilog="Example: kvandal forecast runs/week --job tenant=uk,gpus=64,hours=6,class=surplus"
)(forecast.forecast)
app.command("doctor", epilog="Example: kvandal doctor --config kvandal.toml")(doctor.doctor)
app.command("serve", epilog="Example: kvandal serve stargate-norway --speed 60")(serve.serve)
app.command("replay", epilog="Example: kvandal replay --data-dir kvandal-data")(replay.replay)
app.command("bench", epilog="Example: kvandal bench --days 7 --json")(bench.bench)
traces = typer.Typer(help="Job traces.", no_args_is_help=True, rich_markup_mode=None)
traces.command("info", epilog="Example: kvandal trace info philly    or    kvandal trace info my-jobs.csv")(
    trace.info
)
policies = typer.Typer(
    help="The policy: of a running site, and in other schedulers' words.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
policies.command("export", epilog="Example: kvandal policy export --to kueue stargate-norway --out kueue")(
    policy.export
)
policies.command(
    "set",
    epilog="Example: kvandal policy set tenants.uk.ceiling_share=0.02 --reason 'more room for research'",
)(policy_set.set_)
jobs = typer.Typer(help="Jobs of a running site.", no_args_is_help=True, rich_markup_mode=None)
jobs.command(
    "submit",
    epilog="Example: kvandal job submit --tenant norway-research --project arctic --class national --gpus 64 --limit 4h "
    "train.sh",
)(job.submit)
jobs.command("list", epilog="Example: kvandal job list --tenant uk --state queued --json")(job.jobs)
jobs.command("show", epilog="Example: kvandal job show job_01jzx6m3v0f8c2h5k7n9q1s4t6")(job.show)
jobs.command("why", epilog="Example: kvandal job why job_01jzx6m3v0f8c2h5k7n9q1s4t6")(job.why)
jobs.command(
    "cancel", epilog="Example: kvandal job cancel job_01jzx6m3v0f8c2h5k7n9q1s4t6 --reason 'wrong data'"
)(job.cancel)
app.add_typer(jobs, name="job", epilog="Example: kvandal job list --state queued")
envelopes = typer.Typer(
    help="The power that a running site may draw.", no_args_is_help=True, rich_markup_mode=None
)
envelopes.command(
    "set", epilog="Example: kvandal envelope set 180MW --until 6h --reason 'Statnett asks for less'"
)(envelope.set_)
envelopes.command("show", epilog="Example: kvandal envelope show --json")(envelope.show)
envelopes.command("clear", epilog="Example: kvandal envelope clear --reason 'the line is repaired'")(
    envelope.clear
)
app.add_typer(envelopes, name="envelope", epilog="Example: kvandal envelope show")
grants = typer.Typer(help="GPU-hours of a running site.", no_args_is_help=True, rich_markup_mode=None)
grants.command("ladder", epilog="Example: kvandal grant ladder")(grant.ladder)
grants.command("list", epilog="Example: kvandal grant list --project arctic --json")(grant.grants)
grants.command("show", epilog="Example: kvandal grant show grant_01m8n4kkefjejnn7354g3k15pg")(grant.show)
grants.command("apply", epilog="Example: kvandal grant apply application.toml --submit")(grant.apply)
grants.command("submit", epilog="Example: kvandal grant submit application_01m8n4kkdg1j02fbk3tft0wgg0")(
    grant.submit
)
grants.command(
    "withdraw",
    epilog="Example: kvandal grant withdraw application_01m8n4kkdg1j02fbk3tft0wgg0 --reason 'no longer needed'",
)(grant.withdraw)
grants.command(
    "appeal",
    epilog="Example: kvandal grant appeal application_01m8n4kkdg1j02fbk3tft0wgg0 --reason 'a number was misread'",
)(grant.appeal)
grants.command("report", epilog="Example: kvandal grant report grant_01m8n4kkefjejnn7354g3k15pg report.md")(
    grant.report
)
grants.command(
    "end", epilog="Example: kvandal grant end grant_01m8n4kkefjejnn7354g3k15pg --reason 'the project is over'"
)(grant.end)
app.add_typer(grants, name="grant", epilog="Example: kvandal grant ladder")
offices = typer.Typer(
    help="The access office of a running site: who applies, who reviews, who decides.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
offices.command(
    "organisation",
    epilog="Example: kvandal office organisation 'Equinor ASA' --number 923609016 --kind enterprise",
)(office.organisation)
offices.command(
    "project",
    epilog="Example: kvandal office project arctic --title Arctic --organisation organisation_01m8n4kkdg1j02fbk3tft0wgg0 --tenant norway-research --investigator person_01m8n4kkdg1j02fbk3tft0wgg0",
)(office.project)
offices.command("applications", epilog="Example: kvandal office applications --state decision")(
    office.applications
)
offices.command("look", epilog="Example: kvandal office look application_01m8n4kkdg1j02fbk3tft0wgg0")(
    office.look
)
offices.command(
    "confirm",
    epilog="Example: kvandal office confirm application_01m8n4kkdg1j02fbk3tft0wgg0 OG11 --reason 'report of 2026 read'",
)(office.confirm)
offices.command(
    "review",
    epilog="Example: kvandal office review application_01m8n4kkdg1j02fbk3tft0wgg0 --part technical --score 4 --recommends grant --comment 'it scales'",
)(office.review)
offices.command(
    "recuse",
    epilog="Example: kvandal office recuse application_01m8n4kkdg1j02fbk3tft0wgg0 --reason 'we wrote a paper together'",
)(office.recuse)
offices.command(
    "decide",
    epilog="Example: kvandal office decide application_01m8n4kkdg1j02fbk3tft0wgg0 grant --reason 'as the panel advised'",
)(office.decide)
offices.command(
    "return",
    epilog="Example: kvandal office return application_01m8n4kkdg1j02fbk3tft0wgg0 --reason 'say which data'",
)(office.send_back)
app.add_typer(offices, name="office", epilog="Example: kvandal office applications --state decision")
sites = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
sites.callback()(site.site)
sites.command(
    "whatif",
    epilog="Example: kvandal site whatif --set tenants.uk.ceiling_share=0.02 --envelope 180MW --days 2",
)(site.whatif)
app.add_typer(sites, name="site", epilog="Example: kvandal site --server https://kvandal.example.org --json")
app.add_typer(
    policies, name="policy", epilog="Example: kvandal policy export --to slurm stargate-norway --json"
)
stores = typer.Typer(help="The database of the control plane.", no_args_is_help=True, rich_markup_mode=None)
stores.command("upgrade", epilog="Example: kvandal store upgrade --database sqlite:///kvandal.db")(
    store.upgrade
)
stores.command(
    "backup", epilog="Example: kvandal store backup kvandal-monday --database sqlite:///kvandal.db"
)(store.backup)
stores.command(
    "restore",
    epilog="Example: kvandal store restore kvandal-monday --database postgresql://kvandal@localhost/kvandal",
)(store.restore)
audits = typer.Typer(help="Who did what.", no_args_is_help=True, rich_markup_mode=None)
audits.command("verify", epilog="Example: kvandal audit verify --database sqlite:///kvandal.db")(audit.verify)
audits.command(
    "list", epilog="Example: kvandal audit list --subject job_... --database sqlite:///kvandal.db"
)(audit.list_)
app.add_typer(stores, name="store", epilog="Example: kvandal store backup kvandal-monday")
app.add_typer(audits, name="audit", epilog="Example: kvandal audit verify")
app.add_typer(traces, name="trace", epilog="Example: kvandal trace info lingjun --json")
tokens = typer.Typer(help="Tokens of programs.", no_args_is_help=True, rich_markup_mode=None)
tokens.command(
    "create", epilog="Example: kvandal token create first --person olga@example.org --role operator"
)(token.create)
tokens.command("list", epilog="Example: kvandal token list --database sqlite:///kvandal.db")(token.list_)
tokens.command("revoke", epilog="Example: kvandal token revoke kvd_3kQ8sZ1x --reason lost")(token.revoke)
app.add_typer(tokens, name="token", epilog="Example: kvandal token list")


def _version(wanted: bool) -> None:
    if wanted:
        from kvandal import __version__

        emit(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Take the options that stand before a command."""


def main() -> NoReturn:
    """Run the command line: an error that the user can repair is one line on standard error and exit code 2."""
    signals.listen()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows ? instead of failing
    try:
        app(prog_name="kvandal")
    except BaseException as error:
        code = _exit_code(error)
        if code is None:
            raise
        if signals.received() is not None:
            signals.leave(code)
        sys.exit(code)
    sys.exit(0)


def _exit_code(error: BaseException) -> int | None:
    """Say what ended the program, and with which exit code; None for a mistake of the program itself."""
    signal_number = signals.received()
    finished = isinstance(error, SystemExit) and not error.code  # a signal came too late to change anything
    if signal_number is not None and not finished:
        signals.ignore()
        note(f"\nkvandal: interrupted; {signals.kept()}")
        return 128 + signal_number
    if isinstance(error, KvandalError):
        note(f"kvandal: {' '.join(str(error).split())}")
        return REPAIRABLE
    if isinstance(error, MemoryError):
        note("kvandal: not enough memory; try fewer days, fewer GPUs or a longer run.tick_s")
        return REPAIRABLE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return None


if __name__ == "__main__":
    main()
