"""What is written for Slurm loads in a real Slurm 22.05 at the size of the site, and does there what we say it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slurm_site import Cluster

from kvandal.engines.export import Export
from kvandal.engines.slurm import entitled, own_qos

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.xdist_group("slurm")]


@pytest.fixture(autouse=True)
def empty(cluster: Cluster) -> Iterator[None]:
    """Every test begins and ends without jobs."""
    cluster.clear()
    yield
    cluster.clear()


def test_all_trays_and_racks_are_there(cluster: Cluster, live_export: Export):
    """The controller knows every GPU of the site; a leaf switch holds the 18 trays of a rack."""
    partition = cluster.run("scontrol", "-o", "show", "partition", "loan")
    assert f"gres/gpu:gb300={live_export.contract.installed}," in partition.replace(" ", ",") + "," or (
        f"gres/gpu:gb300={live_export.contract.installed + 4}" in partition  # the sandbox's own node has four
    )
    assert "QoS=loans" in partition
    switch = cluster.run("scontrol", "show", "topology", "rack1389")
    assert "SwitchName=rack1389 Level=0" in switch
    assert "Nodes=r1389n[01-18]" in switch
    assert "Level=3" in cluster.run("scontrol", "show", "topology", "site")


def test_the_controller_holds_the_limits_that_were_written(cluster: Cluster, live_export: Export):
    """Ceilings on accounts and deserved shares on QOS, as slurmctld itself has them."""
    contract = live_export.contract
    rows = cluster.run(
        "sacctmgr", "-nP", "show", "assoc", "where", "user=", "format=account,parentname,grptres,share"
    ).splitlines()
    found = {row.split("|")[0]: row.split("|")[1:] for row in rows}
    for party in contract.parties.values():
        above = "root" if party.parent is None else contract.parties[party.parent].called
        assert found[party.called] == [above, f"gres/gpu={party.ceiling}", "1"]
    limits = cluster.run(
        "sacctmgr", "-nP", "show", "qos", "format=name,grptres,priority,gracetime,preempt"
    ).splitlines()
    qos = {row.split("|")[0]: row.split("|")[1:] for row in limits}
    for party in entitled(contract):
        deserved, priority, _, preempts = qos[own_qos(party)]
        assert deserved == f"billing={party.deserved}"
        assert priority == {"firm": "1000", "assured": "500"}[party.tier]
        assert set(preempts.split(",")) == {f"loan-{other.called}" for other in contract.tenants}
    assert qos["loan-uk"][2] == "00:00:00"
    assert qos["loan-norway-public"][2] == "00:02:00"
    guaranteed = sum(party.guarantee for party in contract.below(None))
    assert qos["loans"][0] == f"billing={contract.installed - guaranteed}"
    held = cluster.run("scontrol", "-o", "show", "assoc_mgr", "accounts=norway-public", "flags=assoc")
    ceiling = contract.parties["norway-public"].ceiling
    assert f"gres/gpu={ceiling}(0)" in held


def test_loading_it_again_changes_nothing(cluster: Cluster):
    """`sacctmgr load` is idempotent: no line says that something changed."""
    again = cluster.run("sacctmgr", "-i", "load", str(cluster.folder / "export" / "accounts.cfg"))
    assert "Changed" not in again
    assert "Problem" not in again


def test_a_job_above_the_share_or_the_ceiling_waits(cluster: Cluster, live_export: Export):
    """Above the deserved share: QOSGrpBilling. On loan above the ceiling, its own and its group's: AssocGrpGRES."""
    party = live_export.contract.parties["norway-public"]
    above_share = cluster.submit("asta", "-N", str(party.deserved // 4 + 1), "--gres=gpu:4")
    above_ceiling = cluster.submit(
        "asta", "-p", "loan", "--qos=loan-norway-public", "-N", str(party.ceiling // 4 + 1), "--gres=gpu:4"
    )
    cluster.wait(lambda: cluster.state(above_share) == ("PENDING", "QOSGrpBilling"), "the share to hold")
    cluster.wait(lambda: cluster.state(above_ceiling) == ("PENDING", "AssocGrpGRES"), "the ceiling to hold")


def test_an_assured_job_recalls_a_loan(cluster: Cluster):
    """A British job on a loan is requeued for a Norwegian one within its share; borrowers do not recall each other."""
    tray = ("-w", "r0001n01", "--gres=gpu:4")
    lent = cluster.submit("emma", "-p", "loan", "--requeue", *tray)
    cluster.wait(lambda: cluster.state(lent)[0] == "RUNNING", "the loan to run")
    borrower = cluster.submit("rolf", "-p", "loan", "--qos=loan-norway-research", *tray)
    cluster.wait(
        lambda: cluster.state(borrower)[1] in {"Resources", "Priority", "ReqNodeNotAvail", "Nodes"},
        "the borrower to wait",
    )
    assert cluster.state(lent)[0] == "RUNNING"
    cluster.run("scancel", borrower)
    assured = cluster.submit("rolf", *tray)
    cluster.wait(lambda: cluster.state(assured)[0] == "RUNNING", "the assured job to run")
    assert cluster.state(lent)[0] == "PENDING"
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", lent)


def test_a_tenant_on_loans_has_nothing_else(cluster: Cluster):
    """Without -p loan there is no partition for its QOS."""
    with pytest.raises(AssertionError, match="Batch job submission failed"):
        cluster.submit("emma", "-p", "main", "--gres=gpu:1")
