"""The commands of the README and of the page on the live site, against a site that lives."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
KVANDAL = str(Path(sys.executable).with_name("kvandal"))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the environment of commands that ask a living site, and its folder."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "train.sh").write_text("#!/bin/sh\nsleep 60\n", encoding="utf-8")
    environment = {**os.environ, "KVANDAL_SERVE_DATA_DIR": str(folder / "data")}
    command = [KVANDAL, "serve", "stargate-norway", "--speed", "60", "--port", "0"]
    with (folder / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline()).group()
        until = time.monotonic() + 240
        while httpx.get(f"{address}/v1/site").status_code != 200:
            assert server.poll() is None
            assert time.monotonic() < until, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.2)
        yield {**environment, "KVANDAL_SERVER": address}, folder
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        server.stdout.close()


def run(served, command):
    environment, folder = served
    words = shlex.split(command, comments=True)
    done = subprocess.run(
        [KVANDAL, *words[1:]],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def commands_of(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    if page == "README.md":
        found = re.findall(
            r"^    \.venv/bin/(kvandal (?:job|envelope|replay|site|audit) .*)$", text, re.MULTILINE
        )
        return [*found, *re.findall(r"^    \.venv/bin/(kvandal replay) *#", text, re.MULTILINE)]
    return re.findall(r"^\$ (kvandal .*)$", text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.xdist_group("live-page")
@pytest.mark.parametrize("page", ["README.md", "docs/live.md"])
def test_every_command_of_a_page_runs_against_a_living_site(served, page):
    commands = commands_of(page)
    assert len(commands) >= 4
    job = ""
    for command in commands:
        printed = run(served, command.replace(" JOB", f" {job}"))
        if " job submit " in command:
            job = re.search(r"job_\w+", printed).group()
        if command.startswith("kvandal replay"):
            assert "decide again what they decided" in printed
    assert job
