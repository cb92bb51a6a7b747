"""The command line as a user meets it: in a process of its own, or in this one where that is enough."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "kvandal.cli.main"]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def mistakes(self) -> list[str]:
        """What stands on standard error beside warnings and progress."""
        return [
            line for line in self.err.splitlines() if line.startswith("kvandal: ") and "warning" not in line
        ]


@pytest.fixture
def small() -> str:
    return str(Path(__file__).parent.parent / "small.toml")


@pytest.fixture
def kvandal(tmp_path: Path) -> Callable[..., Outcome]:
    """Run the command in a process of its own, in an empty folder."""

    def call(
        *arguments: str, cwd: Path | str = tmp_path, environment: dict[str, str] | None = None, **more: Any
    ) -> Outcome:
        finished = subprocess.run(
            [*COMMAND, *arguments],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=300,
            check=False,
            **more,
        )
        assert "Traceback" not in finished.stderr, finished.stderr
        assert "Exception ignored" not in finished.stderr, finished.stderr
        return Outcome(finished.returncode, finished.stdout, finished.stderr)

    return call


@pytest.fixture
def inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Run the command inside this process: the same code from its entry on, without the start of Python."""
    from kvandal.cli import signals
    from kvandal.cli.main import main

    before = {each: signal.getsignal(each) for each in signals.ENDING}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kvandal", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        code = ended.value.code
        return Outcome(
            code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err
        )

    yield call
    for each, handler in before.items():
        signal.signal(each, handler)
