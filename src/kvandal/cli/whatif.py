"""`kvandal whatif`: what a change does to every tenant and to the site."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import samples, signals
from kvandal.cli.options import (
    JsonOption,
    SetOption,
    changes_of,
    days_of,
    emit,
    note,
    number,
    print_json,
    print_table,
)
from kvandal.cli.run import simulate_shown
from kvandal.errors import RunFolderError, ScenarioError

if TYPE_CHECKING:
    from kvandal.runs.members import Progress
    from kvandal.runs.run import Run
    from kvandal.runs.whatif import Question, WhatIf
    from kvandal.scenario.model import Scenario

SHOWN_CHANGES = 12
"""Changed keys that are listed."""
LONGEST_SHOWN = 40
"""Longer values are cut [characters]."""


def whatif(
    base: Annotated[
        str,
        typer.Argument(metavar="BASE", help="A preset, a TOML file or a run folder; a preset goes first."),
    ],
    overlays: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHANGE]...", help="TOML files with the keys that change; all together are one change."
        ),
    ] = None,
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of both runs [days].")] = None,
    seed: Annotated[int | None, typer.Option(help="First seed of both runs.")] = None,
    seeds: Annotated[
        int,
        typer.Option(metavar="N", help="Compare over N seeds; from two on differences have a 95 % interval."),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes for the seeds after the first; results do not depend on them. Default: all cores."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; must not exist. Default: whatif/NAME-N.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print also what did not change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Simulate a scenario as it is and changed, over the same demand and chance, and say who gains and who loses."""
    from kvandal.runs.folder import next_folder, refuse_unwritable
    from kvandal.runs.whatif import answer, ask, write_whatif
    from kvandal.scenario.plausibility import warnings_of

    if workers is not None and workers < 1:
        raise ScenarioError(f"must be at least 1, got {workers}", key="--workers")
    asked, variant = _sides(base, overlays or [], changes, days, seed)
    question = ask(asked, variant, seeds)
    for warning in dict.fromkeys([*warnings_of(asked), *warnings_of(variant)]):
        note(f"kvandal: warning: {warning}")
    if not question.changes:
        note("kvandal: warning: nothing is changed: both sides are the same scenario")
    folder = out if out is not None else next_folder(variant.name, "whatif")
    refuse_unwritable(folder)

    def shown(side: str, scenario: Scenario, demand: Any) -> Run:
        if not as_json:
            note(f"{side}:")
        return simulate_shown(scenario, silent=as_json, demand=demand)

    signals.hold()
    with ExitStack() as bar:
        progress: list[Progress] = [signals.check] if as_json else []

        def others(done: int, total: int) -> None:
            if not progress:  # not before the first seed is through, which has bars of its own
                progress.append(bar.enter_context(samples.shown_progress("simulations of the other seeds")))
            progress[0](done, total)

        found = answer(question, workers=workers, progress=others, simulate_side=shown)
    if not as_json:
        note("writing tables and reports ...")
    write_whatif(found, folder)
    _note_drift(base, question, found)
    if as_json:
        print_json({"folder": str(folder), **found.record})
    else:
        _print(question, found, everything=everything)
        emit(f"\n{folder / 'whatif.html'}")


def _sides(
    source: str, overlays: Sequence[str], changes: Sequence[str] | None, days: int | None, seed: int | None
) -> tuple[Scenario, Scenario]:
    """Load both sides; days and seed hold for both."""
    from kvandal.scenario.loading import changed, load, presets

    both = {"run.days": ("--days", days), "run.seed": ("--seed", seed)}
    common, common_labels = changes_of(None, both)
    parsed, labels = changes_of(changes, both)
    if source in presets() or not _is_folder(source):
        return load(source, common, labels=common_labels), load(
            source, parsed, labels=labels, overlays=overlays
        )
    ran = _of_run(Path(source))
    return (
        changed(ran, common, labels=common_labels, name=source),
        changed(ran, parsed, labels=labels, overlays=overlays, name=source),
    )


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir()
    except (OSError, ValueError):
        return False


def _of_run(folder: Path) -> Scenario:
    """Return the scenario of a run."""
    from kvandal.runs.folder import read_record
    from kvandal.scenario.loading import from_json

    record = read_record(folder)
    try:
        return from_json(record["scenario"])
    except ScenarioError as error:
        raise RunFolderError(
            f"is not one of this version of kvandal: {error}", file=folder / "run.json", key="scenario"
        ) from None


def _note_drift(source: str, question: Question, found: WhatIf) -> None:
    """Say so if the base, simulated now, is not what the run folder holds: other inputs or another version."""
    from kvandal.runs.contract import without_nan
    from kvandal.runs.folder import read_record
    from kvandal.scenario.loading import presets

    if source in presets() or not _is_folder(source):
        return
    record = read_record(source)
    same_time = (record["days"], record["seed"]) == (question.base.run.days, question.base.run.seed)
    if same_time and record["summary"] != without_nan(found.base.summary):
        note(
            f"kvandal: warning: {source}: the base comes out otherwise than in this run, which kvandal "
            f"{record['kvandal_version']} wrote: the program or an input has changed since"
        )


def _print(question: Question, found: WhatIf, *, everything: bool) -> None:
    record = found.record
    count = len(record["seeds"])
    for line in _facts(record):
        emit(line)
    emit("")
    heads = [
        ("", ""),
        ("", ""),
        ("base", "right"),
        ("variant", "right"),
        ("difference", "right"),
        ("", "right"),
    ]
    if count > 1:
        heads.append(("95 % interval", "right"))
    rows = list(_rows(record, everything=everything))
    with_seeds = f"means over {count} seeds" if count > 1 else f"seed {record['seeds'][0]}"
    title = f"{record['title']}: {days_of(question.base.run.days)}, {with_seeds}"
    if rows:
        print_table(title, heads, rows)
        hidden = "" if everything else "  What is not listed did not change (--all lists it)."
    else:
        emit(title)
        hidden = "Nothing changed: every difference is 0 (--all lists them)."
    if hidden:
        emit(hidden.strip())
    emit("")
    emit(record["gains_text"])
    emit(record["loses_text"])
    if count == 1 and rows:
        emit("One seed: how much of this is chance is not known; --seeds 5 gives intervals.")


def _facts(record: Mapping[str, Any]) -> Iterator[str]:
    """Say what is changed, and what both sides have in common."""
    for one in record["changes"][:SHOWN_CHANGES]:
        yield f"changed: {one['key']}  {_value(one['base'])} -> {_value(one['variant'])}"
    if len(record["changes"]) > SHOWN_CHANGES:
        yield f"changed: and {len(record['changes']) - SHOWN_CHANGES} more keys"
    shared = record["shared"]
    names = {
        "failures": "failures",
        "faults": "faults of the plant",
        "weather": "weather",
        "prices": "prices",
    }
    same = [f"{shared['jobs']:,} jobs"] if not shared["demand_differs"] else []
    same += [name for key, name in names.items() if shared[key]]
    yield f"the same on both sides: {', '.join(same) or 'nothing'}"
    if shared["demand_differs"]:
        yield f"demand differs: {'; '.join(shared['demand_differs'])}"
    if shared["demand_held"]:
        yield f"demand held to that of the base: {', '.join(shared['demand_held'])}; the variant alone would draw other jobs"
    other = [name for key, name in names.items() if not shared[key]]
    if other:
        yield f"drawn otherwise, because the change concerns them: {', '.join(other)}"


def _value(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _rows(record: Mapping[str, Any], *, everything: bool) -> Iterator[tuple[str, ...]]:
    """Rows of the table: by tenant, the site last."""
    from kvandal.runs.paired import is_change, signed_percent

    metrics = {(one["of"], one["key"]): one for one in record["metrics"]}
    before = ""
    for row in record["rows"]:
        if not (everything or is_change(row)):
            continue
        whose = row["tenant"] or "the site"
        metric = metrics["site" if row["tenant"] is None else "tenant", row["metric"]]
        unit = row["unit"]
        name = metric["label"] if unit in {"1", "s", "GPU-h"} else f"{metric['label']} [{unit}]"
        share = "" if not row["relative"] else signed_percent(row["relative"])
        yield (
            whose if whose != before else "",
            name,
            _amount(row["base"], unit),
            _amount(row["variant"], unit),
            _signed(row["difference"], unit),
            share,
            *([_interval(row, unit, len(record["seeds"]))] if len(record["seeds"]) > 1 else []),
        )
        before = whose


def _amount(value: float | None, unit: str) -> str:
    if unit == "s" and value is not None:
        from kvandal.runs.paired import signed_span

        return signed_span(value).removeprefix("+")
    return number(int(value) if value is not None and value == int(value) else value)


def _signed(value: float | None, unit: str) -> str:
    text = _amount(value, unit)
    if not value:
        return "0" if value == 0 else text
    return text if value < 0 else f"+{text}"


def _interval(row: Mapping[str, Any], unit: str, seeds: int) -> str:
    if row["low"] is None:
        return f"known to {row['seeds']} of {seeds} seeds"
    return f"{_signed(row['low'], unit)} to {_signed(row['high'], unit)}"
