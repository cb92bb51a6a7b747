"""A job as slurmrestd v0.0.38 takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kvandal.engines.live.protocol import EngineUnreachableError, Order, Share
from kvandal.engines.live.slurm_cluster import SlurmCluster
from kvandal.engines.live.slurm_reading import NodeRow, Note


class NodeSize(NamedTuple):
    """GPUs and processors of a node."""

    gpus: int
    cpus: int


def node_size(nodes: Iterable[NodeRow]) -> NodeSize:
    """Return the size of most nodes.

    Raises
    ------
    EngineUnreachableError
        There is none.

    """
    sizes = Counter(NodeSize(row.now.gpus, row.cpus) for row in nodes)
    if not sizes:
        raise EngineUnreachableError("Slurm shows no node with GPUs")
    return sizes.most_common(1)[0][0]


def description_of(
    order: Order, cluster: SlurmCluster, user: str, note: Note, size: NodeSize
) -> dict[str, Any]:
    """Return the job that an order asks for, held."""

    def filled(pattern: str) -> str:
        return pattern.format(tenant=order.tenant, project=order.project, user=user)

    per_node = min(order.gpus, size.gpus)
    job: dict[str, Any] = {
        "name": order.name or order.key,
        "account": filled(cluster.account),
        "comment": note.text(),
        "hold": True,
        "requeue": True,
        "time_limit": max(1, -(-order.limit_s // 60)),
        "current_working_directory": filled(cluster.working_directory),
        "environment": {
            **cluster.environment, **order.environment, "KVANDAL_JOB": order.key, "KVANDAL_TENANT": order.tenant,
        },
        "tasks_per_node": 1,
        **_shape(-(-order.gpus // size.gpus), per_node, cluster, size),
    }  # fmt: skip
    for field, pattern in (
        ("partition", cluster.partition),
        ("qos", cluster.qos.get(order.tier)),
        ("standard_output", cluster.output),
    ):
        if pattern:
            job[field] = filled(pattern)
    return job


def reshaped(gpus: int, shares: Sequence[Share], cluster: SlurmCluster, size: NodeSize) -> dict[str, Any]:
    """Return what must change of a job of some GPUs so that it fits these shares; as a rule nothing."""
    wanted = (len({share.node for share in shares}), max(share.gpus for share in shares))
    if wanted == (-(-gpus // size.gpus), min(gpus, size.gpus)):
        return {}
    return _shape(*wanted, cluster, size)


def _shape(nodes: int, per_node: int, cluster: SlurmCluster, size: NodeSize) -> dict[str, Any]:
    """Whole nodes for a job that fills them; else a part of each, with its part of the processors."""
    kind = f":{cluster.gpu_type}" if cluster.gpu_type else ""
    shape: dict[str, Any] = {"nodes": [nodes, nodes], "tasks": nodes, "gres": f"gpu{kind}:{per_node}"}
    if size.cpus >= size.gpus:
        shape["cpus_per_task"] = per_node * (size.cpus // size.gpus)
    return shape
