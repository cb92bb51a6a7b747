"""`kvandal why`: the life of one job of a run, in sentences, with the rules behind it."""

from __future__ import annotations

from typing import Annotated

import typer

from kvandal.cli.options import FolderArgument, JsonOption, emit, print_json


def why(
    run: FolderArgument,
    job: Annotated[int, typer.Argument(metavar="JOB", help="Number of the job, as in jobs.parquet.")],
    as_json: JsonOption = False,
) -> None:
    """Tell the life of a job: what it waited for, on whose GPUs it ran, what took them, and by which rules."""
    from kvandal.runs.why import why as tell

    found = tell(run, job)
    if as_json:
        print_json(found.as_dict())
        return
    lines = [f"Job {found.job} of {found.title} (times of {found.time_zone})", ""]
    lines += [sentence.text for sentence in found.sentences]
    if found.rules:
        lines += ["", "Rules"]
        lines += [f"  {rule}  {text}" for rule, text in found.rules.items()]
    emit("\n".join(lines))
