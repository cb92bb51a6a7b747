"""`kvandal params` says truly which parameters the product reads."""

from __future__ import annotations

import re
from pathlib import Path

from kvandal.scenario.parameters import parameters
from kvandal.scenario.plausibility import READ_BY_NAME, keys_in_use

SOURCES = Path(__file__).parent.parent.parent / "src" / "kvandal"


def test_keys_in_use_are_those_that_the_code_names():
    """A parameter is in use if its key stands in the code, and only then."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in SOURCES.rglob("*.py")
        if path.name != "plausibility.py" and "report" not in path.parts
    )
    named = {key for key in parameters() if re.search(rf'"{re.escape(key)}"', code)}
    assert named - keys_in_use() <= {"rack.rack_tdp_kw", "net.net_storage_kw_per_gpu", "rack.rack_peak_kw"}
    assert keys_in_use() <= named
    assert set(parameters()) >= READ_BY_NAME


def test_some_parameters_wait_for_their_model():
    """The registry knows more than this version reads, and says so."""
    waiting = set(parameters()) - keys_in_use()
    assert {"workload.mfu_train"} <= waiting
