"""`kvandal optimise`: the best values under bounds, by black-box optimisation, with the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kvandal.cli import signals
from kvandal.cli.options import (
    JsonOption,
    SetOption,
    changes_of,
    days_of,
    emit,
    note,
    note_compilation,
    number,
    print_json,
    print_table,
)
from kvandal.cli.sweep import (
    QuietOption,
    RayOption,
    ResumeOption,
    WorkersOption,
    refuse_beside_resume,
    refuse_workers,
    shown,
)
from kvandal.errors import ScenarioError

if TYPE_CHECKING:
    from kvandal.runs.optimise import Optimum
    from kvandal.runs.search import Search

TRIALS, SAMPLES, CHECK = 100, 1, 5


def optimise(
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", help="A preset's name or a TOML file; a preset goes first."),
    ] = None,
    maximise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Quantity that shall be large, e.g. gpu_hours, or any number of the summary. Repeatable; several objectives "
            "give a front.",
        ),
    ] = None,
    minimise: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Quantity that shall be small, e.g. cost_eur or wait_p95_s.uk. Repeatable."
        ),
    ] = None,
    subject_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME < NUMBER UNIT'",
            help="Bound that must hold with every seed, e.g. 'wait_p95_norway < 30 min'; one or several after each other.",
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=lo..hi",
            help="Where to search: a range (whole numbers stay whole; lo..hi:step has steps) or choices a,b,c. One or several.",
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            metavar="N", help="Choices of values that are tried; the scenario as it is comes first."
        ),
    ] = TRIALS,
    number_of_samples: Annotated[
        int,
        typer.Option(
            "--samples",
            metavar="N",
            help="Seeds with which every trial is simulated: objectives are means over them, bounds hold with each.",
        ),
    ] = SAMPLES,
    check: Annotated[
        int, typer.Option(metavar="N", help="Further seeds with which the best is simulated again; 0: none.")
    ] = CHECK,
    changes: SetOption = None,
    days: Annotated[int | None, typer.Option(help="Length of every run [days].")] = None,
    seed: Annotated[int | None, typer.Option(help="First seed, and seed of the search itself.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write, or to go on in if it holds this search. Default: searches/NAME-N."
        ),
    ] = None,
    resume: ResumeOption = None,
    workers: WorkersOption = None,
    ray: RayOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search the best values of some keys under bounds (Optuna), and say how sure that is; needs kvandal[optimise]."""
    from kvandal.runs.optimise import opened, run_search, search_in

    refuse_workers(workers, ray)
    folder: Path | None
    if resume is not None:
        named = {
            "--maximise": maximise, "--minimise": minimise, "--subject-to": subject_to, "--over": over, "--set": changes,
            "--days": days, "--seed": seed, "--out": out,
            "--trials": None if trials == TRIALS else trials,
            "--samples": None if number_of_samples == SAMPLES else number_of_samples,
            "--check": None if check == CHECK else check,
        }  # fmt: skip
        refuse_beside_resume(scenario, named)
        search, folder = search_in(resume), resume
    else:
        search = _asked(
            scenario,
            maximise,
            minimise,
            subject_to,
            over,
            trials,
            number_of_samples,
            check,
            changes,
            days,
            seed,
        )
        folder = out
    signals.hold()
    place = opened(search, folder).path
    signals.keep(f"finished members are kept; go on with kvandal optimise --resume {place}")
    silent = quiet or as_json
    if not silent:
        if ray is None:
            note_compilation()
        note(
            f"{place}: {search.trials:,} trials of {days_of(search.scenario.run.days)} over {len(search.ranges)} "
            f"{'key' if len(search.ranges) == 1 else 'keys'} ..."
        )
    with shown(silent=silent) as progress:
        found = run_search(search, place, workers=workers, ray=ray, progress=progress, watch=signals.check)
    signals.check()
    if as_json:
        print_json({"folder": str(place), **found.record["result"]})
    elif not quiet:
        _print(search, found)
        emit(f"\n{place / 'optimise.html'}")


def _asked(
    scenario: str | None,
    maximise: list[str] | None,
    minimise: list[str] | None,
    subject_to: list[str] | None,
    over: list[str] | None,
    trials: int,
    samples: int,
    check: int,
    changes: list[str] | None,
    days: int | None,
    seed: int | None,
) -> Search:
    from kvandal.runs.search import parse_over, plan_search
    from kvandal.scenario.plausibility import warnings_of

    if scenario is None:
        raise ScenarioError("name a preset or a TOML file, or --resume FOLDER", key="SCENARIO")
    parsed, labels = changes_of(changes, {"run.days": ("--days", days), "run.seed": ("--seed", seed)})
    search = plan_search(
        scenario, parse_over(over or []), maximise=maximise or (), minimise=minimise or (), subject_to=subject_to or (),
        trials=trials, samples=samples, check=check, changes=parsed, labels=labels,
    )  # fmt: skip
    for warning in warnings_of(search.scenario):
        note(f"kvandal: warning: {warning}")
    return search


def _print(search: Search, found: Optimum) -> None:
    result = found.record["result"]
    counts = ", ".join(f"{count:,} {status}" for status, count in result["statuses"].items())
    title = f"{search.scenario.site.title}: {days_of(search.scenario.run.days)}, {search.trials:,} trials ({counts})"
    best = result["best"] or result["nearest"]
    if best is None:
        emit(title)
        emit("No trial has all numbers that are asked for; nothing can be said.")
        if result["refused"] is not None:
            emit(f"{result['refused']['members']:,} were refused, e.g. {result['refused']['reason']}")
        return
    name = "best" if result["best"] is not None else "least beyond"
    before = result["as_it_is"]
    heads = [
        ("", ""),
        *([("as it is", "right")] if before else []),
        (f"{name}: trial {best['trial']}", "right"),
        ("", ""),
    ]
    if result["checks"] and result["checks"][0]["trial"] == best["trial"]:
        heads.append((f"with {search.check} other seeds", "right"))
        check = result["checks"][0]
    else:
        check = None
    print_table(title, heads, list(_rows(result, before, best, check)))
    if result["best"] is None:
        emit("No trial keeps all bounds; shown is the one that lies least beyond them.")
    if check is not None and search.bounds:
        emit(
            f"All bounds hold with {check['all_hold']} of {search.check} seeds that the search did not know."
        )
    several = len(search.objectives) > 1
    if several or search.bounds:
        what = "all objectives" if several else "the objective and what is bounded"
        emit(f"{len(result['front']):,} trials are beaten by no other in {what}: they are on the page.")


def _rows(
    result: dict[str, Any], before: dict[str, Any] | None, best: dict[str, Any], check: dict[str, Any] | None
) -> Iterator[tuple[str, ...]]:
    """Rows of the table: values, objectives, bounds."""
    for key, value in best["values"].items():
        first = [number(before["values"][key])] if before else []
        yield (key, *first, number(value), "", *([""] if check else []))
    for one in result["objectives"]:
        first = [number(before["objectives"][one["name"]])] if before else []
        unit = "" if one["unit"] == "1" else one["unit"]
        spread = [_spread(check["objectives"][one["name"]])] if check else []
        yield (f"{one['name']}, {'max' if one['better'] > 0 else 'min'}imised", *first, number(best["objectives"][one["name"]]), unit, *spread)  # fmt: skip
    for place, one in enumerate(result["bounds"]):
        met = best["bounds"][place]
        first = [number(before["bounds"][place]["value"])] if before else []
        unit = "" if one["unit"] == "1" else one["unit"]
        held = "holds" if met["holds"] else "does not hold"
        others = []
        if check:
            seeds = check["bounds"][place]
            others = [f"{_spread(seeds['values'])}; holds {seeds['holds']} of {len(check['seeds'])}"]
        yield (one["text"], *first, number(met["value"]), f"{unit}  {held}".strip(), *others)


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{number(min(known))} to {number(max(known))}" if known else "not known"
