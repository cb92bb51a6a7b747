"""What is asked: frozen models of the site, its tenants, contracts, weather and demand; presets; parameters."""

from kvandal.scenario.changes import parse_change
from kvandal.scenario.loading import load, presets, validate
from kvandal.scenario.model import Scenario
from kvandal.scenario.plausibility import RangeWarning, range_warnings, warnings_of

__all__ = [
    "RangeWarning",
    "Scenario",
    "load",
    "parse_change",
    "presets",
    "range_warnings",
    "validate",
    "warnings_of",
]
