"""Help is at hand, shows how, and costs nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import kvandal as kv

COMMANDS = [
    [],
    ["run"],
    ["show"],
    ["params"],
    ["models"],
    ["compare"],
    ["whatif"],
    ["why"],
    ["report"],
    ["transient"],
    ["trace"],
    ["trace", "info"],
    ["bench"],
    ["doctor"],
    ["sweep"],
    ["optimise"],
    ["policy"],
    ["policy", "export"],
    ["policy", "set"],
    ["job"],
    ["job", "submit"],
    ["envelope", "set"],
    ["grant"],
    ["grant", "apply"],
    ["office"],
    ["office", "decide"],
    ["site"],
    ["site", "whatif"],
]
HEAVY = ("numba", "llvmlite", "polars", "numpy", "rich", "kvandal.scenario.model", "kvandal.compiled")
"""What help must not import. (Some versions of typer load pydantic themselves; it is our models that take time.)"""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_loads_nothing_heavy(command: list[str]) -> None:
    """Help is printed without importing what computes, validates or draws."""
    code = (
        "import sys\n"
        f"sys.argv = ['kvandal', *{command!r}, '--help']\n"
        "from kvandal.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        f"    print('LOADED', ended.code, [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Example: kvandal" in finished.stdout
    assert finished.stdout.splitlines()[0].startswith("Usage: kvandal")
    assert finished.stdout.splitlines()[-1] == "LOADED 0 []"


def pulled_in(code: str) -> set[str]:
    """Packages that a fresh process has imported after `code`, beside the standard library and what Python starts with."""
    told = (
        f"import sys; before = set(sys.modules)\n{code}\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print('PULLED', *sorted(name for name in names if not name.startswith('_')))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60
    )
    word, *names = finished.stdout.splitlines()[-1].split(" ")
    assert word == "PULLED"
    return set(names)


def test_the_package_itself_loads_nothing() -> None:
    """``import kvandal`` alone is free: of our own modules the first, of other packages none."""
    assert pulled_in("import kvandal") == {"kvandal"}
    own = "import kvandal; print(*sorted(name for name in sys.modules if name.startswith('kvandal')))"
    finished = subprocess.run(
        [sys.executable, "-c", f"import sys; {own}"], capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.split() == ["kvandal"]


def test_help_loads_the_command_line_alone() -> None:
    """Of other packages typer, and what it needs itself; of ours the commands and the errors, and nothing that they run."""
    code = (
        "sys.argv = ['kvandal', '--help']\n"
        "from kvandal.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
    )
    assert pulled_in(code) <= {
        "kvandal",
        "typer",
        "click",
        "annotated_doc",
        "shellingham",
        "typing_extensions",
    }
    ours = f"{code}assert {{name.split('.')[1] for name in sys.modules if name.startswith('kvandal.')}} == {{'cli', 'errors'}}"
    assert "kvandal" in pulled_in(ours)


def test_loading_a_scenario_starts_neither_compiler_nor_tables() -> None:
    """What ``kvandal show SCENARIO`` and every bad scenario need is pydantic, not numba and polars."""
    pulled = pulled_in("import kvandal; kvandal.load('stargate-norway')")
    assert "pydantic" in pulled
    assert pulled & {"numba", "llvmlite", "polars", "rich", "typer"} == set()


def test_help_names_every_command(inside: Callable[..., Any]) -> None:
    """Each of them, and short help too."""
    outcome = inside("-h")
    for command in (
        "run",
        "show",
        "params",
        "models",
        "compare",
        "whatif",
        "why",
        "report",
        "transient",
        "trace",
        "bench",
        "sweep",
        "optimise",
        "policy",
        "job",
        "envelope",
        "grant",
        "office",
        "site",
    ):
        assert f"\n  {command} " in outcome.out


def test_version_and_no_arguments(inside: Callable[..., Any]) -> None:
    """``--version`` prints the version; without arguments there is help, and exit code 2."""
    assert inside("--version").out == f"{kv.__version__}\n"
    outcome = inside()
    assert "Usage: kvandal" in outcome.out + outcome.err
    assert outcome.code == 2


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run", "--dayz", "3"], ["run", "--days", "many"], ["compare", "one"], ["run", "a", "b"]],
)
def test_wrong_usage_is_said_in_a_line_and_ends_with_2(
    inside: Callable[..., Any], arguments: list[str]
) -> None:
    """Unknown commands and options, words for numbers, missing and superfluous arguments."""
    outcome = inside(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Error: " in outcome.err
