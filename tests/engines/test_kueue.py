"""The Kueue objects are valid by Kueue's own definitions, and their quotas say what the policy says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from random_trees import scenarios

import kvandal as kv
from kvandal.engines.entitlements import Contract
from kvandal.engines.export import export_policy
from kvandal.engines.kueue import GPU, quotas, split

Json = dict[str, Any]
pytestmark = pytest.mark.shared_data


def strict(schema: Any) -> Any:
    """JSON schema of a definition's schema: what is not listed is refused."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: strict(part)
        for key, part in schema.items()
        if not key.startswith("x-kubernetes") and key != "properties"
    }
    if "properties" in schema:
        found["properties"] = {key: strict(part) for key, part in schema["properties"].items()}
        found.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
        found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return found


class Definitions:
    """Kueue's definitions (kubernetes-sigs/kueue, Apache-2.0): schema and rules of the version that is written."""

    def __init__(self, folder: Path) -> None:
        self.schemas: dict[str, Json] = {}
        self.programs: dict[str, Any] = {}
        self.environment = (
            celpy.Environment()
        )  # here and not in a test: it raises the recursion limit for good
        for path in sorted(folder.glob("*.yaml")):
            definition = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
            for version in definition["spec"]["versions"]:
                if version["name"] == "v1beta2":
                    self.schemas[definition["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
        self.validators = {
            kind: jsonschema.Draft202012Validator(self._whole(schema))
            for kind, schema in self.schemas.items()
        }

    @staticmethod
    def _whole(schema: Json) -> Json:
        found: Json = strict(schema)
        found["properties"]["metadata"] = {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
                "namespace": {
                    "type": "string",
                    "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                    "maxLength": 63,
                },
            },
            "required": ["name"],
            "additionalProperties": False,
        }
        return found

    def check(self, document: Json) -> None:
        """Refuse what an API server would refuse."""
        self.validators[document["kind"]].validate(document)
        self._rules(self.schemas[document["kind"]], document)

    def _rules(self, schema: Json, part: Any) -> None:
        for rule in schema.get("x-kubernetes-validations", []):
            text = rule["rule"]
            if "oldSelf" in text:  # speaks of changes; these objects are new
                continue
            if text not in self.programs:
                self.programs[text] = self.environment.program(self.environment.compile(text))
            verdict = self.programs[text].evaluate({"self": celpy.json_to_cel(part)})
            if not verdict:
                raise jsonschema.ValidationError(rule["message"])
        if isinstance(part, dict):
            for key, inner in part.items():
                below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
                if isinstance(below, dict):
                    self._rules(below, inner)
        elif isinstance(part, list):
            for inner in part:
                self._rules(schema.get("items", {}), inner)


@pytest.fixture(scope="module")
def definitions(shared_data: Path) -> Definitions:
    return Definitions(shared_data / "kueue-crds")


def manifests(files: dict[str, str]) -> list[Json]:
    return [
        document
        for name, text in files.items()
        if name.endswith(".yaml") and ".part." not in name
        for document in yaml.load_all(text, Loader=yaml.CSafeLoader)
    ]


def gpus_in(documents: list[Json], field: str = "nominalQuota") -> dict[tuple[str, str], dict[str, int]]:
    """GPUs of a field by kind and name of the object, and by flavor."""
    return {
        (document["kind"], document["metadata"]["name"]): {
            flavor["name"]: int(flavor["resources"][0][field])
            for group in document["spec"]["resourceGroups"]
            for flavor in group["flavors"]
            if field in flavor["resources"][0]
        }
        for document in documents
        if document["kind"] in {"Cohort", "ClusterQueue"}
    }


def check_export(definitions: Definitions, files: dict[str, str], contract: Contract) -> None:
    documents = manifests(files)
    for document in documents:
        if document["kind"] != "Namespace":
            definitions.check(document)
    nominal = gpus_in(documents)
    for flavor, gpus in {name.replace("_", "-"): gpus for name, gpus in contract.kinds.items()}.items():
        assert sum(quota[flavor] for quota in nominal.values()) == gpus
    lending, borrowing = gpus_in(documents, "lendingLimit"), gpus_in(documents, "borrowingLimit")
    for party in contract.parties.values():
        key = ("Cohort" if party.group else "ClusterQueue", party.called)
        assert sum(nominal[key].values()) == party.own
        if len(lending[key]) == len(contract.kinds):
            assert sum(lending[key].values()) == party.deserved - party.guarantee
        elif not lending[key]:
            assert party.guarantee == 0
        if borrowing[key]:
            assert sum(borrowing[key].values()) == party.ceiling - party.deserved
        else:
            assert party.ceiling == contract.installed
    cohorts = {document["metadata"]["name"] for document in documents if document["kind"] == "Cohort"}
    flavors = {document["metadata"]["name"] for document in documents if document["kind"] == "ResourceFlavor"}
    for document in documents:
        above = document.get("spec", {}).get("cohortName") or document.get("spec", {}).get("parentName")
        assert above is None or above in cohorts
    assert {name for quota in nominal.values() for name in quota} == flavors


@pytest.mark.parametrize("preset", kv.presets())
def test_every_preset_is_valid_and_sums_to_what_is_installed(preset: str, definitions: Definitions):
    """By schema and rules; every GPU is in exactly one quota."""
    exported = export_policy(kv.load(preset), "kueue")
    check_export(definitions, exported.files, exported.contract)


@settings(max_examples=25)
@given(scenarios())
def test_every_tree_is_valid_and_sums_to_what_is_installed(definitions: Definitions, scenario: kv.Scenario):
    """Any names, shares, weights and kinds of rack."""
    exported = export_policy(scenario, "kueue")
    check_export(definitions, exported.files, exported.contract)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec", "cohort"), "root"),
        (("spec", "queueingStrategy"), "Fifo"),
        (("spec", "fairSharing", "weight"), "40 gpus"),
        (("spec", "preemption", "borrowWithinCohort"), {"policy": "LowerPriority"}),
        (("metadata", "name"), "Nordics"),
    ],
    ids=str,
)
def test_the_check_itself_refuses_mistakes(definitions: Definitions, where: tuple[str, ...], value: Any):
    """A field of an older version, a wrong word, a wrong quantity, a broken rule, a wrong name."""
    exported = export_policy(kv.load("stargate-norway"), "kueue")
    (queue,) = [
        d
        for d in manifests(exported.files)
        if d["kind"] == "ClusterQueue" and d["metadata"]["name"] == "nordics"
    ]
    definitions.check(queue)
    broken = copy.deepcopy(queue)
    place = broken
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        definitions.check(broken)


def test_the_default_tree_by_hand():
    """100,008 GPUs: the group of Norwegian tenants deserves 5 % and the off-taker 80 %, of which 60 % are never lent."""
    exported = export_policy(kv.load("stargate-norway"), "kueue")
    nominal = gpus_in(manifests(exported.files))
    lending = gpus_in(manifests(exported.files), "lendingLimit")
    borrowing = gpus_in(manifests(exported.files), "borrowingLimit")
    offtaker = ("ClusterQueue", "offtaker")
    assert nominal[offtaker] == {"gb300-nvl72": 80_006}
    assert lending[offtaker] == {"gb300-nvl72": 80_006 - 60_004}
    assert borrowing[offtaker] == {"gb300-nvl72": 93_007 - 80_006}
    national = ("Cohort", "national")
    assert nominal[national] == {
        "gb300-nvl72": 5000 - 2 * 2000 - 1000
    }  # 0.05 x 100,008 less what its children have
    assert borrowing[national] == {"gb300-nvl72": 12_000 - 5000}
    assert lending[national] == {"gb300-nvl72": 5000 - 1500}
    uk = next(
        d for d in manifests(exported.files) if d["kind"] == "ClusterQueue" and d["metadata"]["name"] == "uk"
    )
    assert uk["spec"]["cohortName"] == "surplus"
    assert uk["spec"]["preemption"]["reclaimWithinCohort"] == "Never"
    assert nominal["ClusterQueue", "uk"] == {"gb300-nvl72": 0}
    assert GPU == "nvidia.com/gpu"


@given(st.integers(0, 500), st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_a_split_keeps_the_sum_and_the_room(amount: int, sizes: list[int]):
    """Whole GPUs, none above its room, each within one of its proportion."""
    room = {str(index): size for index, size in enumerate(sizes)}
    amount = min(amount, sum(sizes))
    parts = split(amount, room)
    assert sum(parts.values()) == amount
    for name, size in room.items():
        assert 0 <= parts[name] <= size
        assert abs(parts[name] - amount * size / max(1, sum(sizes))) < 1


def test_two_kinds_of_rack_share_every_quota():
    """52,000 GB300 and 30,000 Rubin: each tenant's share is in both, and each kind adds up."""
    exported = export_policy(kv.load("stargate-norway-2026"), "kueue")
    nominal = quotas(exported.contract)
    assert (
        nominal["offtaker"]["gb300-nvl72"] + nominal["offtaker"]["rubin-nvl72"]
        == exported.contract.parties["offtaker"].own
    )
    assert [each.concept for each in exported.mismatches if each.concept == "rack kinds"] == ["rack kinds"]
