"""What is asked: frozen models of the site, its tenants, contracts, weather and demand; presets; parameters."""

from kvandal.scenario.loading import RangeWarning, load, parse_change, presets, range_warnings, validate
from kvandal.scenario.model import Scenario

__all__ = ["RangeWarning", "Scenario", "load", "parse_change", "presets", "range_warnings", "validate"]
