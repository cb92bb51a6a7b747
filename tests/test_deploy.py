"""Files for deployment name what exists: settings, paths, routes, commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from kvandal.control.settings import CONFIG, PREFIX
from kvandal.control.settings_sources import keys, load_settings, variable

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
EXAMPLE = DEPLOY / "kvandal.example.toml"
UNIT = DEPLOY / "kvandal.service"
CONTAINER = DEPLOY / "Containerfile"


def test_the_example_of_settings_is_accepted() -> None:
    found = load_settings(EXAMPLE, environment={})

    assert found.oidc is not None
    assert found.slurm is not None
    assert (found.engine, found.base_url) == ("slurm", "https://kvandal.example.org")


def test_what_the_example_leaves_commented_out_is_accepted_too() -> None:
    text = re.sub(r"(?m)^# (?=\w+ = )", "", EXAMPLE.read_text(encoding="utf-8"))
    document = tomllib.loads(text)

    assert {"metrics_token_file", "otlp_endpoint"} <= set(document) <= {key.split(".")[0] for key in keys()}


def instructions() -> list[tuple[str, str]]:
    """Instructions of the container file: word and rest."""
    text = re.sub(r"\\\n", " ", CONTAINER.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]  # type: ignore[misc]


def test_the_container_file_copies_what_is_there() -> None:
    copied = [
        shlex.split(rest)[:-1]
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
    ]

    names = [name for names in copied for name in names]
    assert {"pyproject.toml", "src"} <= set(names)
    for name in names:
        assert (ROOT / name).exists(), name


def test_the_container_runs_without_root_and_asks_for_its_health() -> None:
    words = dict(instructions())

    user = words["USER"].split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert f"--uid {user} " in CONTAINER.read_text(encoding="utf-8")
    port = re.search(r"127\.0\.0\.1:(\d+)/healthz", words["HEALTHCHECK"])
    assert port is not None
    assert port.group(1) == words["EXPOSE"] == str(load_settings(environment={}).port)
    assert words["CMD"].startswith('["kvandal", "serve", ')


def test_variables_of_the_environment_are_settings() -> None:
    """In the container file, the unit and the example."""
    for file in (CONTAINER, UNIT, EXAMPLE):
        for name in set(re.findall(rf"{PREFIX}[A-Z_]+", file.read_text(encoding="utf-8"))):
            assert name in {variable(key) for key in keys()}, f"{file.name}: {name}"
    assert f"Environment={CONFIG}=/etc/kvandal/kvandal.toml" in UNIT.read_text(encoding="utf-8")


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="not run: no systemd-analyze on this machine"
)
def test_systemd_accepts_the_unit_and_finds_it_well_confined(tmp_path: Path) -> None:
    """The program itself is not installed here, so another stands in for it."""
    unit = tmp_path / UNIT.name
    unit.write_text(
        re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8")), encoding="utf-8"
    )

    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout
