"""docs/office.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from kvandal.client.resources.applications import State
from kvandal.client.resources.grants import GrantState
from kvandal.control.office import life, steps
from kvandal.control.office.ladder import ladder
from kvandal.control.office.rules import RULES
from kvandal.policy.rules import RULES as OF_SHARING

PAGE = (Path(__file__).parents[3] / "docs" / "office.md").read_text("utf-8")
SOURCES = Path(__file__).parents[3] / "src" / "kvandal" / "control" / "office"


def test_the_page_has_every_rule_as_the_code_has_it():
    assert re.findall(r"^\| (O[GCSU]\d+) \| (.*) \|$", PAGE, re.MULTILINE) == list(RULES.items())


def test_no_rule_shares_its_id_with_a_rule_of_sharing_and_every_one_is_used():
    assert not set(RULES) & {key for key, _ in OF_SHARING.values()}
    code = "".join(path.read_text("utf-8") for path in SOURCES.glob("*.py") if path.name != "rules.py")
    unused = {rule for rule in RULES if f'"{rule}"' not in code}
    assert unused == {"OS15"}  # who adds people only needs no look: the absence of a refusal


def test_the_page_has_the_ladder():
    rows = re.findall(r"^\| ([a-z-]+) \| ([\d,]+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert rows == [
        (rung.name, f"{rung.most_gpu_hours:,}", str(rung.most_months)) for rung in ladder().values()
    ]


def test_the_diagram_names_every_state_and_step():
    diagram = PAGE.split("## States")[1].split("```")[1]
    for name in (*State.__args__, *GrantState.__args__, *steps.STEPS_FROM, *life.STEPS_FROM):
        if name not in {"revise", "review", "end_early"}:
            assert re.search(rf"\b{name}\b", diagram), name
