"""Our policy as Kueue objects (v1beta2): Topology, ResourceFlavor, Cohort, ClusterQueue, LocalQueue, priority classes.

A group is a Cohort and a tenant a ClusterQueue in it. Kueue's availability is our recursion (rule K1): `nominalQuota` is
the deserved share, `lendingLimit` that less the guarantee, `borrowingLimit` the ceiling less the deserved share. What nobody
deserves is the quota of the root Cohort, so that all nominal quotas sum to what is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvandal.engines.entitlements import Contract, Party
from kvandal.scenario.tenants import TIERS, Tier

API = "kueue.x-k8s.io/v1beta2"
GPU = "nvidia.com/gpu"
TOPOLOGY = "nvl72"
LEVELS = ("kvandal/hall", "kvandal/row", "kvandal/rack", "kubernetes.io/hostname")
"""Labels of a node, from the widest place to the tray."""
KIND_LABEL = "kvandal/rack-model"
PRIORITY: dict[Tier, int] = {"firm": 1000, "assured": 500, "lent": 100}
Object = dict[str, Any]
Quota = dict[str, int]
"""GPUs by flavor."""


def flavor_name(model: str) -> str:
    """Name of the flavor of a kind of rack.

    >>> flavor_name("gb300_nvl72")
    'gb300-nvl72'
    """
    return model.replace("_", "-")


def split(amount: int, room: Mapping[str, int]) -> Quota:
    """Split GPUs over flavors in proportion to their room, in whole GPUs, never more than the room.

    >>> split(10, {"a": 20, "b": 10}), split(3, {"a": 1, "b": 2})
    ({'a': 7, 'b': 3}, {'a': 1, 'b': 2})
    """
    total = sum(room.values())
    if not total:
        return dict.fromkeys(room, 0)
    parts = {name: amount * size // total for name, size in room.items()}
    left = amount - sum(parts.values())
    for name in sorted(room, key=lambda name: -(amount * room[name] % total))[:left]:
        parts[name] += 1
    return parts


def quotas(contract: Contract) -> dict[str | None, Quota]:
    """Nominal quota of every tenant, every group beyond its children, and the root (None), by flavor.

    They sum to what is installed of each flavor.
    """
    room = {flavor_name(name): gpus for name, gpus in contract.kinds.items()}
    found: dict[str | None, Quota] = {}
    for party in contract.parties.values():
        found[party.name] = split(party.own, room)
        room = {name: gpus - found[party.name][name] for name, gpus in room.items()}
    found[None] = room
    return found


def _within(contract: Contract, nominal: Mapping[str | None, Quota], party: Party) -> Quota:
    """Nominal quota of a party and all below it."""
    below = [_within(contract, nominal, child) for child in contract.below(party.name)]
    return {name: gpus + sum(quota[name] for quota in below) for name, gpus in nominal[party.name].items()}


def _lent(contract: Contract, nominal: Mapping[str | None, Quota], party: Party) -> Quota:
    """Lending limit of a party: what it deserves less its guarantee."""
    below = [_lent(contract, nominal, child) for child in contract.below(party.name)]
    room = {name: gpus + sum(quota[name] for quota in below) for name, gpus in nominal[party.name].items()}
    return split(min(party.lendable, sum(room.values())), room)


def resource_groups(contract: Contract, nominal: Mapping[str | None, Quota], party: Party) -> list[Object]:
    """Quotas and limits of one Cohort or ClusterQueue."""
    within, lent = _within(contract, nominal, party), _lent(contract, nominal, party)
    outside = {flavor_name(name): gpus - within[flavor_name(name)] for name, gpus in contract.kinds.items()}
    borrowed = split(party.ceiling - party.deserved, outside) if party.ceiling < contract.installed else None
    flavors = []
    for name, gpus in nominal[party.name].items():
        quota: Object = {"name": GPU, "nominalQuota": str(gpus)}
        if borrowed is not None:
            quota["borrowingLimit"] = str(borrowed[name])
        if lent[name] < within[name]:
            quota["lendingLimit"] = str(lent[name])
        flavors.append({"name": name, "resources": [quota]})
    return [{"coveredResources": [GPU], "flavors": flavors}]


def weight_text(weight: float) -> str:
    """Weight as a quantity of Kubernetes: at most nine decimals.

    >>> weight_text(2.0), weight_text(0.25)
    ('2', '0.25')
    """
    return f"{weight:.9f}".rstrip("0").rstrip(".")


def cohorts(contract: Contract) -> list[Object]:
    """Root and groups."""
    nominal = quotas(contract)
    root: Object = {
        "apiVersion": API,
        "kind": "Cohort",
        "metadata": {"name": contract.called},
        "spec": {
            "resourceGroups": [
                {
                    "coveredResources": [GPU],
                    "flavors": [
                        {"name": name, "resources": [{"name": GPU, "nominalQuota": str(gpus)}]}
                        for name, gpus in nominal[None].items()
                    ],
                }
            ]
        },
    }
    groups = [
        {
            "apiVersion": API,
            "kind": "Cohort",
            "metadata": {"name": group.called},
            "spec": {
                "parentName": _cohort_above(contract, group),
                "fairSharing": {"weight": weight_text(group.weight)},
                "resourceGroups": resource_groups(contract, nominal, group),
            },
        }
        for group in contract.groups
    ]
    return [root, *groups]


def _cohort_above(contract: Contract, party: Party) -> str:
    return contract.called if party.parent is None else contract.parties[party.parent].called


def cluster_queues(contract: Contract) -> list[Object]:
    """One queue for each tenant."""
    nominal, policy = quotas(contract), contract.scenario.policy
    found = []
    for party in contract.tenants:
        reclaims = policy.recall and party.deserved > 0
        spec: Object = {
            "cohortName": _cohort_above(contract, party),
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": party.called}},
            "queueingStrategy": "BestEffortFIFO" if policy.backfill_depth else "StrictFIFO",
            "preemption": {
                "reclaimWithinCohort": "Any" if reclaims else "Never",
                "withinClusterQueue": "Never",
            },
            "fairSharing": {"weight": weight_text(party.weight)},
            "resourceGroups": resource_groups(contract, nominal, party),
        }
        if not party.served:
            spec["stopPolicy"] = "HoldAndDrain"
        found.append(
            {"apiVersion": API, "kind": "ClusterQueue", "metadata": {"name": party.called}, "spec": spec}
        )
    return found


def local_queues(contract: Contract) -> list[Object]:
    """One queue in each tenant's namespace."""
    return [
        {
            "apiVersion": API,
            "kind": "LocalQueue",
            "metadata": {"name": party.called, "namespace": party.called},
            "spec": {"clusterQueue": party.called},
        }
        for party in contract.tenants
    ]


def namespaces(contract: Contract) -> list[Object]:
    """One namespace for each tenant: in Kueue it says who somebody is."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": party.called}}
        for party in contract.tenants
    ]


def topologies() -> list[Object]:
    """Halls, rows, racks and trays."""
    levels = [{"nodeLabel": label} for label in LEVELS]
    return [
        {"apiVersion": API, "kind": "Topology", "metadata": {"name": TOPOLOGY}, "spec": {"levels": levels}}
    ]


def flavors(contract: Contract) -> list[Object]:
    """One flavor for each kind of rack."""
    return [
        {
            "apiVersion": API,
            "kind": "ResourceFlavor",
            "metadata": {"name": flavor_name(name)},
            "spec": {"nodeLabels": {KIND_LABEL: flavor_name(name)}, "topologyName": TOPOLOGY},
        }
        for name in contract.kinds
    ]


def priority_classes() -> list[Object]:
    """One class for each tier."""
    return [
        {
            "apiVersion": API,
            "kind": "WorkloadPriorityClass",
            "metadata": {"name": tier},
            "value": PRIORITY[tier],
            "description": f"Jobs of tenants of tier {tier}.",
        }
        for tier in TIERS
    ]


def controller_configuration() -> Object:
    """Part of Kueue's own configuration that these objects rely on."""
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "fairSharing": {"preemptionStrategies": ["LessThanOrEqualToFinalShare", "LessThanInitialShare"]},
        "resources": {"excludeResourcePrefixes": ["cpu", "memory", "ephemeral-storage", "hugepages-"]},
    }
