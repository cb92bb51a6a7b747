"""`kvandal job`: jobs of a running site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kvandal.cli.options import JsonOption, emit, number, print_json, print_table
from kvandal.cli.server import ServerOption, TokenFileOption, connected, seconds_of, told_instant
from kvandal.errors import InputError

JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Id of the job, as submit and list print it.")
]
LARGEST_SCRIPT = 262_144


def submit(
    tenant: Annotated[str, typer.Option(help="Tenant that pays.")],
    project: Annotated[str, typer.Option(help="Project of the tenant.")],
    demand: Annotated[str, typer.Option("--class", metavar="NAME", help="Class of work of the scenario.")],
    gpus: Annotated[int, typer.Option(help="GPUs of the gang.")],
    limit: Annotated[str, typer.Option(metavar="TIME", help="Longest run time of one start: 4h, 90min, 2d.")],
    script: Annotated[
        Path | None,
        typer.Argument(metavar="[SCRIPT]", help="Shell script that the job runs.", show_default=False),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What you call it. Default: the script's name.")] = None,
    run_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long it is expected to work.", show_default=False)
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", metavar="NAME=VALUE", help="Variable of the script. Repeatable."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Idempotency key: submitted again with the same key it is the same job.", show_default=False
        ),
    ] = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a job; once the command returns it is accepted, and is not lost any more."""
    environment = dict(_variable(text) for text in env or ())
    limit_s = seconds_of(limit, "--limit")
    run_time_s = None if run_time is None else seconds_of(run_time, "--run-time")
    text = "" if script is None else _script(script)
    with connected(server, token_file) as client:
        job = client.submit_job(
            tenant=tenant,
            project=project,
            demand=demand,
            gpus=gpus,
            limit_s=limit_s,
            name=name or (script.name if script is not None else "job"),
            run_time_s=run_time_s,
            script=text,
            environment=environment,
            key=key,
        )
    if as_json:
        print_json(job.model_dump(mode="json"))
        return
    emit(f"{job.id}  accepted: {number(job.gpus)} GPUs for {job.tenant}/{job.project}")


def jobs(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="In this state alone, e.g. queued. Repeatable.")
    ] = None,
    demand: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="Of this class alone.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="How many at most, the newest first.")] = 30,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    with connected(server, token_file) as client:
        states: Any = tuple(state or ())
        found = list(client.jobs(tenant=tenant, project=project, state=states, demand=demand, most=most))
    if as_json:
        print_json([job.model_dump(mode="json") for job in found])
        return
    columns = [("job", "left"), ("tenant", "left"), ("project", "left"), ("class", "left"), ("GPUs", "right")]
    columns += [("state", "left"), ("tier", "left"), ("submitted", "left"), ("why", "left")]
    print_table(
        f"{len(found)} jobs",
        columns,
        (
            [
                job.id,
                job.tenant,
                job.project,
                job.demand,
                number(job.gpus),
                job.state,
                job.tier,
                told_instant(job.submitted_utc),
                f"{job.reason_rule} {job.reason}".strip(),
            ]
            for job in found
        ),
    )


def show(
    job: JobArgument,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how a job stands."""
    with connected(server, token_file) as client:
        found = client.job(job)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    where = ", ".join(f"{share.node}:{share.gpus}" for share in found.shares[:8])
    more = f" and {len(found.shares) - 8} more nodes" if len(found.shares) > 8 else ""
    rows = [
        ("name", found.name),
        ("of", f"{found.tenant}/{found.project}, {found.demand}"),
        ("state", f"{found.state} {found.tier}".strip()),
        ("why", f"{found.reason_rule} {found.reason}".strip() or "-"),
        ("GPUs", number(found.gpus)),
        ("on", f"{where}{more}" or "-"),
        ("limit", f"{number(found.limit_s)} s"),
        ("submitted", f"{told_instant(found.submitted_utc)} by {found.person}"),
        ("started", f"{told_instant(found.started_utc)} (start {found.attempt})"),
        ("notice ends", told_instant(found.deadline_utc)),
        ("ended", told_instant(found.ended_utc)),
        (
            "used",
            f"{number(found.used_gpu_s / 3600)} GPU-hours, {number(found.useful_gpu_s / 3600)} of them useful",
        ),
        ("energy", f"{number(found.energy_wh / 1000)} kWh"),
        ("recalls", number(found.recalls)),
    ]
    print_table(f"Job {found.id}", [("", "left"), ("", "left")], rows)


def why(
    job: JobArgument,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a job, by which rules, and what it waits for."""
    with connected(server, token_file) as client:
        found = client.why(job)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    lines = [f"Job {found.job} is {found.state}" + (f": {found.reason}" if found.reason else ""), ""]
    for event in found.events:
        told = event.text or ", ".join(f"{name} {value}" for name, value in event.detail.items())
        lines.append(f"  {told_instant(event.at_utc)}  {event.kind:<9} {event.rule:<3} {told}".rstrip())
    if found.rules:
        lines += ["", "Rules"]
        lines += [f"  {rule}  {sentence}" for rule, sentence in found.rules.items()]
    emit("\n".join(lines))


def cancel(
    job: JobArgument,
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit trail.")] = "asked by its owner",
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a job back, whether it waits or runs; the site does it in its next turn."""
    with connected(server, token_file) as client:
        found = client.cancel_job(job, reason)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    emit(f"{found.id}  will be cancelled (it is {found.state} now)")


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise InputError(f"must be NAME=VALUE, got {text!r}", key="--env")
    return name, value


def _script(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    if len(raw) > LARGEST_SCRIPT:
        raise InputError(f"must be at most {LARGEST_SCRIPT:,} bytes, got {len(raw):,}", file=path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("must be text in UTF-8: a job runs a shell script", file=path) from None
