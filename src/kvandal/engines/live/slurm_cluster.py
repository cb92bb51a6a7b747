"""What Kvandal must know of a Slurm cluster to run jobs on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SlurmCluster:
    """How to reach a cluster and how jobs look there.

    In `account`, `qos`, `user`, `working_directory` and `output`, ``{tenant}``, ``{project}`` and ``{user}`` stand for those
    of a job.

    Attributes
    ----------
    rest_url : slurmrestd: ``http://host:port`` or ``unix:/path/of/socket``
    token_file : file with the token of `service_user`, read again when it no longer counts
    token : the token itself; instead of a file
    token_command : command that prints such a token (``scontrol token`` prints ``SLURM_JWT=...``); instead of a file
    service_user : whose token that is: root, SlurmUser or an operator that may act for others
    commands : folder of scontrol, squeue, scancel and sacct; None: those on the path
    conf : slurm.conf for them; None: where Slurm looks for it
    user : who owns a job; None: `service_user`
    account : account of a tenant
    partition : that takes the jobs; empty: Slurm's default
    qos : QOS by tier; a tier that is not named leaves the choice to Slurm
    gpu_type : type of the GPUs in Gres; None: any
    working_directory : where jobs run
    output : file of their output, as sbatch names it; empty: Slurm's own choice
    environment : variables of every job, below those of the order
    record_folder : folder that all nodes share, where every run leaves how it ended (see docs/slurm.md); None: no records
    timeout_s : longest wait for any answer [s]

    """

    rest_url: str
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    token_command: tuple[str, ...] = ()
    service_user: str = "root"
    commands: Path | None = None
    conf: Path | None = None
    user: str | None = None
    account: str = "{tenant}"
    partition: str = ""
    qos: Mapping[str, str] = field(default_factory=dict)
    gpu_type: str | None = None
    working_directory: str = "/tmp"  # noqa: S108 - the one folder that every node has
    output: str = ""
    environment: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"}
    )
    record_folder: Path | None = None
    timeout_s: float = 4.0
