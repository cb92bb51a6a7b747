"""The tables of docs/operations.md, from the settings, the figures and the rules themselves: python docs/operations_tables.py."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic_core import PydanticUndefined

from kvandal.scenario.messages import bound

PAGE = Path(__file__).parent / "operations.md"
RULES = Path(__file__).parent.parent / "deploy" / "prometheus" / "kvandal.rules.yml"
HIDDEN = ("oidc.client_secret", "slurm.token", "database_password")
"""Settings that only the environment has: told in words above the table, and in the row of their file."""


def row(*cells: str) -> str:
    """Write a row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def default_of(field: Any) -> str:
    """Write a default as TOML has it."""
    value = field.default if field.default_factory is None else field.default_factory()
    if value is PydanticUndefined:
        return "needed"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{one}"' for one in value) + "]`"
    return f'`"{value}"`' if isinstance(value, str | Path) else "`{}`"


def allowed_of(field: Any) -> str:
    """Write what is allowed: choices, bounds."""
    signs = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    choices = get_args(field.annotation) if str(get_origin(field.annotation)).endswith("Literal") else ()
    bounds = [
        f"{words} {bound(getattr(one, sign))}"
        for one in field.metadata
        for sign, words in signs.items()
        if hasattr(one, sign)
    ]
    return ", ".join([*(f"`{choice}`" for choice in choices), *bounds])


def settings() -> str:
    """Tabulate the settings."""
    from kvandal.control.settings_sources import keys

    lines = [row("key", "default", "what it is"), "|---|---|---|"]
    for key, field in keys().items():
        if key not in HIDDEN:
            allowed = allowed_of(field)
            lines.append(
                row(f"`{key}`", default_of(field), f"{field.description}{f' ({allowed})' if allowed else ''}")
            )
    return "\n".join(lines)


def figures() -> str:
    """Tabulate the figures."""
    from kvandal.control.operations.metrics import Metrics
    from kvandal.control.operations.site_metrics import FAMILIES, SiteFigures
    from kvandal.control.store.database import open_store

    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'x.sqlite'}") as store,
    ):
        metrics = Metrics()
        metrics.add(SiteFigures(store))
        own = [family for family in metrics.registry.collect() if family.name.startswith("kvandal_")]
        collectors = metrics.registry._names_to_collectors  # noqa: SLF001  (nothing else tells the labels of what was not counted yet)
    lines = [row("figure", "labels", "what it is"), "|---|---|---|"]
    for family in sorted([*own, *(told({}) for told in FAMILIES)], key=lambda one: one.name):
        collector = collectors.get(family.name, family)
        labels = ", ".join(f"`{name}`" for name in getattr(collector, "_labelnames", ()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kind = "" if family.type == "gauge" else f" ({family.type})"
        lines.append(row(f"`{name}`", labels, f"{family.documentation}{kind}"))
    return "\n".join(lines)


def alerts() -> str:
    """Tabulate the alerts."""
    lines = [row("alert", "when", "severity", "what it says"), "|---|---|---|---|"]
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                says = re.sub(r"\{\{[^}]*\}\}", "...", rule["annotations"]["summary"])
                lines.append(
                    row(
                        rule["alert"], f"`{rule['expr']}` for {rule['for']}", rule["labels"]["severity"], says
                    )
                )
    return "\n".join(lines)


def written(page: str) -> str:
    """Put the tables into the page."""
    for name, made in (("settings", settings), ("figures", figures), ("alerts", alerts)):
        begins = f"<!-- {name}: made by docs/operations_tables.py -->\n"
        head, rest = page.split(begins)
        page = f"{head}{begins}{made()}\n{rest[rest.index('<!-- end -->') :]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
