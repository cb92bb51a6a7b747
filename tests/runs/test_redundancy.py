"""What is lost when units fail: arithmetic that a planner can do by hand."""

import pytest

import kvandal as kv
from kvandal.runs.redundancy import redundancy, ride_through


def rows(**changes):
    scenario = kv.load("stargate-norway", {key.replace("__", "."): value for key, value in changes.items()})
    return {row["unit"]: row for row in redundancy(scenario)}


def test_the_default_site_loses_nothing_with_any_one_unit_out():
    assert {row["lost_with_one_out_mw"] for row in rows().values()} == {0.0}


def test_two_blocks_of_four():
    """36 racks at 142.8 kW are 5.141 MW; a block is a third of that and 10 %; two carry 3.770 MW."""
    block = rows()["power block"]

    assert block["load_mw"] == pytest.approx(5.1408)
    assert block["lost_with_two_out_mw"] == pytest.approx(5.1408 * (1 - 2 / 3 * 1.1))


def test_without_spares_every_unit_counts():
    """One of five CDUs of 1.3 MW: 5.2 MW stay, and the pod needs 5.17; one bank of ten is a tenth of the hall."""
    bare = rows(cooling__spare_cdus_per_pod=0, cooling__spare_banks_per_hall=0, power__blocks_needed=4)

    assert bare["CDU"]["lost_with_one_out_mw"] == 0.0
    assert bare["CDU"]["lost_with_two_out_mw"] == pytest.approx(45 * 132 * 0.87 / 1000 - 3.9)
    bank = bare["dry-cooler bank, design day"]
    assert bank["lost_with_one_out_mw"] == pytest.approx(bank["load_mw"] / 10)


def test_bare_shelves_carry_35_ms():
    scenario = kv.load("stargate-norway", {"power.ups_mode": "none", "power.bess_power_mw": 0.0})

    assert [row["seconds"] for row in ride_through(scenario)] == [pytest.approx(0.0354, abs=1e-4), 0.0, 0.0]
