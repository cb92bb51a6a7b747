"""Our policy as Slurm's accounts, QOS, limits and nodes: what Slurm 22.05 loads.

Every tenant that submits jobs has an account whose `GrpTRES=gres/gpu` is its ceiling, and up to two QOS: `own-NAME` for its
deserved share, `loan-NAME` for what it borrows. The deserved share is a limit on `billing`, which counts GPUs by
`TRESBillingWeights`: Slurm skips the limit of an account on a resource that the job's QOS limits too (limits that are
defined first win), so that `gres/gpu` in both would leave the ceilings without effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvandal.engines.entitlements import Contract, Party
from kvandal.scenario.parameters import value
from kvandal.scenario.tenants import Tier

QOS_PRIORITY: dict[Tier, int] = {"firm": 1000, "assured": 500, "lent": 0}
"""Priority of jobs within the deserved share (rule P1)."""
LOAN_PRIORITY: dict[Tier, int] = {"assured": 300, "lent": 200, "firm": 100}
"""Order among borrowers (rule P2), and the opposite order among those whose loan is recalled."""
LARGEST_SHARES = 1_000_000
"""Fairshare of the heaviest of siblings."""
ALL_LOANS = "loans"
"""QOS of the partition of loans: what all of them hold together."""


def own_qos(party: Party) -> str:
    """QOS of the jobs within a tenant's deserved share."""
    return f"own-{party.called}"


def loan_qos(party: Party) -> str:
    """QOS of the jobs that a tenant runs on loans."""
    return f"loan-{party.called}"


def entitled(contract: Contract) -> list[Party]:
    """Tenants with a share of their own."""
    return [party for party in contract.tenants if party.deserved > 0]


def cluster_name(contract: Contract) -> str:
    """Name of the cluster in the accounting database."""
    return contract.called


def accounts_text(contract: Contract) -> str:
    """Tree of accounts for `sacctmgr load`."""
    lines = [
        f"# Accounts of {contract.scenario.name} at {contract.at_utc.isoformat()}: run qos.sh, then",
        "#   sacctmgr -i load accounts.cfg",
        "# It changes what differs and deletes nothing.",
        f"Cluster - '{cluster_name(contract)}':Fairshare=1",
        "Parent - 'root'",
    ]
    for group in (None, *contract.groups):
        if group is not None:
            lines.append(f"Parent - '{group.called}'")
        siblings = contract.below(None if group is None else group.name)
        shares = fair_shares([party.weight for party in siblings])
        lines += [_account(party, share) for party, share in zip(siblings, shares, strict=True)]
    return "\n".join(lines) + "\n"


def _account(party: Party, share: int) -> str:
    submit = "-1" if party.served else "0"
    fields = [
        f"Account - '{party.called}'",
        f"Description='{party.tier} {'group' if party.group else 'tenant'}'",
        "Organization='kvandal'",
        f"Fairshare={share}",
        f"GrpTRES='gres/gpu={party.ceiling}'",
        f"GrpSubmitJobs={submit}",
    ]
    if not party.group:
        own = [own_qos(party)] if party.deserved else []
        fields += [f"QOS='{','.join([*own, loan_qos(party)])}'", f"DefaultQOS='{[*own, loan_qos(party)][0]}'"]
    return ":".join(fields)


def fair_shares(weights: Sequence[float]) -> list[int]:
    """Weights of siblings as whole shares; small whole weights stay as they are.

    >>> fair_shares([3.0, 1.0]), fair_shares([0.5, 1.5])
    ([3, 1], [333333, 1000000])
    """
    if all(weight == int(weight) for weight in weights):
        return [int(weight) for weight in weights]
    return [max(1, round(weight / max(weights) * LARGEST_SHARES)) for weight in weights]


def qos_text(contract: Contract) -> str:
    """Shell script that adds or changes every QOS, those that others name first."""
    loans = [
        (
            loan_qos(party),
            (
                f"description='loans of {party.called}' priority={LOAN_PRIORITY[party.tier]} preemptmode=requeue "
                f"flags=NoReserve gracetime={party.notice_s} preemptexempttime={exempt_text(party)}"
            ),
        )
        for party in contract.tenants
    ]
    preempt = ",".join(name for name, _ in loans) if contract.scenario.policy.recall else ""
    own = [
        (
            own_qos(party),
            (
                f"description='deserved share of {party.called}' priority={QOS_PRIORITY[party.tier]} preempt={preempt} "
                f"preemptmode=requeue gracetime=0 grptres=billing={party.deserved}"
            ),
        )
        for party in entitled(contract)
    ]
    together = (ALL_LOANS, f"description='all loans together' grptres=billing={lendable_at_most(contract)}")
    return (
        "\n".join(
            [
                "#!/bin/sh",
                f"# QOS of {contract.scenario.name} at {contract.at_utc.isoformat()}; run it before accounts.cfg is loaded.",
                "# A QOS that is there already is changed. Each needs a call of its own: a session does not see what it added.",
                "set -eu",
                "qos() {",
                "    name=$1",
                "    shift",
                '    sacctmgr -iQ add qos "$name" >/dev/null 2>&1 || true  # there already',
                '    sacctmgr -iQ modify qos "$name" set "$@" >/dev/null',
                "}",
                *(f"qos {name} {settings}" for name, settings in (*loans, together, *own)),
            ]
        )
        + "\n"
    )


def lendable_at_most(contract: Contract) -> int:
    """GPUs that loans may hold together: all but the guarantees."""
    return contract.installed - sum(party.guarantee for party in contract.below(None))


def exempt_text(party: Party) -> str:
    """Run time before a loan may be recalled: its minimum run less its notice, which may run inside it."""
    return duration_text(max(0, party.minimum_run_s - party.notice_s))


def duration_text(seconds: int) -> str:
    """Write a duration as Slurm does.

    >>> duration_text(90061)
    '1-01:01:01'
    """
    days, rest = divmod(seconds, 86_400)
    return f"{days}-{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"


# -- nodes


def hosts(numbers: Sequence[int], width: int) -> str:
    """Numbers as one bracket of a host list.

    >>> hosts([1, 2, 3, 7], 4), hosts([5], 2)
    ('[0001-0003,0007]', '05')
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [f"{a:0{width}d}" if a == b else f"{a:0{width}d}-{b:0{width}d}" for a, b in spans]
    single = len(spans) == 1 and spans[0][0] == spans[0][1]
    return texts[0] if single else f"[{','.join(texts)}]"


def rack_digits(contract: Contract) -> int:
    """Digits of a rack's number: four, or as many as the last rack needs."""
    return max(4, len(str(contract.site.racks)))


def rack_nodes(contract: Contract, racks: Sequence[int]) -> str:
    """Host list of all trays of some racks, counted from 0: tray 5 of the first rack is ``r0001n05``."""
    return f"r{hosts([rack + 1 for rack in racks], rack_digits(contract))}n[01-18]"


def rack_name(contract: Contract, rack: int) -> str:
    """Name of a rack, counted from 0."""
    return f"rack{rack + 1:0{rack_digits(contract)}d}"


def gpu_type(model: str) -> str:
    """Type of the GPUs of a kind of rack.

    >>> gpu_type("gb300_nvl72")
    'gb300'
    """
    return model.removesuffix("_nvl72")


def rack_kinds(contract: Contract) -> dict[str, list[int]]:
    """Racks that stand by the type of their GPUs."""
    kinds: dict[str, list[int]] = {gpu_type(name): [] for name in contract.kinds}
    for rack, model in enumerate(contract.site.model[: contract.standing].tolist()):
        kinds[gpu_type(contract.site.model_names[model])].append(rack)
    return kinds


def configuration_text(contract: Contract) -> str:
    """Part of slurm.conf: scheduling, priorities, preemption, nodes, partitions."""
    policy, kinds = contract.scenario.policy, rack_kinds(contract)
    types = [f"gres/gpu:{kind}" for kind in kinds]
    backfill = policy.backfill_depth > 0
    settings = {
        "ClusterName": cluster_name(contract),
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "GresTypes": "gpu",
        "AccountingStorageTRES": ",".join(["gres/gpu", *types]),
        "AccountingStorageEnforce": "associations,limits,qos,safe",
        "EnforcePartLimits": "ALL",  # a QOS in the wrong partition is refused, not left waiting
        "PriorityType": "priority/multifactor",
        "PriorityDecayHalfLife": duration_text(round(policy.half_life_h * 60) * 60),
        "PriorityWeightQOS": "1000000",
        "PriorityWeightFairshare": "100000",
        "PriorityWeightAge": "1000",
        "PreemptType": "preempt/qos" if policy.recall else "preempt/none",
        "PreemptMode": "REQUEUE" if policy.recall else "OFF",
        "JobRequeue": "1",
        "SlurmctldParameters": "preempt_send_user_signal",
        "SchedulerType": "sched/backfill" if backfill else "sched/builtin",
        **(
            {"SchedulerParameters": f"bf_continue,bf_max_job_assoc={policy.backfill_depth}"}
            if backfill
            else {}
        ),
        "TopologyPlugin": "topology/tree",
    }
    cores, memory_mb = int(value("rack.tray_cpu_cores")), int(value("rack.tray_memory_mb"))
    nodes = [
        f"NodeName={rack_nodes(contract, [rack])} Feature={rack_name(contract, rack)},{kind} Gres=gpu:{kind}:4"
        for kind, racks in kinds.items()
        for rack in racks
    ]
    return (
        "\n".join(
            [
                f"# Part of slurm.conf for {contract.scenario.name} at {contract.at_utc.isoformat()}: put it into yours.",
                "# Checked with Slurm 22.05. Add NodeAddr where names are not resolved.",
                *(f"{key}={text}" for key, text in settings.items()),
                "# One tray is one node. `slurmd -C` on a tray prints its processors and memory: correct this line by it.",
                (
                    f"NodeName=DEFAULT Boards=1 SocketsPerBoard=2 CoresPerSocket={cores // 2} ThreadsPerCore=1 "
                    f"CPUs={cores} RealMemory={memory_mb} State=UNKNOWN"
                ),
                *nodes,
                "# Own shares run in main, loans in loan; both hold all nodes, and count GPUs as billing.",
                *_partitions(contract),
            ]
        )
        + "\n"
    )


def _partitions(contract: Contract) -> Iterable[str]:
    count = "TRESBillingWeights=GRES/gpu=1 MaxTime=INFINITE State=UP"
    own = ",".join(own_qos(party) for party in entitled(contract))
    if own:
        yield f"PartitionName=main Nodes=ALL Default=YES AllowQos={own} {count}"
    loans = ",".join(loan_qos(party) for party in contract.tenants)
    default = "NO" if own else "YES"
    yield f"PartitionName=loan Nodes=ALL Default={default} QOS={ALL_LOANS} AllowQos={loans} {count}"


def gres_text(contract: Contract) -> str:
    """Part of gres.conf: four GPUs in every tray."""
    lines = [f"# Part of gres.conf for {contract.scenario.name}.", "AutoDetect=off"]
    lines += [
        f"NodeName={rack_nodes(contract, racks)} Name=gpu Type={kind} File=/dev/nvidia[0-3]"
        for kind, racks in rack_kinds(contract).items()
    ]
    return "\n".join(lines) + "\n"


def topology_text(contract: Contract) -> str:
    """Write topology.conf: a leaf switch for each rack, then rows, halls and the site."""
    site, digits = contract.site, rack_digits(contract)
    rows: dict[int, list[int]] = {}
    halls: dict[int, list[int]] = {}
    for rack in range(contract.standing):
        rows.setdefault(int(site.row[rack]), []).append(rack)
    for row, racks in rows.items():
        halls.setdefault(int(site.hall[racks[0]]), []).append(row)
    lines = [f"# topology.conf of {contract.scenario.name} for topology/tree: a leaf switch for each rack."]
    lines += [
        f"SwitchName={rack_name(contract, rack)} Nodes={rack_nodes(contract, [rack])}"
        for rack in range(contract.standing)
    ]
    lines += [
        f"SwitchName=row{row + 1:04d} Switches=rack{hosts([rack + 1 for rack in racks], digits)}"
        for row, racks in rows.items()
    ]
    lines += [
        f"SwitchName=hall{hall + 1:03d} Switches=row{hosts([row + 1 for row in members], 4)}"
        for hall, members in halls.items()
    ]
    lines.append(f"SwitchName=site Switches=hall{hosts([hall + 1 for hall in halls], 3)}")
    return "\n".join(lines) + "\n"
