"""The envelope tree on the page: what limits the site, for how long, and how much room there was."""

from __future__ import annotations

import polars as pl

from kvandal.report.binding import MEANING, NODE_COLUMNS, Binding, bindings
from kvandal.report.chart import Figure, Line, Section, over_time, period_table
from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, amount, escape, number, percent, table, words
from kvandal.report.ticks import Site

ROLES = {
    "grid_connection": "envelope", "curtailment": "unmet", "hv_transformer": "losses", "heat_rejection": "tcs-return",
    "hall_air": "air", "power_block": "price", "cdu": "cooling", "coolant_supply": "tcs-supply", "junction": "broken",
    "start_ramp": "lent",
}  # fmt: skip
HEADS = (
    "constraint", "level", "what is behind it", "nodes bound", "hours, worst node", "worst node", "hours, all nodes",
    "lowest limit [MW]", "least room [MW]", "remark",
)  # fmt: skip


def limits_section(folder: RunFolder, site: Site) -> Section:
    """Draw the hours that each constraint bound, and the site's limit over time."""
    found = bindings(folder.table("nodes", NODE_COLUMNS), folder.run)
    bound = [one for one in found if one.nodes_bound]
    lead = (
        f"The longest: {_named(bound[0])} bound {escape(str(bound[0].worst_node))} for {number(bound[0].hours_bound_worst, 1)} hours."
        if bound
        else "No limit of the plant held anything back in this run; the table says how near each came."
    )
    parts: list[str | Figure] = []
    if bound:
        parts.append(_bars(bound))
    parts += [
        _timeline(folder, site),
        table(HEADS, [_row(one) for one in found], right=(3, 4, 6, 7, 8), kind="limits"),
    ]
    return Section("limits", "What limits the site", lead=lead, parts=parts)


def _named(one: Binding) -> str:
    return escape(words(one.constraint))


def _bars(bound: list[Binding]) -> Figure:
    rows = [
        {"name": f"{words(b.constraint)} ({b.level})", "role": ROLES.get(b.constraint, "it"), "value": round(b.hours_bound_worst, 2),
         "note": f"{b.worst_node}; {b.nodes_bound} of {b.nodes} nodes bound"}
        for b in bound
    ]  # fmt: skip
    return Figure(
        "binding",
        "Hours bound, by constraint",
        "Hours in which a constraint held work back at the node of the envelope tree that it bound longest. A node whose limits bind "
        "is charged to the tightest of them.",
        {"kind": "bars", "unit": "h", "decimals": 1, "rows": rows},
        table(
            ["constraint", "worst node", "hours", "hours, all nodes"],
            [
                [
                    _named(b),
                    escape(str(b.worst_node)),
                    number(b.hours_bound_worst, 1),
                    number(b.hours_bound_sum, 1),
                ]
                for b in bound
            ],
            right=(2, 3),
        ),
    )


def _timeline(folder: RunFolder, site: Site) -> Figure:
    grid = site.grid
    frame = folder.scan("site", ["time_utc", "it_limit_mw", "constraint"])
    by_constraint = grid.collect_by(
        frame.filter(pl.col("constraint").is_not_null()), "constraint", [pl.col("it_limit_mw").min()]
    )
    shares = frame.group_by("constraint").agg(pl.len().alias("ticks")).sort("constraint").collect()
    ticks = int(shares["ticks"].sum())
    told = "; ".join(
        f"{escape(words(str(name)))} {percent(count / ticks)}"
        for name, count in shares.sort("ticks", descending=True).iter_rows()
        if name is not None
    )
    names = [name for name in ROLES if name in by_constraint]
    lines = [Line("IT power", "it", site.series["it_power_mw"])]
    lines += [
        Line(f"Limit: {words(name)}", ROLES[name], by_constraint[name]["it_limit_mw"], "line")
        for name in names
    ]
    return Figure(
        "limit",
        "IT power that the meter leaves the site",
        f"The lines are the IT power that surely fits behind the meter with its losses and cooling, reckoned cautiously from the tick "
        f"before, by the constraint that says so (share of the time: {told or DASH}). {str(grid).capitalize()} means of the draw, "
        "lowest limits.",
        over_time(grid, lines, ["MW"]),
        period_table(grid, lines, ["MW"]),
    )


def _row(one: Binding) -> list[str]:
    is_bound = one.nodes_bound > 0
    return [
        f"<b>{_named(one)}</b>" if is_bound else _named(one),
        one.level,
        escape(MEANING.get(one.constraint, "")),
        f"{number(one.nodes_bound)} of {number(one.nodes)}",
        number(one.hours_bound_worst, 1) if is_bound else DASH,
        escape(str(one.worst_node)) if is_bound else DASH,
        number(one.hours_bound_sum, 1) if is_bound else DASH,
        amount(one.lowest_limit_mw, "") if one.lowest_limit_mw is not None else DASH,
        DASH if is_bound or one.least_headroom_mw is None else amount(one.least_headroom_mw, ""),
        escape(one.remark),
    ]
