"""The plant as a whole: its balance, its bands and its edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kvandal as kv
from kvandal.twin import plant as columns
from kvandal.twin.plant import build_plant, deliver_to_plant, plant_tick
from kvandal.twin.site import build_site

SMALL = {"site.fleet.main.gpus": 720, "site.grid_mw": 5.0}


def full_plant(overrides=None):
    scenario = kv.load("stargate-norway", SMALL | (overrides or {}))
    site = build_site(scenario)
    plant = build_plant(scenario, site)
    for cdu in site.cdu.tolist():
        deliver_to_plant(plant, cdu, float(site.tdp_kw[0]), float(site.liquid_fraction[0]))
    return plant, site


def turn(plant, site, load, ambient_c, wet_bulb_c=None, tick_s=60, keep=False):
    """One tick with every rack at `load` of its TDP; return the columns."""
    rack_kw = load * float(site.tdp_kw[0])
    liquid = float(site.liquid_fraction[0])
    plant.cdus["heat_kw"] = np.bincount(site.cdu) * rack_kw * liquid
    it_kw = site.racks * (rack_kw + site.net_kw)
    air_kw = site.racks * (rack_kw * (1 - liquid) + site.net_kw)
    wet_bulb_c = ambient_c - 5.0 if wet_bulb_c is None else wet_bulb_c
    excess_k = plant_tick(plant, it_kw, air_kw, float(ambient_c), float(wet_bulb_c), tick_s)
    if keep:
        plant.design["loop_excess_k"] = excess_k
    return plant.tick.copy()


@pytest.mark.parametrize(
    ("ups", "ambient_c", "least", "most"),
    [
        ("none", -10, 1.04, 1.065),
        ("eco", 0, 1.055, 1.083),
        ("eco", 26, 1.065, 1.09),
        ("double", 28, 1.095, 1.115),
    ],
)
def test_pue_at_full_load_lies_in_its_published_band(ups, ambient_c, least, most):
    """1.055 in winter without UPS, 1.067 to 1.083 with eco mode, 1.106 on a design day with double conversion."""
    out = turn(*full_plant({"power.ups_mode": ups}), 1.0, ambient_c)

    assert least <= out[columns.SITE_KW] / out[columns.IT_KW] <= most


def test_part_load_costs_efficiency():
    """At 30 % of the IT power the PUE is higher than at full load."""
    plant, site = full_plant()
    full, part = turn(plant, site, 1.0, 5), turn(plant, site, 0.25, 5)

    assert part[columns.SITE_KW] / part[columns.IT_KW] > full[columns.SITE_KW] / full[columns.IT_KW] + 0.005


@given(
    st.floats(-40, 50),
    st.floats(0, 20),
    st.floats(0, 1),
    st.floats(0, 30),
    st.sampled_from([1, 60, 3600]),
    st.floats(0, 3),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([0.0, 0.87, 1.0]),
)
def test_energy_in_is_energy_out_at_every_edge(
    ambient_c, depression_k, load, excess_k, tick_s, wanted, loop, liquid
):
    """Mistake "returns early below 5 °C": all weathers and loads have an answer, and the balance closes to 1e-9."""
    plant, site = full_plant(
        {"cooling.loop_heat_capacity_mwh_per_k": loop, "rack_models.gb300_nvl72.liquid_fraction": liquid}
    )
    plant.design["loop_excess_k"] = excess_k if loop > 0 else 0.0
    plant.customers["wanted_kw"] = wanted * 300
    out = turn(plant, site, load, ambient_c, ambient_c - depression_k, tick_s)

    assert np.isfinite(out).all()
    assert out[columns.BALANCE_ERROR] <= 1e-9
    parts = out[columns.IT_KW] + out[columns.LOSSES_KW] + out[columns.COOLING_KW] + out[columns.MISC_KW]
    assert parts == pytest.approx(out[columns.SITE_KW], rel=1e-12)
    heat = (
        out[columns.REJECTED_KW]
        + out[columns.HEAT_EXPORT_KW]
        + out[columns.BUILDING_KW]
        + out[columns.STORED_KW]
    )
    assert heat == pytest.approx(out[columns.SITE_KW], rel=1e-9)
    assert 0 <= out[columns.HEAT_EXPORT_KW] <= out[columns.HEAT_DEMAND_KW] * (1 + 1e-12)
    assert (plant.customers["delivered_kw"] <= plant.customers["wanted_kw"] * (1 + 1e-12)).all()
    assert (plant.customers["source_kw"] <= plant.customers["delivered_kw"] * (1 + 1e-12)).all()
    assert 0 <= out[columns.WATER_L] <= out[columns.REJECTED_KW] * tick_s / 3600 * 1.6 * (1 + 1e-12)
    assert out[columns.TCS_RETURN_C] >= out[columns.TCS_SUPPLY_C] - 1e-9
    assert out[columns.FWS_RETURN_C] >= out[columns.FWS_SUPPLY_C] - 1e-9


@given(st.floats(-40, 49), st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 10))
def test_more_ambient_heat_never_lowers_cooling_power(ambient_c, warmer_k, load, depression_k):
    """Pumps and fans draw as much or more on a warmer day, also where the pads come on."""
    plant, site = full_plant()
    cold = turn(plant, site, load, ambient_c, ambient_c - depression_k)[columns.COOLING_KW]
    warm = turn(plant, site, load, ambient_c + warmer_k, ambient_c + warmer_k - depression_k)[
        columns.COOLING_KW
    ]

    assert warm >= cold * (1 - 1e-12)


def test_water_is_used_only_on_hot_days():
    """No water below 26 °C; on a hot day at full load no more than the pads can evaporate."""
    plant, site = full_plant()
    assert turn(plant, site, 1.0, 25.9)[columns.WATER_L] == 0.0
    hot = turn(plant, site, 1.0, 34.0, 20.0)
    assert 0 < hot[columns.WATER_L] / (hot[columns.IT_KW] / 60) <= 1.6 * 1.1


def test_loop_warms_up_on_a_hot_day_and_cools_down_again():
    """Heat that the coolers cannot reject stays in the water, and leaves it when the air is cool."""
    plant, site = full_plant(
        {"cooling.adiabatic_effectiveness": 0.0, "cooling.loop_heat_capacity_mwh_per_k": 0.01}
    )
    for _ in range(600):
        hot = turn(plant, site, 1.0, 40.0, keep=True)
    assert hot[columns.TCS_SUPPLY_C] == pytest.approx(40 + 40 - 28, abs=1.5)
    assert abs(hot[columns.STORED_KW]) < 1e-3 * hot[columns.SITE_KW]
    for _ in range(600):
        cool = turn(plant, site, 1.0, 0.0, keep=True)
    assert cool[columns.TCS_SUPPLY_C] == 40.0


def test_heat_customers_are_served_in_order():
    """When heat is short the first customer gets its heat and the last goes without."""
    plant, site = full_plant()
    plant.customers["wanted_kw"] = 10_000.0
    turn(plant, site, 1.0, 0.0)
    delivered = plant.customers["delivered_kw"]

    assert delivered[0] > 0
    assert delivered[-1] == 0
    assert plant.customers["source_kw"].sum() == pytest.approx(plant.tick[columns.HEAT_EXPORT_KW])
