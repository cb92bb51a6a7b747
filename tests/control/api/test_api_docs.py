"""The page on the API is true: its commands and its Python run against a server, its problem is the server's."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from living_site import job_row, populate
from sqlalchemy import insert

from kvandal.control.store.tables.loop import JOBS

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LOCAL = "http://127.0.0.1:8440"


def test_every_command_of_the_page_runs(served: Any, store: Any, tmp_path: Path) -> None:
    """In order, against a site that has lived a little; the JSON that it shows is what the server answers."""
    populate(store)
    with store.begin() as tx:
        (named,) = set(re.findall(r"job_\w{26}", PAGE.read_text("utf-8")))
        tx.execute(insert(JOBS), {**job_row("norway-research", "queued"), "id": named})
    environment = {**os.environ, "KVANDAL_SERVER": served.url}
    ran = 0
    for block in BLOCK.finditer(PAGE.read_text("utf-8")):
        body = block["body"].replace(LOCAL, served.url)
        if block["kind"] == "python":
            subprocess.run(
                [sys.executable, "-c", body], cwd=tmp_path, env=environment, check=True, timeout=60
            )
            ran += 1
        for line in body.splitlines() if block["kind"] == "console" else ():
            command, _, comment = line.removeprefix("$ ").partition("  #")
            words = shlex.split(command)
            if words[0] == "kvandal":
                words = [sys.executable, "-m", "kvandal.cli.main", *words[1:]]
            elif shutil.which(words[0]) is None:
                continue
            done = subprocess.run(
                words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == (2 if "exit 2" in comment else 0), f"{line}\n{done.stderr}"
            assert "Traceback" not in done.stderr
            ran += 1
    assert ran > 12


def test_the_problem_of_the_page_is_the_servers(ask: Any) -> None:
    """Word for word, but for the id of the request."""
    (shown,) = (
        json.loads(block["body"])
        for block in BLOCK.finditer(PAGE.read_text("utf-8"))
        if block["kind"] == "json"
    )
    told = ask.submit(gpus=8000).json()
    assert told | {"request_id": shown["request_id"]} == shown
