"""The public surface: what ``import kvandal`` offers, and examples that run."""

from __future__ import annotations

import doctest
import importlib

import pytest

import kvandal as kv

EXAMPLES = (
    "kvandal",
    "kvandal.bench.growth",
    "kvandal.errors",
    "kvandal.cli.forecast",
    "kvandal.cli.options",
    "kvandal.cli.repeated",
    "kvandal.cli.samples",
    "kvandal.cli.server",
    "kvandal.client.client",
    "kvandal.client.wire",
    "kvandal.control.api.answers",
    "kvandal.control.api.paging",
    "kvandal.engines.entitlements",
    "kvandal.engines.kueue",
    "kvandal.engines.slurm",
    "kvandal.engines.yaml_text",
    "kvandal.ledger.room",
    "kvandal.runs.bands",
    "kvandal.runs.compare",
    "kvandal.demand.durations",
    "kvandal.runs.contract",
    "kvandal.runs.gathered",
    "kvandal.runs.grid",
    "kvandal.runs.pareto",
    "kvandal.runs.quantities",
    "kvandal.runs.search",
    "kvandal.demand.reuse",
    "kvandal.runs.paired",
    "kvandal.runs.phrases",
    "kvandal.runs.forecast",
    "kvandal.runs.restart",
    "kvandal.runs.run",
    "kvandal.runs.sampling",
    "kvandal.runs.whatif",
    "kvandal.scenario.changes",
    "kvandal.scenario.loading",
    "kvandal.scenario.messages",
)


def test_the_public_names_are_these() -> None:
    """Sorted, complete, each importable, each with a docstring; nothing else shows."""
    assert kv.__all__ == sorted(kv.__all__)
    assert kv.__all__ == [
        "Client",
        "InputError",
        "KvandalError",
        "Optimum",
        "OutputError",
        "Run",
        "Scenario",
        "Sweep",
        "WhatIf",
        "Why",
        "compare",
        "forecast",
        "load",
        "optimise",
        "presets",
        "read_run",
        "simulate",
        "sweep",
        "whatif",
        "why",
        "write_run",
    ]
    assert dir(kv) == kv.__all__
    for name in kv.__all__:
        assert getattr(kv, name).__doc__, name
    assert kv.__version__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="module 'kvandal' has no attribute 'nothing'"):
        _ = kv.nothing


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_run(name: str) -> None:
    """Every example gives what it says."""
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_errors_carry_file_and_key() -> None:
    """What the message says can also be read by a program."""
    with pytest.raises(kv.InputError) as caught:
        kv.load("stargate-norway", {"site.grid_mw": -1})
    assert caught.value.key == "site.grid_mw"
    assert issubclass(kv.InputError, kv.KvandalError)
    assert issubclass(kv.OutputError, kv.KvandalError)
    assert not issubclass(kv.OutputError, kv.InputError)
