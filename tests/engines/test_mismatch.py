"""Every part of the policy is written, or said to be lost, or not asked for; and only what a scenario asks for is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from random_trees import scenarios

import kvandal as kv
from kvandal.engines.entitlements import contract_at, plain_name
from kvandal.engines.export import TARGETS, Target, export_policy
from kvandal.engines.expression import CONCEPTS
from kvandal.policy.rules import RULES

NIGHT = [{"hours_local": [22, 6], "ceiling_share": 0.2}]


def statuses(target: Target, changes: dict[str, Any] | None = None) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in export_policy(kv.load("stargate-norway", changes or {}), target).expressions:
        found.setdefault(each.concept, set()).add(each.status)
    return found


@settings(max_examples=25)
@given(scenarios())
def test_no_part_of_the_policy_is_passed_over(scenario: kv.Scenario):
    """Both targets speak of every concept; what is lost comes with what to do; tenants and rules that are named exist."""
    rules = {identifier for identifier, _ in RULES.values()}
    for target in TARGETS:
        exported = export_policy(scenario, target)
        assert {each.concept for each in exported.expressions} == {*CONCEPTS}
        for each in exported.expressions:
            assert each.what
            assert not each.mismatch or each.remedy
            assert {*each.tenants} <= {*scenario.tenants}
            assert {*filter(None, each.rule.split(", "))} <= rules
            assert each.what in exported.files["README.md"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("changes", "concept", "before", "after"),
    [
        ({"tenants.uk.schedule": NIGHT}, "schedule", {"not asked"}, {"missing"}),
        ({"grants.monthly": {"tenant": "uk", "gpu_hours": 100}}, "budget", {"not asked"}, {"missing"}),
        ({"tenants.uk.residency": ["NO"]}, "residency", {"not asked"}, {"missing"}),
        ({"tenants.uk.residency": ["UK"]}, "residency", {"not asked"}, {"nearly"}),
        ({"policy.backfill_depth": 0}, "backfill", {"nearly"}, {"written"}),
        ({"policy.recall": False}, "recall", {"nearly", "missing"}, {"written"}),
        ({"policy.rest_after_recall_s": 0.0}, "recall", {"nearly", "missing"}, {"nearly"}),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_only_what_is_asked_for_is_listed(
    target: Target, changes: dict[str, Any], concept: str, before: set[str], after: set[str]
):
    """One change of the scenario, and the list follows."""
    assert statuses(target)[concept] == before
    assert statuses(target, changes)[concept] == after


def test_slurm_has_a_minimum_run_and_kueue_has_none():
    """PreemptExemptTime is its word for it."""
    changes = {"tenants.uk.minimum_run_s": 3600, "tenants.uk.notice_s": 600}
    assert statuses("slurm", changes)["minimum run"] == {"written"}
    assert statuses("kueue", changes)["minimum run"] == {"missing"}
    text = export_policy(kv.load("stargate-norway", changes), "slurm").files["qos.sh"]
    (line,) = [line for line in text.splitlines() if line.startswith("qos loan-uk ")]
    assert "gracetime=600" in line
    assert "preemptexempttime=0-00:50:00" in line


def test_limits_are_those_of_the_time_that_is_asked_for():
    """A ceiling that holds at night only: 22 h in Oslo is 21 h UTC in winter."""
    scenario = kv.load("stargate-norway", {"tenants.nordics.schedule": NIGHT})
    day = contract_at(scenario, "slurm", datetime(2027, 1, 12, 20, 59, tzinfo=UTC))
    night = contract_at(scenario, "slurm", datetime(2027, 1, 12, 21, tzinfo=UTC))
    assert day.parties["nordics"].ceiling == day.installed == 100_008
    assert night.parties["nordics"].ceiling == 20_001


def test_only_racks_that_stand_are_shared_out():
    """Two months after the start of the build-out 307 racks stand, and shares are of their GPUs."""
    scenario = kv.load("stargate-norway-build-out")
    first, later = (contract_at(scenario, "kueue", datetime(2027, month, 1, tzinfo=UTC)) for month in (1, 3))
    assert (first.standing, later.standing) == (127, 127 + 180)
    assert later.parties["offtaker"].deserved == int(0.8 * later.installed + 1e-9)
    lost = export_policy(scenario, "kueue").mismatches
    assert "1,262 of 1,389 racks" in next(each.what for each in lost if each.concept == "build-out")


def test_fixed_numbers_of_gpus_need_the_racks():
    """10,000 guaranteed GPUs when 9,144 stand: refused, not scaled in silence."""
    scenario = kv.load(
        "stargate-norway-build-out",
        {
            "tenants.sovereign": {
                "tier": "firm",
                "guarantee_gpus": 10_000,
                "deserved_gpus": 10_000,
                "ceiling_gpus": 10_000,
            }
        },
    )
    with pytest.raises(kv.InputError, match="127 racks stand"):
        export_policy(scenario, "kueue")


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("Norge, forskning", "norge-forskning"),
        ("Tromsø/UiT", "tromso-uit"),
        ("a_b", "a-b"),
        ("Ærø 2", "aero-2"),
        ("é", "e"),
    ],
)
def test_names_become_plain(name: str, called: str):
    """Small letters, digits, dashes."""
    assert plain_name(name) == called


@pytest.mark.parametrize(
    ("names", "target", "said"),
    [
        (("a/b", "a,b"), "slurm", "would be called 'a-b'"),
        (("平",), "kueue", "no letter of this name can be written in kueue"),
        (("x" * 51,), "kueue", "51 letters, at most 50"),
        (("Root",), "slurm", "slurm uses the name 'root' itself"),
        (("kube-system",), "kueue", "kueue uses the name 'kube-system' itself"),
    ],
)
def test_names_that_cannot_be_held_are_refused(names: tuple[str, ...], target: Target, said: str):
    """Two that would be one, nothing left, too long, taken."""
    scenario = kv.load("stargate-norway")
    tenants = {name: scenario.tenants["uk"].model_copy(update={"parent": None}) for name in names}
    with pytest.raises(kv.InputError, match=said) as caught:
        export_policy(scenario.model_copy(update={"tenants": tenants}), target)
    assert caught.value.key == f"tenants.{names[-1]}"


def test_a_name_that_changes_is_said():
    """The ledger keeps the one of the scenario."""
    scenario = kv.load("stargate-norway")
    tenants = {"Uni Tromsø": scenario.tenants["uk"].model_copy(update={"parent": None})}
    exported = export_policy(scenario.model_copy(update={"tenants": tenants}), "kueue")
    (changed,) = [each for each in exported.mismatches if each.concept == "names"]
    assert "Uni Tromsø is uni-tromso" in changed.what
