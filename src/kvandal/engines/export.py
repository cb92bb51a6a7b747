"""Our policy as files for another scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from kvandal.engines import kueue, slurm, slurm_newer
from kvandal.engines.entitlements import Contract, contract_at
from kvandal.engines.expression import CONCEPTS, Expression
from kvandal.engines.kueue_mismatch import kueue_expressions
from kvandal.engines.slurm_mismatch import slurm_expressions
from kvandal.engines.yaml_text import yaml_documents, yaml_text
from kvandal.scenario.model import Scenario

Target = Literal["slurm", "kueue"]
TARGETS: tuple[Target, ...] = get_args(Target)

USE = {
    "slurm": """\
Checked by loading into Slurm 22.05 (Debian 12). In this order:

1. With slurmdbd running: `sh qos.sh`, then `sacctmgr -i load accounts.cfg`, then `sacctmgr add user NAME account=ACCOUNT` for
   each user.
2. Put slurm.conf.part and gres.conf.part into slurm.conf and gres.conf, topology.conf beside them; start slurmctld. Its
   partitions name the QOS, which must be there before.
3. Jobs within the share: `sbatch -A ACCOUNT`. Loans: `sbatch -A ACCOUNT -p loan --qos=loan-ACCOUNT --requeue`.

Not loaded here, because Slurm 22.05 does not know them: topology.yaml (block topology, Slurm 25.05 or later) and resources.yaml
(HRES, in beta from 25.05). They follow the published syntax.""",
    "kueue": """\
The objects are valid by the schemas and rules of Kueue's own definitions (v1beta2); no Kueue ran here. In this order:

1. Merge kueue-config.part.yaml into Kueue's configuration: fair sharing, and resources that quotas do not count. That file has
   no published schema and is not checked.
2. Label the nodes: kvandal/hall, kvandal/row, kvandal/rack and kvandal/rack-model.
3. `kubectl apply -f` topology.yaml, resource-flavors.yaml, cohorts.yaml, cluster-queues.yaml, namespaces.yaml,
   local-queues.yaml, priority-classes.yaml.
4. Jobs bear the labels kueue.x-k8s.io/queue-name and kueue.x-k8s.io/priority-class.""",
}


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written."""

    target: Target
    contract: Contract
    files: dict[str, str]
    """Text by name of the file; README.md is one."""
    expressions: list[Expression]

    @property
    def mismatches(self) -> list[Expression]:
        """What of the policy the target cannot say, or only nearly."""
        return [each for each in self.expressions if each.mismatch]


def export_policy(scenario: Scenario, target: Target, at_utc: datetime | None = None) -> Export:
    """Compile the policy of a scenario, as it is at one instant, for another scheduler.

    Parameters
    ----------
    scenario
        The scenario.
    target
        ``slurm`` or ``kueue``.
    at_utc
        The instant of the run whose limits are written; left out, its start.

    Raises
    ------
    ScenarioError
        If there is no policy, a name cannot be written, or the limits cannot be kept at that time.

    """
    contract = contract_at(scenario, target, at_utc)
    if target == "slurm":
        said = slurm_expressions(contract)
        files = {
            "accounts.cfg": slurm.accounts_text(contract),
            "qos.sh": slurm.qos_text(contract),
            "slurm.conf.part": slurm.configuration_text(contract),
            "gres.conf.part": slurm.gres_text(contract),
            "topology.conf": slurm.topology_text(contract),
            "topology.yaml": slurm_newer.blocks_text(contract),
            "resources.yaml": slurm_newer.resources_text(contract),
        }
    else:
        said = kueue_expressions(contract)
        files = {
            "namespaces.yaml": yaml_documents(kueue.namespaces(contract)),
            "topology.yaml": yaml_documents(kueue.topologies()),
            "resource-flavors.yaml": yaml_documents(kueue.flavors(contract)),
            "cohorts.yaml": yaml_documents(kueue.cohorts(contract)),
            "cluster-queues.yaml": yaml_documents(kueue.cluster_queues(contract)),
            "local-queues.yaml": yaml_documents(kueue.local_queues(contract)),
            "priority-classes.yaml": yaml_documents(kueue.priority_classes()),
            "kueue-config.part.yaml": yaml_text(kueue.controller_configuration()),
        }
    files["README.md"] = _readme(target, contract, said)
    return Export(target, contract, files, said)


def _readme(target: Target, contract: Contract, said: list[Expression]) -> str:
    kinds = ", ".join(f"{gpus:,} {name}" for name, gpus in contract.kinds.items())
    parts = [
        f"# Policy of {contract.scenario.name} for {target.capitalize()}",
        f"Limits at {contract.at_utc.isoformat()}, with {contract.standing:,} racks and {contract.installed:,} GPUs ({kinds}).",
        "## How to use it",
        USE[target],
        "## What could not be said, or only nearly",
        _list(each for each in said if each.mismatch),
        "## What is written",
        _list(each for each in said if each.status == "written"),
        "## What this scenario does not ask for",
        _list(each for each in said if each.status == "not asked"),
    ]
    return "\n\n".join(parts) + "\n"


def _list(said: Iterable[Expression]) -> str:
    lines = []
    for each in said:
        status = " (only nearly)" if each.status == "nearly" else ""
        rule = f" Rule {each.rule}." if each.rule else ""
        whom = f" Tenants: {', '.join(each.tenants)}." if each.tenants else ""
        remedy = f" What to do: {each.remedy}" if each.remedy else ""
        lines.append(f"- **{CONCEPTS[each.concept]}**{status}: {each.what}{remedy}{rule}{whom}")
    return "\n".join(lines) or "- Nothing."
