"""`kvandal doctor` on the command line: a table, one JSON document, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from kvandal.control.store.database import open_store


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KVANDAL_SERVE_")}
    return subprocess.run(
        [sys.executable, "-m", "kvandal.cli.main", "doctor", *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_a_sound_deployment_ends_with_0_and_a_broken_one_with_1(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text('data_dir = "."\nport = 1\n', encoding="utf-8")
    broken = doctor("--config", str(config))
    assert broken.returncode == 1
    assert "WRONG  database" in broken.stdout
    assert broken.stderr == "1 thing is wrong.\n"

    open_store(f"sqlite:///{tmp_path / 'kvandal.sqlite'}").close()
    sound = doctor("--config", str(config), "--json")
    assert sound.returncode == 0, sound.stdout
    document = json.loads(sound.stdout)
    assert document["ok"] is True
    assert {"settings", "disk", "database", "append-only", "audit", "leader", "engine"} <= {
        one["name"] for one in document["findings"]
    }


def test_wrong_settings_end_with_2_and_one_line(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text("prot = 1\n", encoding="utf-8")

    ended = doctor("--config", str(config))

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"kvandal: {config}: prot: unknown key; did you mean 'port'?\n"
