"""What is written for Slurm can be read, names nothing twice, and says what the policy says."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from random_trees import scenarios

import kvandal as kv
from kvandal.engines.entitlements import Contract
from kvandal.engines.export import export_policy
from kvandal.engines.slurm import duration_text, fair_shares
from kvandal.engines.slurm_newer import tray_demand

ACCOUNT = re.compile(
    r"Account - '(?P<name>[a-z0-9-]+)':Description='(?P<what>\w+ \w+)':Organization='kvandal':Fairshare=(?P<share>\d+)"
    r":GrpTRES='gres/gpu=(?P<ceiling>\d+)':GrpSubmitJobs=(?P<submit>-1|0)"
    r"(:QOS='(?P<qos>[a-z0-9,-]+)':DefaultQOS='(?P<default>[a-z0-9-]+)')?"
)
HOSTS = re.compile(r"r(\d{4,})n\[01-18\]")


def accounts(text: str) -> dict[str, dict[str, str]]:
    """Accounts by name, each with its parent, read as sacctmgr does: a parent must be known before its children."""
    found: dict[str, dict[str, str]] = {}
    parent = ""
    for line in text.splitlines():
        if line.startswith(("#", "Cluster - '")):
            continue
        if line.startswith("Parent - "):
            parent = line.removeprefix("Parent - '").removesuffix("'")
            assert parent == "root" or parent in found
            continue
        match = ACCOUNT.fullmatch(line)
        assert match, line
        assert match["name"] not in found
        found[match["name"]] = {**match.groupdict(default=""), "parent": parent}
    return found


def qos(text: str) -> dict[str, dict[str, str]]:
    """Settings of each QOS, read as a shell does: a QOS that is preempted must be known before."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("qos ") and "(" not in line:
            _, name, *settings = shlex.split(line)
            assert name not in found
            found[name] = dict(setting.split("=", 1) for setting in settings)
            assert {*filter(None, found[name].get("preempt", "").split(","))} <= {*found}
    return found


def configuration(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Settings, and the lines of nodes and partitions."""
    single: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        if line.startswith(("NodeName=", "PartitionName=")):
            lines.append(dict(part.split("=", 1) for part in line.split()))
        elif not line.startswith("#"):
            key, value = line.split("=", 1)
            assert key not in single
            single[key] = value
    return single, lines


def check_files(files: dict[str, str], contract: Contract) -> None:
    tree, classes = accounts(files["accounts.cfg"]), qos(files["qos.sh"])
    assert len(tree) == len(contract.parties)
    for party in contract.parties.values():
        account = tree[party.called]
        assert account["parent"] == (
            "root" if party.parent is None else contract.parties[party.parent].called
        )
        assert int(account["ceiling"]) == party.ceiling
        assert (account["submit"] == "-1") == party.served
        named = [name for name in account["qos"].split(",") if name]
        assert {*named} <= {*classes}
        assert bool(named) != party.group
        if party.group:
            continue
        loan = classes[f"loan-{party.called}"]
        assert int(loan["gracetime"]) == party.notice_s
        days, clock = loan["preemptexempttime"].split("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        exempt_s = ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
        assert exempt_s + party.notice_s == max(party.minimum_run_s, party.notice_s)
        if party.deserved:
            assert named[0] == account["default"] == f"own-{party.called}"
            assert classes[named[0]]["grptres"] == f"billing={party.deserved}"
        else:
            assert named == [f"loan-{party.called}"]
    settings, lines = configuration(files["slurm.conf.part"])
    partitions = [line for line in lines if "PartitionName" in line]
    allowed = {name for line in partitions for name in line["AllowQos"].split(",")}
    assert allowed == {*classes} - {"loans"}
    assert [line["Default"] for line in partitions].count("YES") == 1
    nodes = [line for line in lines if line.get("NodeName", "DEFAULT") != "DEFAULT"]
    assert len(nodes) == contract.standing
    for kind, gpus in contract.kinds.items():
        own = [line for line in nodes if line["Gres"] == f"gpu:{kind.removesuffix('_nvl72')}:4"]
        assert len(own) * 18 * 4 == gpus
        assert f"gres/gpu:{kind.removesuffix('_nvl72')}" in settings["AccountingStorageTRES"].split(",")
    check_topology(files["topology.conf"], contract)
    check_newer(files, contract)


def check_topology(text: str, contract: Contract) -> None:
    """One root, every other switch has one parent, and each rack is one leaf."""
    switches = [
        dict(part.split("=", 1) for part in line.split()) for line in text.splitlines() if line[0] != "#"
    ]
    names = [switch["SwitchName"] for switch in switches]
    assert len({*names}) == len(names)
    children = [name for switch in switches for name in expand(switch.get("Switches", ""))]
    assert sorted([*children, "site"]) == sorted(names)
    leaves = [switch["Nodes"] for switch in switches if "Nodes" in switch]
    assert [int(HOSTS.fullmatch(nodes)[1]) for nodes in leaves] == list(range(1, contract.standing + 1))  # type: ignore[index]


def expand(text: str) -> list[str]:
    match = re.fullmatch(r"([a-z]+)(\[?)([\d,-]+)\]?", text)
    if not match:
        return []
    found = []
    for span in match[3].split(","):
        low, _, high = span.partition("-")
        found += [f"{match[1]}{number:0{len(low)}d}" for number in range(int(low), int(high or low) + 1)]
    return found


def check_newer(files: dict[str, str], contract: Contract) -> None:
    """By the published pages: a block has at least the base size, sizes double; the power tree is rooted and of one depth."""
    (topology,) = yaml.load(files["topology.yaml"], Loader=yaml.CSafeLoader)
    assert next(iter(topology)) == "topology"
    sizes = topology["block"]["block_sizes"]
    assert sizes[0] == 18
    assert all(high == 2 * low for low, high in pairwise(sizes))
    assert sizes[-1] <= 18 * contract.standing < 2 * sizes[-1]
    assert len({block["block"] for block in topology["block"]["blocks"]}) == contract.standing
    (resource,) = yaml.load(files["resources.yaml"], Loader=yaml.CSafeLoader)
    assert next(iter(resource)) == "resource"
    assert resource["mode"] == "MODE_3"
    layers = {layer["layer_name"]: layer for layer in resource["layers"]}
    assert len(layers) == len(resource["layers"])
    parents = {layer.get("parent_name") for layer in layers.values()}
    leaves = [layer for name, layer in layers.items() if name not in parents]
    assert len(leaves) == contract.standing
    assert all(("nodes" in layer) == (name not in parents) for name, layer in layers.items())
    assert {depth(layers, layer) for layer in leaves} == {4}
    trays = {f"tray_{kind.removesuffix('_nvl72')}": 0 for kind in contract.kinds} | {
        variable["name"]: variable["value"] for variable in resource["variables"]
    }
    for layer in leaves:
        kind = next(key for key in trays if holds(layer, trays[key]))
        assert trays[kind] > 0
    assert all(0 < layer["count"] < 2**32 for layer in layers.values())


def holds(layer: dict[str, Any], tray: int) -> bool:
    """Whether 18 trays at full load fit, and a nineteenth does not."""
    room = layer["count"] - sum(base["value"] for base in layer.get("base", []))
    return 18 * tray <= room < 19 * tray


def depth(layers: dict[str, dict[str, Any]], layer: dict[str, Any]) -> int:
    return 1 if "parent_name" not in layer else 1 + depth(layers, layers[layer["parent_name"]])


@pytest.mark.parametrize("preset", kv.presets())
def test_every_preset_can_be_read(preset: str):
    """Accounts, QOS, nodes, both topologies, power."""
    exported = export_policy(kv.load(preset), "slurm")
    check_files(exported.files, exported.contract)


@settings(max_examples=25)
@given(scenarios())
def test_every_tree_can_be_read(scenario: kv.Scenario):
    """Any names, shares, weights and kinds of rack."""
    exported = export_policy(scenario, "slurm")
    check_files(exported.files, exported.contract)


def test_the_power_tree_of_a_small_site_by_hand():
    """Ten racks of 132 kW in rows of five behind 2 MW: 2 MW less 2 % over a PUE of 1.10; 4 blocks of which 3 carry a row."""
    scenario = kv.load("stargate-norway", {
        "site.fleet": {"main": {"model": "gb300_nvl72", "gpus": 720}},
        "site.grid_mw": 2.0,
        "site.layout": {"racks_per_row": 5, "rows_per_hall": 2, "rows_per_group": 1},
        "power.site_cap_margin_fraction": 0.02,
        "power.block_margin_fraction": 0.0,
    })  # fmt: skip
    exported = export_policy(scenario, "slurm")
    (resource,) = yaml.safe_load(exported.files["resources.yaml"])
    counts = {layer["layer_name"]: layer["count"] for layer in resource["layers"]}
    assert counts["site"] == int(2e6 * 0.98 / 1.10)
    group_w = 5 * (132_000 + 72 * 150)
    assert counts["group0001"] == group_w * 4 // 3
    assert counts["hall001"] == 2 * counts["group0001"]
    assert counts["rack0001"] == 132_000
    assert tray_demand(exported.contract) == {"tray_gb300": 132_000 // 18 - 27_000 // 18}


def test_weights_that_are_no_whole_numbers():
    """Proportions stay, the heaviest of siblings has a million shares, nobody has none."""
    assert fair_shares([1.0, 3.0]) == [1, 3]
    assert fair_shares([0.5, 0.25]) == [1_000_000, 500_000]
    assert fair_shares([1e-9, 0.5]) == [1, 1_000_000]


def test_durations():
    """Days, hours, minutes, seconds."""
    assert [duration_text(seconds) for seconds in (0, 59, 3600, 86_399, 864_000)] == [
        "0-00:00:00", "0-00:00:59", "0-01:00:00", "0-23:59:59", "10-00:00:00"
    ]  # fmt: skip
