"""`kvandal forecast`: when a job would start, and how likely it is to be recalled."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, note_compilation, print_json, print_table

BINS = (
    ("within a minute", 60.0),
    ("within an hour", 3600.0),
    ("within 6 hours", 21_600.0),
    ("within a day", 86_400.0),
    ("within 3 days", 259_200.0),
)
BAR = 40
"""Width of the longest bar of the histogram [characters]."""
LOSSES = ("failure", "recall", "shed", "checkpoint", "restart", "expiry")


def forecast(
    run: FolderArgument,
    job: Annotated[
        str, typer.Option(metavar="JOB", help="e.g. tenant=uk,gpus=64,hours=6,class=surplus (or kind=batch).")
    ],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it is submitted; default: the end of the run.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="TIME", help="Also: how likely it has finished by then.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Futures to draw.")] = 40,
    days: Annotated[int, typer.Option(help="Look so far ahead for its start [days].")] = 14,
    workers: Annotated[int | None, typer.Option(help="Processes; default: as many as pay.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say when a job would start and end and how likely it is to be recalled, from sampled futures of a run."""
    from kvandal.runs.forecast import ask
    from kvandal.runs.forecast import forecast as forecasted

    signals.hold()
    ask(run, job, at=at, samples=samples, days=days)  # before anybody waits for nothing
    if not as_json:
        note_compilation()
    document = forecasted(
        run, job, at=at, by=by, samples=samples, days=days, workers=workers, progress=signals.check
    )
    signals.check()
    if as_json:
        print_json(document)
    else:
        _print(document)


def _print(document: dict[str, Any]) -> None:
    job, days = document["job"], document["days"]
    asked = f"{job['gpus']:,} GPUs for {job['hours']:g} h, {job['tenant']} ({job['class']}, {job['kind']})"
    title = f"{document['title']}: {asked}, submitted {_shown(document['at_utc'])}"
    if document["refused"] == 1:
        from kvandal.policy.rules import RULES

        why = [f"{rule}: {text}" for rule, text in RULES.values() if rule in document["refused_by"]]
        print_table(
            title, [("", ""), ("", "")], [("refused", "in every future"), *(("", one) for one in why)]
        )
        return
    start, end, later = document["start"], document["end"], f"later than {days} days"
    rows = [
        ("start", _when(start, "p50", later), _when(start, "p90", later)),
        ("end", _when(end, "p50", "not known"), _when(end, "p90", "not known")),
    ]
    print_table(
        title, [("", ""), ("P50: in half of the futures by", ""), ("P90: in nine of ten by", "")], rows
    )
    facts = [
        ("starts within an hour", _share(start["within_1_hour"])),
        ("starts within a day", _share(start["within_1_day"])),
        (f"starts within {days} days", _share(start["within_days"])),
        ("recalled before its end", f"{_share(document['recall']['probability'])}, {document['recall']['mean']:.2g} times on average"),
        ("hit by a failure", _share(document["failure_probability"])),
        ("refused", _share(document["refused"])),
    ]  # fmt: skip
    if end["by"] is not None:
        facts.append((f"finished by {_shown(end['by']['time_utc'])}", _share(end["by"]["probability"])))
    lost = document["lost_gpu_s"]
    parts = ", ".join(f"{cause} {lost[cause] / 3600:,.3g}" for cause in LOSSES if lost[cause])
    facts.append(
        ("expected loss", f"{sum(lost.values()) / 3600:,.3g} GPU-h" + (f" ({parts})" if parts else ""))
    )
    emit("")
    print_table(f"of {document['samples']} futures", [("", ""), ("", "")], facts)
    emit("")
    print_table("first start", [("", ""), ("", "right"), ("", "")], _histogram(document))
    emit("\n" + _sentence(document))


def _histogram(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    limit_s = document["days"] * 86_400
    bins = [*((label, end_s) for label, end_s in BINS if end_s < limit_s), (f"within {document['days']} days", float(limit_s))]  # fmt: skip
    starts = [
        math.inf if one["start_s"] is None else one["start_s"]
        for one in document["futures"]
        if one["refused_rule"] == 0
    ]
    rows, counted = [], 0
    for label, end_s in [*bins, ("later", math.inf)]:
        count = sum(start <= end_s for start in starts) - counted
        counted += count
        rows.append((label, str(count), "█" * round(BAR * count / len(starts))))
    return rows


def _sentence(document: dict[str, Any]) -> str:
    start, days = document["start"], document["days"]
    middle, late = (_span(start[name], days) for name in ("p50_s", "p90_s"))
    recalls = round(document["recall"]["probability"] * (1 - document["refused"]) * document["samples"])
    when = f"{middle} in half of the futures and {late} in nine of ten" if middle != late else f"{late} in nine of ten futures"  # fmt: skip
    return f"The job starts {when}; it is recalled before its end in {recalls} of {document['samples']}."


def _span(seconds: int | None, days: int) -> str:
    """Write a wait for people.

    >>> _span(0, 14), _span(5400, 14), _span(200_000, 14), _span(None, 14)
    ('at once', 'within 1.5 h', 'within 2.3 days', 'not within 14 days')
    """
    if seconds is None:
        return f"not within {days} days"
    if seconds < 60:
        return "at once"
    if seconds < 3600:
        return f"within {math.ceil(seconds / 60)} min"
    return f"within {seconds / 3600:.1f} h" if seconds < 172_800 else f"within {seconds / 86_400:.1f} days"


def _when(part: dict[str, Any], name: str, never: str) -> str:
    return never if part[f"{name}_utc"] is None else _shown(part[f"{name}_utc"])


def _shown(time_utc: str) -> str:
    return f"{datetime.fromisoformat(time_utc):%Y-%m-%d %H:%M} UTC"


def _share(share: float | None) -> str:
    return "not known" if share is None else f"{share:.0%}"
