"""What the plant remembers from tick to tick saves work and changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plant import Plant

from kvandal.physics.fan_wall import fan_wall_supply_air_c
from kvandal.physics.water import adiabatic_air_c, dry_cooler_airflow, fan_power_fraction
from kvandal.twin import plant_state as columns
from kvandal.twin.limits import limit_nodes

POWERS = [
    columns.SITE_KW, columns.DEMAND_KW, columns.COOLING_KW, columns.LOSSES_KW, columns.REJECTED_KW, columns.CDU_PUMP_KW,
    columns.FWS_PUMP_KW, columns.REJECTION_KW, columns.FAN_WALL_KW,
]  # fmt: skip
TEMPERATURES = [
    columns.TCS_SUPPLY_C, columns.TCS_RETURN_C, columns.FWS_SUPPLY_C, columns.FWS_RETURN_C, columns.HALL_AIR_C,
    columns.JUNCTION_C,
]  # fmt: skip


def forgotten(table, mark):
    """Forget what was found for another tick; guesses become `mark`."""
    for name in table.dtype.names:
        if name.startswith(("known_", "rated_", "limited_")):
            table[name] = -1
    for name in {"known_flow", "known_drive"} & set(table.dtype.names):
        table[name] = mark


def limits(plant, ambient_c):
    limit_nodes(plant.plant, plant.models, (float(ambient_c), float(ambient_c) - 5.0, 6.5, 40.0, 27.0))
    return plant.plant.nodes.copy()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 1), st.floats(-30, 40)), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    st.sampled_from([{}, {"cooling.exchanger_model": "one_sided"}, {"cooling.heat_rejection": "seawater"}]),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_a_plant_that_forgets_is_the_same_plant(ticks, mark, overrides, cdus_out, blocks_out):
    """Searches from the tick before and from anywhere else agree to 1e-9, in power, temperatures and limits."""
    one, other = Plant(overrides), Plant(overrides)
    for plant in (one, other):
        plant.settle(0.6, 5.0, ticks=3)
        plant.plant.pods["cdus_out"][0] = cdus_out
        plant.plant.groups["blocks_out"][0] = blocks_out
    for share, ambient_c in ticks:
        for table in (other.plant.pods, other.plant.halls, other.plant.groups):
            forgotten(table, mark)
        out, again = (plant.turn(share, ambient_c, keep=True) for plant in (one, other))

        assert again[POWERS] == pytest.approx(out[POWERS], rel=1e-9)
        assert again[TEMPERATURES] == pytest.approx(out[TEMPERATURES], rel=1e-9)
        here, there = limits(one, ambient_c), limits(other, ambient_c)
        assert there["limit_kw"] == pytest.approx(here["limit_kw"], rel=1e-9)
        assert (there["constraint"] == here["constraint"]).all()


@given(st.floats(0.01, 1.2), st.floats(-40, 45), st.floats(0, 15))
def test_fan_walls_take_no_short_cut_that_shows(load, ambient_c, depression_k):
    """On a cold day the least airflow does, which a bound shows; the air and its fans are those of the equations."""
    plant = WALLS
    design, hall = plant.plant.design[0], plant.plant.halls[0]
    size = float(hall["design_air_kw"])
    share = max(0.0, (load * size - plant.site.net_kw * RACKS) / (RACKS * plant.tdp_kw * (1 - plant.liquid)))
    wet_bulb_c = ambient_c - depression_k
    plant.turn(share, ambient_c, wet_bulb_c)
    set_c, loop_k, load = (
        plant.scenario.cooling.hall_air_c,
        design["air_loop_approach_k"],
        hall["air_kw"] / size,
    )
    flow = min(1.0, max(float(design["minimum_flow"]), load))
    supply_c = fan_wall_supply_air_c(
        load * size, flow, size * design["coil_air"], ambient_c + loop_k * load, size * design["coil_water"],
        size * design["coil_conductance"],
    )  # fmt: skip
    wet_air_c = adiabatic_air_c(ambient_c, wet_bulb_c, float(design["adiabatic_effectiveness"]))
    spread_k = ambient_c - min(ambient_c, max(design["adiabatic_on_c"], wet_air_c))
    if supply_c > set_c and spread_k > 0:
        supply_c -= min(1.0, (supply_c - set_c) / spread_k) * spread_k
    airflow = dry_cooler_airflow(load, 1.0, 1.0 + max(0.0, set_c - supply_c) / loop_k)
    fans = min(1.0, max(float(design["minimum_airflow"]), airflow))
    expected_kw = size * (
        design["air_fan_fraction"] * fan_power_fraction(flow)
        + design["fan_fraction"] * fan_power_fraction(fans)
    )

    assert hall["air_fan_kw"] == pytest.approx(expected_kw, rel=1e-12)
    assert hall["air_c"] == pytest.approx(max(set_c, supply_c), rel=1e-12)


WALLS = Plant()
RACKS = len(WALLS.site.pod)
