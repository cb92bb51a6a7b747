"""How what the site draws is attributed to those who work there."""

from __future__ import annotations

from typing import Literal

from kvandal.scenario.base import Part


class Accounting(Part):
    """Rules of attribution (docs/attribution.md)."""

    idle: Literal["use", "owners"] = "use"
    """Who bears what idle and broken GPUs draw: those who work in the same hour, or the owners of the site."""
