"""The documentation is true: its commands run, its files load, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
BLOCK = re.compile(
    r"^```(?P<kind>[\w.]+)(?: (?P<name>[\w.-]+))?\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL
)

LIVE = ("serve", "job", "envelope", "replay", "site", "audit")
"""Commands of the README that need a living site."""


def run_block(kind: str, name: str | None, body: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if name is not None:
        (folder / name).write_text(body, encoding="utf-8")
    elif kind == "python":
        subprocess.run([sys.executable, "-c", body], cwd=folder, env=environment, check=True, timeout=600)
    elif kind == "console":
        for line in body.splitlines():
            if not line.startswith("$ "):
                continue
            command, _, comment = line[2:].partition("#")
            expected = 2 if "exit 2" in comment else 0
            result = subprocess.run(
                shlex.split(command),
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert result.returncode == expected, f"{line}\n{result.stderr}"
            assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(tmp_path: Path):
    """In order, in one empty folder, as a reader would."""
    blocks = list(BLOCK.finditer((ROOT / "docs/tutorial.md").read_text(encoding="utf-8")))
    assert len(blocks) > 10
    for block in blocks:
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "own.html").stat().st_size > 100_000


@pytest.mark.slow
def test_every_command_of_the_page_on_the_plant_runs(tmp_path: Path):
    """Its example holds every kind of fault."""
    from kvandal.scenario.faults import FaultKind

    text = (ROOT / "docs/plant.md").read_text(encoding="utf-8")
    assert {f'kind = "{kind}"' for kind in get_args(FaultKind)} <= set(text.splitlines())
    for block in BLOCK.finditer(text):
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "faults" / "faults.parquet").exists()


def test_every_command_of_the_page_on_export_runs(tmp_path: Path):
    """Both targets, at two times; an unknown one is refused."""
    for block in BLOCK.finditer((ROOT / "docs/export.md").read_text(encoding="utf-8")):
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"slurm", "kueue"}


def test_every_command_of_the_page_on_the_store_runs(tmp_path: Path):
    """In order, in one empty folder; what it says is kept in which way is so."""
    from kvandal.control.store import maintenance

    text = (ROOT / "docs/store.md").read_text(encoding="utf-8")
    (block,) = BLOCK.finditer(text)
    run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "copy/site.db").exists()
    assert [(s.after_s // 86_400, s.every_s // 60) for s in maintenance.SPACINGS] == [(2, 15), (60, 60)]
    assert "every tick for two days, then quarters of an hour, hours after two months" in " ".join(
        text.split()
    )


@pytest.mark.slow
def test_every_command_of_the_page_on_what_ifs_runs(tmp_path: Path):
    """In order, in one empty folder; its Python too."""
    for block in BLOCK.finditer((ROOT / "docs/whatif.md").read_text(encoding="utf-8")):
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "priority" / "whatif.parquet").exists()
    assert (tmp_path / "smaller" / "whatif.html").stat().st_size > 1_000_000


@pytest.mark.slow
def test_every_command_of_the_page_on_forecasts_runs(tmp_path: Path):
    """A run, a forecast on the command line, and the same from Python."""
    blocks = list(BLOCK.finditer((ROOT / "docs/forecast.md").read_text(encoding="utf-8")))
    assert [block["kind"] for block in blocks] == ["console", "python"]
    for block in blocks:
        run_block(block["kind"], block["name"], block["body"], tmp_path)


@pytest.mark.slow
def test_every_command_of_the_page_on_why_runs(tmp_path: Path):
    """In order, in one empty folder; what it shows is what the program prints."""
    text = (ROOT / "docs/why.md").read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if block["kind"] != "text":
            run_block(block["kind"], block["name"], block["body"], tmp_path)
    (shown,) = [block["body"] for block in BLOCK.finditer(text) if block["kind"] == "text"]
    (command,) = re.findall(r"^\$ kvandal (why .*)$", text, re.MULTILINE)
    program = [sys.executable, "-m", "kvandal.cli.main", *shlex.split(command)]
    printed = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.split() == shown.split()


@pytest.mark.slow
def test_every_command_of_the_page_on_sweeps_runs(tmp_path: Path):
    """In order, in one empty folder; its Python too; the sweep that it shows is what the program prints."""
    text = (ROOT / "docs/sweeps.md").read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        if block["kind"] == "python":
            (tmp_path / "example.py").write_text(block["body"], encoding="utf-8")
            subprocess.run([sys.executable, "example.py"], cwd=tmp_path, check=True, timeout=600)
        elif block["kind"] == "console":
            run_block(block["kind"], block["name"], block["body"], tmp_path)
    shown = next(block["body"] for block in blocks if block["kind"] == "text")
    program = [sys.executable, "-m", "kvandal.cli.main", "sweep", "--resume", "sweeps/grid"]
    printed = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.split() == shown.split()
    assert (tmp_path / "searches/gpus/optimise.html").stat().st_size > 1_000_000
    assert (tmp_path / "searches/python/trials.parquet").exists()


@pytest.mark.slow
def test_every_command_of_the_page_on_failures_runs(tmp_path: Path):
    """In order, in one empty folder."""
    for block in BLOCK.finditer((ROOT / "docs/failures.md").read_text(encoding="utf-8")):
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "runs/crews/run.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("energy", "runs/supply/contracts.parquet"),
        ("plan", ""),
        ("attribution", "runs/attributed/tenant_energy.parquet"),
        ("books", "statements/statements.parquet"),
        ("statutory", "runs/forms/eed.html"),
    ],
)
def test_every_command_of_the_pages_on_energy_and_money_runs(page: str, made: str, tmp_path: Path):
    """In order, in one empty folder, with the scenarios of the documentation beside it."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:    |\$ )(kvandal .*)$", text, re.MULTILINE)
    assert commands
    run_block("console", None, "\n".join(f"$ {command}" for command in commands), tmp_path)
    assert (tmp_path / made).exists()


@pytest.mark.slow
def test_every_console_command_of_the_page_on_performance_runs(tmp_path: Path):
    """The short ones; what it says about loops and limits is what the program does."""
    from kvandal.bench import growth, machine
    from kvandal.bench.stages import STAGES

    text = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        run_block(block["kind"], block["name"], block["body"], tmp_path)
    assert (tmp_path / "figures.json").exists()
    assert all(f"`{stage}`" in text for stage in STAGES)
    assert f"{machine.FLOOR_FLOPS} floating-point operations and {machine.FLOOR_BYTES} bytes" in text
    assert f"{machine.STEPS // 1_000_000} million steps" in text
    assert f"At most {growth.LIMIT:g}" in text


@pytest.mark.slow
def test_every_command_of_the_page_on_oversubscription_runs(tmp_path: Path):
    """140,000 GPUs for two days; its table has the lines that the script prints."""
    text = (ROOT / "docs/oversubscription.md").read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        if block["kind"] == "console":
            run_block(block["kind"], block["name"], block["body"], tmp_path)
    script = (ROOT / "docs/oversubscription.py").read_text(encoding="utf-8")
    printed = re.findall(r'line\("([^"]+)"', script)
    assert len(printed) > 10
    assert all(text.count(f"| {name} |") == 2 for name in printed)


@pytest.mark.slow
def test_every_command_of_the_readme_runs(tmp_path: Path):
    """The README's commands (from its own virtual environment there, from this one here) and its Python."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    \.venv/bin/(kvandal .*)$", text, re.MULTILINE)
    commands = [
        one for one in commands if one.split()[1] not in LIVE
    ]  # see tests/control/test_pages_of_docs.py
    assert len(commands) >= 5
    run_block("console", None, "\n".join(f"$ {command}" for command in commands), tmp_path)
    for block in BLOCK.finditer(text):
        run_block(block["kind"], block["name"], block["body"], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    """Relative links of every page name a file that exists."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_names_the_two_commands():
    """The README shows, early, how to run and how to test."""
    head = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40])
    assert "make run" in head
    assert "make test" in head


def test_ci_calls_the_test_command_of_the_readme():
    """What CI runs is what a reader is told to run."""
    assert "make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_the_page_on_policy_names_every_rule() -> None:
    """Ids and sentences are those of the program, in its order."""
    from kvandal.policy.rules import RULES

    page = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z]\d) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [rule for number, rule in sorted(RULES.items()) if number]
