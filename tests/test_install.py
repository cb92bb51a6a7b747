"""A core install stays light (mistake of others: a broken optional feature pulls in gigabytes)."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_MB = 500


def installed_bytes(distribution: str) -> int:
    files = metadata.distribution(distribution).files or []
    paths = [Path(str(file.locate())) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_core_install_stays_under_500_mb():
    """Everything that requirements.lock names, and the package itself, as installed here."""
    locked = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
    )
    own = sum(
        path.stat().st_size
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    total = own + sum(installed_bytes(name) for name in locked)
    assert 100 < total / 1e6 < LIMIT_MB


def test_heavy_packages_are_not_in_the_core():
    """No browser, no plotting stack, no second table engine in the core."""
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for heavy in (
        "pandas",
        "pyarrow",
        "scipy",
        "matplotlib",
        "plotly",
        "playwright",
        "torch",
        "jax",
        "ray",
        "optuna",
        "sqlalchemy",
    ):
        assert f"\n{heavy}==" not in f"\n{locked}"


def test_installed_versions_are_the_locked_ones():
    """What is tested is what the lock file says."""
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition("==")
        if version:
            assert metadata.version(name) == version
