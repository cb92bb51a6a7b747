"""What `kvandal show RUN --binding`, `--faults` and `--power` print: limits, faults, and what power held back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.cli.options import emit, number, print_table

if TYPE_CHECKING:
    from kvandal.report.binding import Binding

LEFT, RIGHT = "left", "right"
DASH = "-"


def plant_document(
    folder: Path, record: dict[str, Any], *, binding: bool, faults: bool, power: bool
) -> dict[str, Any]:
    """Read what was asked for: `constraints` and `faults` as lists of rows, `power` as one document."""
    from kvandal.report.binding import NODE_COLUMNS, bindings
    from kvandal.report.folder import RunFolder
    from kvandal.report.outcomes import COST_COLUMNS, FAULT_COLUMNS, outcomes
    from kvandal.report.shedding import shedding

    run = RunFolder(folder)
    document: dict[str, Any] = {}
    if binding:
        document["constraints"] = [b.as_dict() for b in bindings(run.table("nodes", NODE_COLUMNS), record)]
    if faults:
        told = outcomes(run.table("faults", FAULT_COLUMNS), run.table("fault_costs", COST_COLUMNS))
        document["faults"] = [
            {**row, "start_utc": row["start_utc"].isoformat(), "end_utc": row["end_utc"].isoformat()}
            for row in told
        ]
    if power:
        document["power"] = shedding(run)
    return document


def print_plant(title: str, document: dict[str, Any]) -> None:
    """Print the document as tables."""
    from kvandal.report.binding import Binding

    if "constraints" in document:
        _print_binding(title, [Binding(**row) for row in document["constraints"]])
    if "faults" in document:
        if "constraints" in document:
            emit("")
        _print_faults(title, document["faults"])
    if "power" in document:
        if len(document) > 1:
            emit("")
        _print_power(title, document["power"])


def _print_binding(title: str, found: list[Binding]) -> None:
    bound = [b for b in found if b.nodes_bound]
    if bound:
        print_table(
            f"{title}: hours bound",
            [
                ("constraint", LEFT),
                ("level", LEFT),
                ("nodes bound", RIGHT),
                ("hours, all nodes", RIGHT),
                ("hours, worst", RIGHT),
                ("worst node", LEFT),
                ("lowest limit MW", RIGHT),
                ("remark", LEFT),
            ],
            [
                (
                    b.constraint,
                    b.level,
                    f"{b.nodes_bound} of {b.nodes}",
                    number(b.hours_bound_sum),
                    number(b.hours_bound_worst),
                    b.worst_node or DASH,
                    _mw(b.lowest_limit_mw),
                    b.remark,
                )
                for b in bound
            ],
        )
        emit("")
    free = [b for b in found if not b.nodes_bound]
    print_table(
        f"{'Never bound' if bound else f'{title}: nothing was ever bound'}; the least room comes first",
        [
            ("constraint", LEFT),
            ("level", LEFT),
            ("nodes", RIGHT),
            ("least room MW", RIGHT),
            ("at", LEFT),
            ("lowest limit MW", RIGHT),
            ("at", LEFT),
            ("remark", LEFT),
        ],
        [
            (
                b.constraint,
                b.level,
                number(b.nodes),
                _mw(b.least_headroom_mw),
                b.headroom_node or DASH,
                _mw(b.lowest_limit_mw),
                b.lowest_node or DASH,
                b.remark,
            )
            for b in free
        ],
    )


def _mw(value: float | None) -> str:
    return DASH if value is None else number(value)


def _print_faults(title: str, faults: list[dict[str, Any]]) -> None:
    if not faults:
        emit(f"{title}: no fault of the plant")
        return
    print_table(
        f"{title}: faults and what each did",
        [
            ("start UTC", LEFT),
            ("fault", LEFT),
            ("where", LEFT),
            ("what happened", LEFT),
            ("jobs hit", RIGHT),
            ("lost GPU-h", RIGHT),
            ("slowed GPU-h", RIGHT),
            ("most to", LEFT),
        ],
        [
            (
                row["start_utc"][:16].replace("T", " "),
                f"{row['kind']}{row['amount']}",
                row["place"],
                row["outcome"],
                number(row["jobs_hit"]),
                number(row["lost_gpu_h"]),
                number(row["slowed_gpu_h"]),
                ", ".join(cost["tenant"] for cost in row["tenants"][:2]) or DASH,
            )
            for row in faults
        ],
    )


def _print_power(title: str, found: dict[str, Any]) -> None:
    capped, lost = found["capped_time_fraction"], found["gpu_hours_lost_to_power"]
    ratio = found["oversubscription"]
    print_table(
        f"{title}: power",
        [("", LEFT), ("", RIGHT)],
        [
            ("GPUs", number(found["gpus"])),
            ("nameplate MW: every rack at TDP, at the run's PUE", _mw(found["nameplate_mw"])),
            ("envelope MW", _mw(found["envelope_mw"])),
            ("nameplate over envelope", DASH if ratio is None else f"{ratio:.1%}"),
            ("highest, mean MW", f"{_mw(found['peak_site_mw'])}, {_mw(found['mean_site_mw'])}"),
            ("power held somebody back, of the time", _share(found["power_bound_time_fraction"])),
            *((f"{tier} work capped, of the time", _share(capped.get(tier))) for tier in reversed(capped)),
            ("jobs stopped or under notice for power, of the time", _share(found["shed_time_fraction"])),
            ("jobs shed at once", number(found["jobs_shed"])),
            ("loans recalled for power", number(found["recalls_for_power"])),
            ("GPU-hours lost to caps", number(lost.get("capped"))),
            ("GPU-hours lost when work was stopped", number(lost.get("stopped"))),
            ("cost at the tenants' prices, USD", number(found["shed_cost_usd"])),
        ],
    )
    emit("")
    print_table(
        "What it cost whom",
        [
            ("tenant", LEFT),
            ("tier", LEFT),
            ("lost to caps GPU-h", RIGHT),
            ("stopped GPU-h", RIGHT),
            ("USD/GPU-h", RIGHT),
            ("cost USD", RIGHT),
        ],
        [
            (
                row["tenant"],
                row["tier"],
                number(row["capped_gpu_h"]),
                number(row["stopped_gpu_h"]),
                f"{row['price_usd_per_gpu_hour']:.2f}",
                number(row["cost_usd"]),
            )
            for row in found["tenants"]
        ],
    )
    emit("")
    print_table(
        "Hours a year by site power over envelope",
        [("from", RIGHT), ("hours a year", RIGHT)],
        [(f"{band['from_fraction']:.0%}", number(band["hours_per_year"])) for band in found["bands"]],
    )


def _share(value: float | None) -> str:
    return DASH if value is None else f"{value:.2%}"
