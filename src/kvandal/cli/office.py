"""`kvandal office`: what reviewers and allocators do with applications, and who may apply."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kvandal.cli.grant import ApplicationArgument, told
from kvandal.cli.options import JsonOption, emit, number, print_json, print_table
from kvandal.cli.server import ReasonOption, ServerOption, TokenFileOption, connected, told_instant

LEFT, RIGHT = "left", "right"
HoursOption = Annotated[
    int | None,
    typer.Option("--gpu-hours", min=1, help="Of so many GPU-hours. Default: all that is asked for."),
]


def applications(
    state: Annotated[
        list[str] | None, typer.Option(help="In this state alone, e.g. decision. Repeatable.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant alone.")] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    call: Annotated[str | None, typer.Option(help="In this call alone.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many at most, the oldest first.")] = 100,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List applications that you may see."""
    with connected(server, token_file) as client:
        found = list(
            client.office.applications(
                state=state or (), tenant=tenant, project=project, call=call, most=most
            )
        )
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    print_table(
        f"{len(found)} applications",
        [
            *((name, LEFT) for name in ("application", "project", "rung")),
            ("GPU-hours", RIGHT),
            *((name, LEFT) for name in ("state", "answer due", "title")),
        ],
        [
            (
                one.id,
                one.project,
                one.rung,
                number(one.proposal.gpu_hours),
                one.state,
                told_instant(one.due_utc),
                one.proposal.title,
            )
            for one in found
        ],
    )


def look(
    application: ApplicationArgument,
    gpu_hours: HoursOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the twin what granting an application would do to everybody; a decision takes such a look before."""
    with connected(server, token_file) as client:
        found = client.office.look(application, gpu_hours=gpu_hours)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    emit(f"{found.id}: the next {found.question['days']:g} days with this grant")
    answer = found.answer
    for headline in answer.get("headlines") or ():
        emit(f"  {headline if isinstance(headline, str) else headline.get('text', '')}")
    rows = [
        (str(tenant.get("tenant")), name.replace("_", " "), *map(_shown, _values(measure)))
        for tenant in answer.get("tenants") or ()
        for name, measure in (tenant.get("measures") or {}).items()
        if measure.get("difference")
    ]
    if not rows:
        emit(
            "No number of any tenant differs."
            if answer.get("tenants")
            else "--json prints the answer in full."
        )
        return
    columns = [("tenant", LEFT), ("measure", LEFT)]
    columns += [(name, RIGHT) for name in ("without", "with", "difference", "low", "high")]
    print_table("What it would do to whom", columns, rows)


def _values(measure: dict[str, Any]) -> list[Any]:
    return [measure.get(name) for name in ("base", "changed", "difference", "low", "high")]


def _shown(value: Any) -> str:
    return "-" if value is None else number(value)


def confirm(
    application: ApplicationArgument,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Id of the gate, e.g. OG11.")],
    reason: ReasonOption,
    deny: Annotated[bool, typer.Option("--deny", help="It is not passed.")] = False,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a gate that needs a person is passed."""
    with connected(server, token_file) as client:
        told(client.office.confirm_gate(application, rule, passed=not deny, reason=reason), as_json=as_json)


def review(
    application: ApplicationArgument,
    part: Annotated[str, typer.Option(help="technical or scientific.")],
    score: Annotated[int, typer.Option(min=1, max=5, help="1 (poor) to 5 (excellent).")],
    recommends: Annotated[str, typer.Option(help="grant or reject.")],
    comment: Annotated[str, typer.Option(help="Why; the applicant reads it once it is decided.")],
    gpu_hours: HoursOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Review an application."""
    with connected(server, token_file) as client:
        found = client.office.review_application(
            application, part=part, score=score, recommends=recommends, comment=comment, gpu_hours=gpu_hours
        )
        told(found, as_json=as_json)


def recuse(
    application: ApplicationArgument,
    reason: ReasonOption,
    person: Annotated[
        str | None, typer.Option(help="Id of somebody else, for allocators. Default: yourself.")
    ] = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Declare a conflict of interest: whoever has one neither sees nor judges the application any more."""
    with connected(server, token_file) as client:
        client.office.recuse(application, reason, person=person)
    emit(f"{application}  recused: {person or 'you'}")


def decide(
    application: ApplicationArgument,
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="grant or reject.")],
    reason: ReasonOption,
    gpu_hours: HoursOption = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide an application or an appeal, after a look at the consequences for the same GPU-hours."""
    with connected(server, token_file) as client:
        found = client.office.decide_application(application, outcome, reason=reason, gpu_hours=gpu_hours)
        told(found, as_json=as_json)


def send_back(
    application: ApplicationArgument,
    reason: ReasonOption,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send an application back to its applicant to be improved."""
    with connected(server, token_file) as client:
        told(client.office.return_application(application, reason), as_json=as_json)


def organisation(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Legal name.")],
    number_: Annotated[str, typer.Option("--number", help="Number in the register of its country.")],
    kind: Annotated[
        str,
        typer.Option(help="university, institute, hospital, startup, sme, enterprise, public or offtaker."),
    ],
    country: Annotated[str, typer.Option(help="Two letters.")] = "NO",
    staff: Annotated[int | None, typer.Option(min=0, help="People who work there.")] = None,
    turnover_eur: Annotated[int | None, typer.Option(min=0, help="Of the last full year.")] = None,
    eea_control: Annotated[
        bool | None, typer.Option("--eea-control/--no-eea-control", help="Controlled from the EEA.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Beneficial owner.")] = None,
    residency: Annotated[str, typer.Option(help="Where its data may be processed: NO, EEA or any.")] = "any",
    people: Annotated[
        list[str] | None, typer.Option("--person", help="Id of somebody who belongs to it. Repeatable.")
    ] = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an organisation; its number is checked by the rules of its register."""
    with connected(server, token_file) as client:
        found = client.office.register_organisation(
            name=name,
            country=country,
            number=number_,
            kind=kind,
            staff=staff,
            turnover_eur=turnover_eur,
            eea_control=eea_control,
            beneficial_owner=owner,
            residency=residency,
        )
        for person in people or ():
            found = client.office.add_person(found.id, person)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    emit(
        f"{found.id}  {found.name}: {found.number} ({found.register_name or found.country}, {found.number_check})"
    )


def project(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Short name, under which its jobs run.")],
    title: Annotated[str, typer.Option(help="What it is about.")],
    organisation_: Annotated[str, typer.Option("--organisation", help="Id of its organisation.")],
    tenant: Annotated[str, typer.Option(help="Tenant of the site whose share it uses.")],
    investigator: Annotated[str, typer.Option(help="Id of the person who leads it.")],
    members: Annotated[
        list[str] | None, typer.Option("--member", help="Id of somebody who may use it. Repeatable.")
    ] = None,
    server: ServerOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a project of an organisation."""
    with connected(server, token_file) as client:
        found = client.office.register_project(
            id=name,
            title=title,
            organisation=organisation_,
            tenant=tenant,
            investigator=investigator,
            members=list(members or ()),
        )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    emit(f"{found.id}  {found.title}: led by {found.investigator}, share of {found.tenant}")
