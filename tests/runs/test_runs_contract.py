"""run.json keeps its published schema; what is read back is checked against it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import kvandal as kv
from kvandal.errors import RunFolderError
from kvandal.runs.contract import first_mistake, schema
from kvandal.runs.folder import read_record
from kvandal.runs.run import SCHEMA_VERSION, TABLES

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def record(small_run: Path) -> dict[str, Any]:
    return json.loads((small_run / "run.json").read_text(encoding="utf-8"))


def test_the_published_schema_is_the_shipped_one() -> None:
    """docs/run.schema.json and the file in the package are the same bytes, and a valid draft 2020-12 schema."""
    published = (ROOT / "docs" / "run.schema.json").read_bytes()
    assert published == (Path(kv.__file__).parent / "runs" / "run.schema.json").read_bytes()
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_a_run_keeps_the_schema(record: dict[str, Any]) -> None:
    """Strictly: no key is missing, none is unknown, every value is of its type."""
    jsonschema.Draft202012Validator(schema()).validate(record)
    assert first_mistake(record) is None


def test_a_run_without_demand_keeps_the_schema() -> None:
    """What such a run does not know is null, never zero."""
    changes = {"demand": {}, "heat.customers": {}, "run.days": 1, "market.ppa_mw": 0.0}
    run = kv.simulate(kv.load(ROOT / "tests" / "small.toml", changes))
    tables = {f"{name}.parquet": {"rows": 0, "sha256": "0" * 64} for name in TABLES}
    jsonschema.Draft202012Validator(schema()).validate({**run.record, "tables": tables})
    assert run.summary["jobs_submitted"] == 0
    assert run.summary["wait_p50_s"]["uk"] is None
    assert run.summary["recall_latency_p99_s"] is None


def test_a_planned_run_keeps_the_schema_and_names_what_is_drawn() -> None:
    """Contracts with profiles are inputs; calls of reserves and the error of the forecast are synthetic ones."""
    changes = {"run.days": 2, "run.tick_s": 3600}
    run = kv.simulate(kv.load(ROOT / "docs" / "energy" / "planned-supply.toml", changes))
    tables = {f"{name}.parquet": {"rows": 0, "sha256": "0" * 64} for name in TABLES}
    jsonschema.Draft202012Validator(schema()).validate({**run.record, "tables": tables})
    inputs = {(one["kind"], one["synthetic"]) for one in run.record["inputs"]}
    assert {("contract", False), ("weather_forecast", True), ("reserve_calls", True)} <= inputs


def test_the_schema_names_every_key_of_the_documentation() -> None:
    """Each key that docs/run-folder.md promises is required by the schema, and each key of the schema is explained."""
    text = (ROOT / "docs" / "run-folder.md").read_text(encoding="utf-8")
    keys, summary = re.split(r"\n`summary`:", text.split("## run.json")[1])
    in_schema = set(schema()["$defs"]["summary"]["properties"])
    named = set(re.findall(r"`([a-z0-9_]+)`", summary))
    assert named - in_schema == set()
    assert len(named) > 40
    assert named <= set(schema()["$defs"]["summary"]["required"]) == in_schema
    assert all("description" in rule for rule in schema()["$defs"]["summary"]["properties"].values())
    assert set(schema()["properties"]) - set(re.findall(r"`([a-z0-9_]+)`", keys)) == set()


def test_every_sentence_of_the_schema_is_needed(record: dict[str, Any]) -> None:
    """Without any one key of the summary, or of the top, the record breaks the schema, and reading says which."""
    for key in record:
        broken = {name: value for name, value in record.items() if name != key}
        assert not jsonschema.Draft202012Validator(schema()).is_valid(broken)
        mistake = first_mistake(broken)
        assert mistake is not None
        assert mistake.key == key
    for key in record["summary"]:
        broken = copy.deepcopy(record)
        del broken["summary"][key]
        mistake = first_mistake(broken)
        assert mistake is not None
        assert (mistake.key, mistake.message) == (f"summary.{key}", "this key is missing")


@pytest.mark.parametrize("wrong", ["text", -1, 1.5, True, [], {}, None])
def test_reading_finds_what_the_schema_forbids(record: dict[str, Any], wrong: Any) -> None:
    """The product's own check agrees with a full validator on wrong values of every summary key."""
    validator = jsonschema.Draft202012Validator(schema())
    for key in record["summary"]:
        broken = {**record, "summary": {**record["summary"], key: wrong}}
        assert (first_mistake(broken) is None) == validator.is_valid(broken), (key, wrong)


def test_a_key_of_a_later_program_is_passed_over(record: dict[str, Any], tmp_path: Path) -> None:
    """Writing is strict, reading tolerant."""
    later = {**record, "new_key": 1, "summary": {**record["summary"], "new_number": 2.0}}
    assert not jsonschema.Draft202012Validator(schema()).is_valid(later)
    (tmp_path / "run.json").write_text(json.dumps(later), encoding="utf-8")
    assert read_record(tmp_path)["summary"]["new_number"] == 2.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "schema_version: must be 1, got None"),
        ('{"schema_version": 2}', "schema_version: must be 1, got 2: written by another version"),
        ('{"schema_version": 1}', "kvandal_version: this key is missing"),
        ('{"schema_version": 1, "seed": NaN}', "NaN is not a JSON number"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """One sentence with the file and the key."""
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunFolderError) as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'run.json'}: ")
    assert expected in str(caught.value)


def test_a_folder_without_record_is_no_run_folder(tmp_path: Path) -> None:
    """Absent folder, empty folder, a file in its place, run.json as a folder."""
    with pytest.raises(RunFolderError, match="no such run folder"):
        read_record(tmp_path / "none")
    with pytest.raises(RunFolderError, match=r"is not a run folder \(no run.json in it\)"):
        read_record(tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_record(tmp_path / "file")
    (tmp_path / "odd" / "run.json").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="cannot be read: Is a directory"):
        read_record(tmp_path / "odd")
