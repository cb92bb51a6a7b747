"""`kvandal grant`: GPU-hours of a running site: asked for, looked at, changed, reported on."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli.options import JsonOption, emit, number, print_json, print_table
from kvandal.cli.server import ReasonOption, ServerOption, TokenFileOption, connected, told_instant
from kvandal.errors import InputError

if TYPE_CHECKING:
    from kvandal.client.resources.applications import Application
    from kvandal.client.resources.grants import Grant

LEFT, RIGHT = "left", "right"
ApplicationArgument = Annotated[
    str,
    typer.Argument(metavar="APPLICATION", help="Id of the application, as apply and applications print it."),
]
GrantArgument = Annotated[str, typer.Argument(metavar="GRANT", help="Id of the grant, as list prints it.")]


def ladder(
    server: ServerOption = None, token_file: TokenFileOption = None, as_json: JsonOption = False
) -> None:
    """Tell the rungs of the ladder, and the calls that are open now."""
    with connected(server, token_file) as client:
        rungs = list(client.office.ladder())
        calls = [call for call in client.office.calls() if call.open]
    if as_json:
        print_json(
            {
                "rungs": [rung.model_dump(mode="json") for rung in rungs],
                "calls": [call.model_dump(mode="json") for call in calls],
            }
        )
        return
    print_table(
        "The ladder",
        [("rung", LEFT), ("GPU-hours", RIGHT), ("months", RIGHT), ("decided by", LEFT), ("within", LEFT)],
        [
            (
                rung.name,
                number(rung.most_gpu_hours),
                number(rung.most_months),
                _deciding(rung.technical_reviews, rung.scientific_reviews, rung.path),
                "at its date" if rung.working_days is None else f"{rung.working_days} working days",
            )
            for rung in rungs
        ],
    )
    emit("")
    print_table(
        "Open calls",
        [("call", LEFT), ("title", LEFT), ("rungs", LEFT), ("closes", LEFT), ("GPU-hours left", RIGHT)],
        [
            (
                call.id,
                call.title,
                ", ".join(call.rungs),
                told_instant(call.closes_utc),
                "-" if call.left_gpu_hours is None else number(call.left_gpu_hours),
            )
            for call in calls
        ],
    )


def _deciding(technical: int, scientific: int, path: str) -> str:
    reviews = [f"{technical} technical"] * (technical > 0) + [f"{scientific} scientific"] * (scientific > 0)
    word = "review" if technical + scientific == 1 else "reviews"
    return f"{path}, after {' and '.join(reviews)} {word}" if reviews else path


def grants(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="In this state alone, e.g. active. Repeatable.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="How many at most, the oldest first.")] = 100,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List grants, with what was used of them."""
    with connected(server, token_file) as client:
        found = list(client.office.grants(tenant=tenant, project=project, state=state or (), most=most))
    if as_json:
        print_json([grant.model_dump(mode="json") for grant in found])
        return
    print_table(
        f"{len(found)} grants",
        [
            *((name, LEFT) for name in ("grant", "project", "tenant", "rung", "state")),
            ("GPU-hours", RIGHT),
            ("used", RIGHT),
            ("until", LEFT),
        ],
        [
            (
                grant.id,
                grant.project,
                grant.tenant,
                grant.rung,
                grant.state,
                number(grant.gpu_hours),
                _used(grant),
                told_instant(grant.end_utc),
            )
            for grant in found
        ],
    )


def _used(grant: Grant) -> str:
    return "-" if grant.use is None else number(grant.use.used_gpu_s / 3600)


def show(
    key: Annotated[
        str, typer.Argument(metavar="GRANT|APPLICATION", help="Id of a grant or of an application.")
    ],
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell how a grant or an application stands, and every step that led there."""
    with connected(server, token_file) as client:
        found: Any = client.office.grant(key) if key.startswith("grant_") else client.office.application(key)
        steps = list(client.office.history(key))
    if as_json:
        history = [step.model_dump(mode="json") for step in steps]
        print_json({**found.model_dump(mode="json"), "history": history})
        return
    rows = _grant_rows(found) if key.startswith("grant_") else _application_rows(found)
    print_table(key, [("", LEFT), ("", LEFT)], rows)
    if not key.startswith("grant_"):
        _print_gates(found)
    emit("")
    print_table(
        "Steps",
        [("at", LEFT), ("step", LEFT), ("by", LEFT), ("rule", LEFT), ("state", LEFT), ("why", LEFT)],
        [
            (told_instant(step.at_utc), step.kind, step.by, step.rule, step.state, step.reason)
            for step in steps
        ],
    )


def _grant_rows(grant: Grant) -> list[tuple[str, str]]:
    return [
        ("of", f"{grant.tenant}/{grant.project}, {grant.rung}"),
        ("state", grant.state),
        (
            "GPU-hours",
            f"{number(grant.gpu_hours)}, {_used(grant)} used, {number(grant.returned_gpu_hours)} returned",
        ),
        ("term", f"{told_instant(grant.start_utc)} to {told_instant(grant.end_utc)}"),
        ("report due", told_instant(grant.report_due_utc)),
        ("granted", f"{told_instant(grant.granted_utc)} by {grant.granted_by}"),
    ]


def _application_rows(found: Application) -> list[tuple[str, str]]:
    proposal, decision = found.proposal, found.decision
    told = "-" if decision is None else f"{decision.outcome} by {decision.by}: {decision.reason}"
    return [
        ("title", proposal.title),
        ("of", f"{found.tenant}/{found.project}, {found.rung} in {found.call}"),
        ("asks for", f"{number(proposal.gpu_hours)} GPU-hours over {proposal.months} months"),
        ("state", found.state),
        ("answer due", told_instant(found.due_utc)),
        (
            "reviews",
            "; ".join(f"{one.part}: {one.score} of 5, {one.recommends}" for one in found.reviews) or "-",
        ),
        ("decision", told),
    ]


def _print_gates(found: Application) -> None:
    if found.gates:
        emit("")
        print_gates(found.gates)


def print_gates(gates: Any) -> None:
    """Print what became of gates."""
    words = {True: "passed", False: "failed", None: "needs a person"}
    rows = [(gate.rule, words[gate.passed], gate.sentence) for gate in gates]
    print_table("Gates", [("rule", LEFT), ("", LEFT), ("why", LEFT)], rows)


def apply(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="TOML file with project, rung (or grant, for a change of one), call, and a table [proposal].",
        ),
    ],
    submit: Annotated[bool, typer.Option("--submit", help="Hand it in at once.")] = False,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write an application: without --submit its gates are checked and it stays a draft."""
    document = _read(file)
    proposal = document.pop("proposal")
    project = document.pop("project")
    with connected(server, token_file) as client:
        try:
            found = client.office.write_application(project, proposal, **document)
        except InputError as error:
            raise InputError(error.message, file=file, key=error.key) from None
        if submit:
            found = client.office.submit_application(found.id)
        gates = list(found.gates) or list(client.office.gates(found.id))
    if as_json:
        print_json(
            {**found.model_dump(mode="json"), "gates": [gate.model_dump(mode="json") for gate in gates]}
        )
        return
    emit(
        f"{found.id}  {found.state}: {number(found.proposal.gpu_hours)} GPU-hours for {found.tenant}/{found.project}"
    )
    print_gates(gates)
    if not submit:
        emit(f"Hand it in with: kvandal grant submit {found.id}")


def _read(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not TOML: {error}", file=file) from None
    for key in ("project", "proposal"):
        if key not in document:
            raise InputError("must be given", file=file, key=key)
    if not isinstance(document["proposal"], dict):
        raise InputError("must be a table", file=file, key="proposal")
    allowed = {"project", "proposal", "rung", "call", "grant"}
    for key in document:
        if key not in allowed:
            raise InputError(f"is not known; known are {', '.join(sorted(allowed))}", file=file, key=key)
    return document


def submit(
    application: ApplicationArgument,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand a draft in."""
    with connected(server, token_file) as client:
        told(client.office.submit_application(application), as_json=as_json)


def withdraw(
    application: ApplicationArgument,
    reason: ReasonOption,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw an application that is not decided yet."""
    with connected(server, token_file) as client:
        told(client.office.withdraw_application(application, reason), as_json=as_json)


def appeal(
    application: ApplicationArgument,
    reason: ReasonOption,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Appeal against a rejection, once, within three weeks; others decide on it."""
    with connected(server, token_file) as client:
        told(client.office.appeal(application, reason), as_json=as_json)


def report(
    grant: GrantArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Text of the report.")],
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in the report of a grant."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    except UnicodeDecodeError:
        raise InputError("must be text in UTF-8", file=file) from None
    with connected(server, token_file) as client:
        told(client.office.report_on_grant(grant, text), as_json=as_json)


def end(
    grant: GrantArgument,
    reason: ReasonOption,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a grant before its term: nothing more starts on it."""
    with connected(server, token_file) as client:
        told(client.office.end_grant(grant, reason), as_json=as_json)


def told(found: Application | Grant, *, as_json: bool) -> None:
    """Print how something stands after a step."""
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    decision = getattr(found, "decision", None)
    why = "" if decision is None else f": {decision.reason}"
    emit(f"{found.id}  {found.state}{why}")
