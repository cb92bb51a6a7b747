"""Every worked number in the docstrings of the models is true."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import kvandal.physics

MODULES = [f"kvandal.physics.{module.name}" for module in pkgutil.iter_modules(kvandal.physics.__path__)]
MODULES += [
    "kvandal.climate.wet_bulb",
    "kvandal.ledger.energy",
    "kvandal.twin.site",
    "kvandal.policy.tree",
    "kvandal.policy.placement",
]


def examples():
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute, thing in vars(module).items():
            function = getattr(thing, "py_func", thing)
            if inspect.isroutine(function) or inspect.isclass(function):
                if function.__module__ != name or ">>>" not in (function.__doc__ or ""):
                    continue
                yield pytest.param(module, function.__doc__, id=f"{name.split('.', 1)[1]}.{attribute}")


@pytest.mark.parametrize(("module", "text"), list(examples()))
def test_docstring_example_is_true(module, text):
    """An example in a docstring gives what it says, compiled or not."""
    parsed = doctest.DocTestParser().get_doctest(
        text, dict(vars(module)), module.__name__, module.__file__, 0
    )
    result = doctest.DocTestRunner(verbose=False).run(parsed)

    assert result.failed == 0
    assert result.attempted > 0


def test_every_model_of_the_plant_shows_a_number():
    """A model without a worked number cannot be checked by a sceptic."""
    plant = (
        "rack", "water", "heat_pump", "reliability", "electrical", "battery", "coolant", "heat_exchanger",
        "exchanger_flow", "dry_cooler", "seawater", "fan_wall", "junction",
    )  # fmt: skip
    for name in plant:
        module = importlib.import_module(f"kvandal.physics.{name}")
        for thing in vars(module).values():
            function = getattr(thing, "py_func", thing)
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                assert ">>>" in (function.__doc__ or ""), f"{name}.{function.__name__}"
