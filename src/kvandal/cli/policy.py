"""`kvandal policy`: our policy in other schedulers' words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    JsonOption,
    ScenarioArgument,
    SetOption,
    emit,
    print_json,
    print_table,
    scenario_of,
)
from kvandal.errors import InputError

if TYPE_CHECKING:
    from kvandal.engines.export import Export


def export(
    scenario: ScenarioArgument,
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="slurm or kueue.")],
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Limits at this time, ISO with offset. Default: the start of the run."
        ),
    ] = None,
    changes: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; must not exist. Default: policies/NAME-TARGET-N.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the policy as accounts and limits of Slurm, or as objects of Kueue, and list what neither can say."""
    from kvandal.engines.export import TARGETS, export_policy
    from kvandal.runs.folder import next_folder, refuse_existing, whole_folder, write_durably

    if to not in TARGETS:
        raise InputError(f"must be {' or '.join(TARGETS)}, got {to!r}", key="--to")
    moment = _moment(at)
    loaded = scenario_of(scenario, changes)
    signals.hold()
    exported = export_policy(loaded, to, moment)
    folder = out if out is not None else next_folder(f"{loaded.name}-{to}", "policies")
    refuse_existing(folder)
    with whole_folder(folder) as draft:
        for name, text in exported.files.items():
            write_durably(text.encode("utf-8"), draft / name)
        signals.check()
    if as_json:
        print_json(_document(exported, folder))
    else:
        _print(exported, folder)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"must be an ISO time with its offset, e.g. 2027-01-12T06:00Z, got {text!r}", key="--at"
        ) from None
    if moment.tzinfo is None:
        raise InputError(f"must say its offset from UTC, e.g. {text.strip()}Z, got {text!r}", key="--at")
    return moment


def _document(exported: Export, folder: Path) -> dict[str, Any]:
    contract = exported.contract
    return {
        "target": exported.target,
        "scenario": contract.scenario.name,
        "at_utc": contract.at_utc.isoformat(),
        "racks": contract.standing,
        "gpus": contract.installed,
        "folder": str(folder),
        "files": sorted(exported.files),
        "mismatches": [each.as_dict() for each in exported.mismatches],
        "others": [each.as_dict() for each in exported.expressions if not each.mismatch],
    }


def _print(exported: Export, folder: Path) -> None:
    from kvandal.engines.expression import CONCEPTS

    contract = exported.contract
    print_table(
        f"{contract.scenario.name} for {exported.target}: what it cannot say, or only nearly "
        f"(limits at {contract.at_utc.isoformat()}, {contract.installed:,} GPUs)",
        [("policy", "left"), ("", "left"), ("what", "left"), ("what to do", "left")],
        [(CONCEPTS[each.concept], each.status, each.what, each.remedy) for each in exported.mismatches],
    )
    emit(f"\n{len(exported.files)} files in {folder}; README.md says how to use them")
