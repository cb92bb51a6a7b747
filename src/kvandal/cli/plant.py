"""What `kvandal show RUN --binding` and `--faults` print: limits of the plant, and what its faults did to whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.cli.options import emit, number, print_table

if TYPE_CHECKING:
    from kvandal.report.binding import Binding

LEFT, RIGHT = "left", "right"
DASH = "-"


def plant_document(folder: Path, record: dict[str, Any], *, binding: bool, faults: bool) -> dict[str, Any]:
    """Read what was asked for: `constraints` and `faults` as lists of rows."""
    from kvandal.report.binding import NODE_COLUMNS, bindings
    from kvandal.report.folder import RunFolder
    from kvandal.report.outcomes import COST_COLUMNS, FAULT_COLUMNS, outcomes

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
