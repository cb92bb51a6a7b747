"""Which limits of the plant held work back, for how long, and which is next: from `nodes.parquet`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

NODE_COLUMNS = [
    "node", "level", "constraint", "hours_tightest", "hours_bound", "lowest_limit_mw", "least_headroom_mw",
]  # fmt: skip
MEANING = {
    "grid_connection": "the connection less its margin",
    "curtailment": "an order to draw less",
    "hv_transformer": "HV transformers that work",
    "heat_rejection": "coolers of the hall in the weather of the hour",
    "hall_air": "fan walls: air that the racks breathe",
    "power_block": "MV transformers and UPS of the row group that work",
    "cdu": "CDUs and pumps of the pod that work",
    "coolant_supply": "warmest coolant that the racks may get",
    "start_ramp": "the ramp of the site's return after a trip",
    "junction": "temperature at which the GPUs throttle",
}
"""What is behind a constraint, in words."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A constraint over all nodes that it can limit.

    Attributes
    ----------
    level : of the tree: site, hall, group or pod
    nodes : nodes of that level
    nodes_bound : of these, how many it ever bound
    hours_bound_sum : hours that it bound, summed over the nodes [h]
    hours_bound_worst, worst_node : at the node that it bound longest [h]
    hours_tightest : node-hours in which it was the tightest limit, binding or not [h]
    lowest_limit_mw, lowest_node : smallest IT power that it left to a node [MW]; None if it never was the tightest
    least_headroom_mw, headroom_node : least room between limit and draw [MW]; None if it is not known
    remark : what else a run says about it

    """

    constraint: str
    level: str
    nodes: int
    nodes_bound: int
    hours_bound_sum: float
    hours_bound_worst: float
    worst_node: str | None
    hours_tightest: int
    lowest_limit_mw: float | None
    lowest_node: str | None
    least_headroom_mw: float | None
    headroom_node: str | None
    remark: str

    def as_dict(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


def bindings(nodes: pl.DataFrame, run: dict[str, Any]) -> list[Binding]:
    """Sum up `nodes.parquet` by constraint: those that bound first, longest first; then those with the least room.

    `run` holds summary and scenario, as in run.json.
    """
    remarks = _remarks(run)
    found = []
    for (name, level), part in nodes.group_by("constraint", "level", maintain_order=True):
        bound = part.filter(pl.col("hours_bound") > 0).sort(
            "hours_bound", descending=True, maintain_order=True
        )
        lowest = _lowest(part, "lowest_limit_mw")
        nearest = _lowest(part, "least_headroom_mw")
        found.append(
            Binding(
                constraint=str(name),
                level=str(level),
                nodes=part.height,
                nodes_bound=bound.height,
                hours_bound_sum=float(bound["hours_bound"].sum()),
                hours_bound_worst=float(bound["hours_bound"][0]) if bound.height else 0.0,
                worst_node=str(bound["node"][0]) if bound.height else None,
                hours_tightest=int(part["hours_tightest"].sum()),
                lowest_limit_mw=lowest[0],
                lowest_node=lowest[1],
                least_headroom_mw=nearest[0],
                headroom_node=nearest[1],
                remark=remarks.get(str(name), "" if lowest[1] else "never the tightest"),
            )
        )
    infinite = float("inf")
    return sorted(
        found,
        key=lambda b: (
            -b.hours_bound_worst,
            b.least_headroom_mw if b.least_headroom_mw is not None else infinite,
            b.lowest_limit_mw if b.lowest_limit_mw is not None else infinite,
        ),
    )


def _lowest(part: pl.DataFrame, column: str) -> tuple[float | None, str | None]:
    """Smallest known value of a column and its node."""
    known = part.filter(pl.col(column).is_not_null()).sort(column, maintain_order=True)
    return (float(known[column][0]), str(known["node"][0])) if known.height else (None, None)


def _remarks(run: dict[str, Any]) -> dict[str, str]:
    """How near temperatures came to their limits."""
    summary, scenario = run.get("summary") or {}, run.get("scenario") or {}
    remarks = {}
    coolant_c, limit_c = (
        summary.get("tcs_supply_peak_c"),
        (scenario.get("cooling") or {}).get("tcs_supply_maximum_c"),
    )
    if coolant_c is not None and limit_c is not None:
        remarks["coolant_supply"] = f"warmest {coolant_c:.1f} °C, at most {limit_c:g} °C"
    junction_c, throttle_c = summary.get("junction_peak_c"), throttle_of(scenario)
    if junction_c is not None and throttle_c is not None:
        remarks["junction"] = f"hottest {junction_c:.1f} °C, throttles at {throttle_c:g} °C"
    return remarks


def throttle_of(scenario: dict[str, Any]) -> float | None:
    """Lowest temperature at which a kind of rack on the site throttles [°C]."""
    fleet = (scenario.get("site") or {}).get("fleet") or {}
    models = scenario.get("rack_models") or {}
    found = [models.get(block.get("model"), {}).get("throttle_c") for block in fleet.values()]
    return min((float(c) for c in found if c is not None), default=None)
