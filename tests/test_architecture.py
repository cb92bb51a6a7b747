"""Imports point one way: each layer knows only those above it in this list."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvandal as kv

PACKAGE = Path(kv.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    ("errors", "compiled", "randomness"),
    ("scenario",),
    ("physics",),
    ("series",),
    ("climate",),
    ("demand",),
    ("policy",),
    ("energy",),
    ("twin",),
    ("ledger", "engines"),
    ("runs", "report"),
    ("client",),
    ("control",),
    ("bench",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
CORE = {
    "highspy",
    "llvmlite",
    "numba",
    "numpy",
    "polars",
    "psychrolib",
    "pydantic",
    "pydantic_core",
}
"""What the layers below the command line may import from outside; the command line adds rich and typer."""
SERVE = {
    "alembic", "anyio", "authlib", "fastapi", "holidays", "httpx", "itsdangerous", "jinja2", "joserfc", "markupsafe",
    "opentelemetry", "orjson", "prometheus_client", "psycopg", "sqlalchemy", "starlette", "stdnum", "structlog", "uvicorn", "uvloop",
}  # fmt: skip
"""What the extra `serve` brings: the control plane, its client and the live engines may import it, nobody else."""
EXTRAS = {"ray": "runs/ray_workers.py", "optuna": "runs/trials.py"}
"""Packages of extras, and the one module that may import each, inside a function."""
SOCKETS = "runs/ray_workers.py"
"""The one module that may ask whether somebody listens at an address."""
LAZILY = {("runs", "report")}
"""A layer that may import its neighbour, but only inside a function."""
PURE = ("physics", "policy")
"""Layers of pure functions: no clock, no randomness, no files."""


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Names of imported modules, and whether they are imported when the module is."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        at_once = id(node) not in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, at_once
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield module, at_once
            if module == "kvandal":
                for alias in node.names:
                    yield f"kvandal.{alias.name}", at_once


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    """A module imports from its own layer and from layers above it; neighbours do not know each other."""
    if layer(path) == "__init__":
        return
    own = layer(path)
    for name, at_once in imports(ast.parse(path.read_text(encoding="utf-8"))):
        if not name.startswith("kvandal."):
            continue
        other = name.split(".")[1]
        if other not in RANK:  # a public name of the package, e.g. its version
            continue
        allowed = other == own or RANK[other] < RANK[own] or ((own, other) in LAZILY and not at_once)
        assert allowed, f"{module_name(path)} imports {name}"


def test_the_report_reads_only_run_folders() -> None:
    """A page is made from files alone: the report knows neither the twin nor the ledger nor the runs."""
    for path in (PACKAGE / "report").rglob("*.py"):
        known = {name.split(".")[1] for name, _ in imports(ast.parse(path.read_text("utf-8"))) if "." in name}
        assert known & {"twin", "ledger", "runs", "cli", "policy"} == set(), path.name


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_the_core_imports_neither_web_nor_database(path: Path) -> None:
    """Outside the standard library there are seven packages, and rich and typer for the command line."""
    if layer(path) in {"control", "client"} or module_name(path).startswith(
        ("engines/live/", "bench/serving/")
    ):
        allowed = CORE | SERVE
        for name, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
            top = name.split(".")[0]
            assert top == "kvandal" or top in sys.stdlib_module_names or top in allowed, f"imports {name}"
        return
    allowed = CORE | ({"rich", "typer"} if layer(path) == "cli" else set())
    web = {"http", "socket", "sqlite3", "urllib", "asyncio", "ssl", "smtplib", "ftplib", "xmlrpc"}
    for name, at_once in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top = name.split(".")[0]
        if top == "kvandal" or (top == "socket" and module_name(path) == SOCKETS):
            continue
        if top in EXTRAS:
            assert module_name(path) == EXTRAS[top], f"{module_name(path)} imports {name}"
            assert not at_once, f"{module_name(path)} imports {name} when it is imported"
            continue
        assert top not in web, f"{module_name(path)} imports {name}"
        assert top in sys.stdlib_module_names or top in allowed, f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p) in PURE], ids=module_name)
def test_pure_layers_know_neither_clock_nor_chance_nor_files(path: Path) -> None:
    """Physics and policy are functions of their arguments."""
    impure = {"time", "random", "secrets", "os", "pathlib", "io"}
    for name, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        assert name.split(".")[0] not in impure, f"{module_name(path)} imports {name}"
    text = path.read_text(encoding="utf-8")
    assert "np.random" not in text
    assert "open(" not in text


def test_names_of_modules_say_what_lives_there() -> None:
    """No drawer for odds and ends."""
    banned = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}
    assert {path.stem for path in MODULES} & banned == set()


def test_files_of_tests_have_names_of_their_own() -> None:
    """They are imported by their names alone: of two of one name, only one would run."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, files in names.items() if files > 1] == []


def test_modules_are_of_readable_length() -> None:
    """About four hundred lines at most."""
    long = {module_name(p): n for p in MODULES if (n := len(p.read_text("utf-8").splitlines())) > 450}
    assert long == {}
