"""Three hundred scenario files, each spoilt in its own way: every one loads or ends in one sentence."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kvandal as kv
from kvandal.cli.options import scenario_of
from kvandal.errors import KvandalError

VALUES = (
    "-1", "0", "1e400", "nan", "-inf", "true", '""', '"230"', "[]", "[[]]", "{}", "{ a = 1 }", "1979-05-27", "07:32:00",
    "2027-01-01T00:00:00", "2027-01-01T00:00:00+23:59", "9999-12-31T23:00:00Z", "0001-01-01T00:00:00Z", "99999999999999999999",
    "0xffffffffffffffffffffffffffffffffffff", '"\\u0000"', '"\\U0001F600"', "'''\nx\n'''", "0.1", "1_0", "1__0", "3.", "=", "#", '"\\ud800"',
    '"no/such/file"', '"nan"', "[1, 'a', {}]", "1e-320", "-0.0", "4.5e15",
)  # fmt: skip
KEYS = (
    "extends",
    "name",
    "run",
    "site",
    "tenants",
    "x",
    '""',
    '"a.b"',
    "a.b.c",
    "[key]",
    "days",
    "0",
    "grid_mw",
    "é",
    "-",
)


@cache
def lines_of(name: str) -> tuple[str, ...]:
    return tuple(
        resources.files("kvandal.scenario")
        .joinpath("presets", f"{name}.toml")
        .read_text("utf-8")
        .splitlines()
    )


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Return a preset's text with a few of its lines, values, keys or bytes changed."""
    lines = list(lines_of(draw(st.sampled_from(kv.presets()))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[at].partition("=")
        match draw(st.integers(0, 7)):
            case 0 if equals:
                lines[at] = f"{key}= {draw(st.sampled_from(VALUES))}"
            case 1 if equals:
                lines[at] = f"{draw(st.sampled_from(KEYS))} {lines[at][len(key) :]}"
            case 2:
                lines[at] = draw(st.text(max_size=30))
            case 3:
                lines.insert(at, f"{draw(st.sampled_from(KEYS))} = {draw(st.sampled_from(VALUES))}")
            case 4:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 5:
                del lines[at:]
                lines.append("")
            case 6:
                cut = draw(st.integers(0, max(0, len(lines[at]) - 1)))
                lines[at] = (
                    lines[at][:cut] + draw(st.sampled_from('"[]{}=.,\\\x00\x07#é')) + lines[at][cut + 1 :]
                )
            case _:
                lines[at] = lines[at].replace("_", draw(st.sampled_from(["-", "", "__", "."])), 1)
    raw = "\n".join(lines).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(min_size=1, max_size=4)) + raw[at:]
    return raw


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(raw=spoilt())
def test_a_spoilt_scenario_file_never_shows_a_traceback(raw: bytes) -> None:
    """Law: the loader of the command line gives a scenario or a KvandalError of one line that names the file."""
    handle, name = tempfile.mkstemp(suffix=".toml")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        try:
            scenario = scenario_of(name, None)
        except KvandalError as error:
            text = str(error)
            assert "\n" not in text.strip()
            assert name in text or "stargate-norway" in text
            assert len(text) < 2000
        else:
            assert kv.Scenario.model_validate_json(scenario.model_dump_json()) == scenario
    finally:
        Path(name).unlink()
