"""The plant as a whole: its balance, its bands, its edges, its controls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvandal as kv
from kvandal.physics.heat_exchanger import exchanger_heat_kw
from kvandal.twin import plant_state as columns
from kvandal.twin.limits import limit_nodes
from kvandal.twin.plant import accept_tick, plant_tick
from kvandal.twin.plant_state import build_plant, deliver_to_plant, switch_rack
from kvandal.twin.site import build_site
from kvandal.twin.state import model_table

SMALL = {
    "site.fleet.main.gpus": 720,
    "site.grid_mw": 5.0,
    "power.bess_power_mw": 0.0,
    "power.bess_energy_mwh": 0.0,
}
SEA_C = 6.5


class Plant:
    """A plant with all racks delivered; `turn` takes it through a tick with every rack at one share of its TDP."""

    def __init__(self, overrides=None):
        self.scenario = kv.load("stargate-norway", SMALL | (overrides or {}))
        self.site = build_site(self.scenario)
        self.models = model_table(self.site)
        self.plant = build_plant(self.scenario, self.site)
        for pod, group, model in zip(
            self.site.pod.tolist(), self.site.group.tolist(), self.site.model.tolist(), strict=True
        ):
            deliver_to_plant(self.plant, pod, group, model, self.tdp_kw, self.liquid)
            switch_rack(self.plant, pod, group, float(self.site.idle_kw[0]), self.liquid, 1)

    @property
    def tdp_kw(self):
        return float(self.site.tdp_kw[0])

    @property
    def liquid(self):
        return float(self.site.liquid_fraction[0])

    def load(self, share):
        """Every rack draws `share` of its TDP."""
        site, plant, rack_kw = self.site, self.plant, share * self.tdp_kw
        plant.pods["heat_kw"] = np.bincount(site.pod) * rack_kw * self.liquid
        plant.pods["hottest_share"] = max(0.0, rack_kw - site.idle_kw[0]) / (self.tdp_kw - site.idle_kw[0])
        plant.halls["air_kw"] = np.bincount(site.hall) * (rack_kw * (1 - self.liquid) + site.net_kw)
        plant.groups["it_kw"] = np.bincount(site.group) * (rack_kw + site.net_kw)
        return float(plant.groups["it_kw"].sum())

    def turn(
        self, share, ambient_c, wet_bulb_c=None, tick_s=60, keep=False, set_c=None, limit_kw=1e12, sea_c=SEA_C,
        planned_kw=np.nan,
    ):  # fmt: skip
        it_kw = self.load(share)
        wet_bulb_c = ambient_c - 5.0 if wet_bulb_c is None else wet_bulb_c
        cooling = self.scenario.cooling
        set_c = cooling.tcs_supply_c if set_c is None else set_c
        weather = (float(ambient_c), float(wet_bulb_c), float(sea_c), float(set_c), float(cooling.hall_air_c))
        plant_tick(self.plant, self.models, it_kw, weather, float(limit_kw), float(planned_kw), tick_s)
        out = self.plant.tick.copy()
        if keep:
            accept_tick(self.plant)
        return out

    def settle(self, share, ambient_c, ticks=300, **options):
        for _ in range(ticks):
            out = self.turn(share, ambient_c, keep=True, **options)
        return out


def pue(out):
    return out[columns.SITE_KW] / out[columns.IT_KW]


@pytest.mark.parametrize(
    ("overrides", "ambient_c", "least", "most"),
    [
        ({"power.ups_mode": "none"}, -10, 1.035, 1.065),
        ({"power.ups_mode": "eco"}, 0, 1.045, 1.083),
        ({"power.ups_mode": "eco"}, 26, 1.055, 1.09),
        ({"power.ups_mode": "double"}, 28, 1.085, 1.115),
        ({"power.ups_mode": "double", "power.loss_model": "constant"}, 28, 1.085, 1.115),
    ],
)
def test_pue_at_full_load_lies_in_its_published_band(overrides, ambient_c, least, most):
    """1.055 in winter without UPS, 1.067 to 1.083 with eco mode, 1.106 on a design day with double conversion."""
    assert least <= pue(Plant(overrides).settle(1.0, ambient_c)) <= most


def test_part_load_costs_efficiency():
    """At 30 % of the IT power the PUE is higher than at full load."""
    plant = Plant()

    assert pue(plant.settle(0.25, 5)) > pue(plant.settle(1.0, 5)) + 0.005


@settings(max_examples=300)
@given(
    st.floats(-40, 50),
    st.floats(0, 20),
    st.floats(0, 1),
    st.floats(-20, 30),
    st.sampled_from([1, 60, 3600]),
    st.floats(0, 3),
    st.sampled_from([0.0, 1.0, 90.0]),
    st.sampled_from([0.0, 0.87, 1.0]),
    st.sampled_from(["dry_cooler", "seawater"]),
    st.sampled_from(["effectiveness", "temperature_difference"]),
    st.integers(0, 6),
    st.integers(0, 11),
)
def test_energy_in_is_energy_out_at_every_edge(
    ambient_c, depression_k, load, excess_k, tick_s, wanted, time_s, liquid, sink, cooler, cdus_out, banks_out
):
    """Mistake "returns early below 5 °C": all weathers, loads and faults have an answer; the balance closes to 1e-9."""
    site = Plant(
        {
            "cooling.fws_time_s": time_s,
            "cooling.tcs_time_s": 1.5 * time_s,
            "rack_models.gb300_nvl72.liquid_fraction": liquid,
            "cooling.heat_rejection": sink,
            "cooling.dry_cooler_model": cooler,
            "power.bess_power_mw": 0.5,
            "power.bess_energy_mwh": 0.25,
        }
    )
    plant = site.plant
    plant.pods["start_return_c"] += excess_k
    plant.halls["start_supply_c"] += excess_k
    plant.pods["cdus_out"] = cdus_out
    plant.halls["banks_out"] = banks_out
    plant.customers["wanted_kw"] = wanted * 300
    out = site.turn(load, ambient_c, ambient_c - depression_k, tick_s, limit_kw=1000.0)

    assert np.isfinite(out).all()
    assert out[columns.BALANCE_ERROR] <= 1e-9
    parts = out[[columns.IT_KW, columns.LOSSES_KW, columns.COOLING_KW, columns.MISC_KW]].sum()
    assert parts == pytest.approx(out[columns.DEMAND_KW], rel=1e-12)
    heat = out[[columns.REJECTED_KW, columns.HEAT_EXPORT_KW, columns.BUILDING_KW, columns.STORED_KW]].sum()
    assert heat == pytest.approx(out[columns.SITE_KW], rel=1e-9, abs=1e-6)
    customers = plant.customers
    assert (customers["delivered_kw"] <= customers["wanted_kw"] * (1 + 1e-9)).all()
    given_kw = customers["taken_kw"] + customers["pump_kw"]
    assert given_kw == pytest.approx(customers["delivered_kw"] + customers["lost_kw"], rel=1e-9, abs=1e-9)
    assert customers["taken_kw"].sum() == pytest.approx(out[columns.HEAT_EXPORT_KW], rel=1e-9, abs=1e-9)
    assert 0 <= out[columns.WATER_L] <= out[columns.REJECTED_KW] * tick_s / 3600 * 1.6 * (1 + 1e-9)


@given(st.floats(-40, 50), st.floats(0.05, 1), st.floats(-20, 30), st.integers(0, 5))
def test_no_temperatures_cross_in_a_cdu(ambient_c, load, excess_k, cdus_out):
    """Coolant leaves a CDU no colder than facility water comes in, and no more heat passes than the exchanger can."""
    site = Plant()
    plant = site.plant
    plant.pods["start_return_c"] += excess_k
    plant.pods["cdus_out"] = cdus_out
    before_c = plant.halls["start_supply_c"].copy()
    site.turn(load, ambient_c)
    pod = plant.pods[0]
    coolant_kw_per_k = pod["flow"] * pod["design_kw"] / site.scenario.cooling.tcs_delta_t_k

    if pod["exchanged_kw"] > 0:
        assert pod["supply_c"] >= before_c[0] - 1e-6
        assert pod["return_c"] >= pod["supply_c"]
        most_kw = exchanger_heat_kw(
            1e9, 1.1 * coolant_kw_per_k, 1e9, float(pod["return_c"]), float(before_c[0])
        )
        assert pod["exchanged_kw"] <= most_kw * (1 + 1e-9)


@given(st.floats(-40, 49), st.floats(0.01, 10), st.floats(0, 1), st.floats(0, 10))
def test_more_ambient_heat_never_lowers_pue(ambient_c, warmer_k, load, depression_k):
    """Pumps and fans draw as much or more on a warmer day, also where the pads come on."""
    cold, warm = Plant(), Plant()
    cool = cold.settle(load, ambient_c, 5, wet_bulb_c=ambient_c - depression_k)
    hot = warm.settle(load, ambient_c + warmer_k, 5, wet_bulb_c=ambient_c + warmer_k - depression_k)

    assert hot[columns.COOLING_KW] >= cool[columns.COOLING_KW] * (1 - 1e-9)
    assert pue(hot) >= pue(cool) * (1 - 1e-9)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("banks_out", [0, 3])
def test_pads_that_begin_to_drip_do_not_make_a_warmer_day_cooler(load, banks_out):
    """Just below and just above the 26 °C at which pads start, and on the way up to 40 °C, in dry air."""
    last = 0.0
    for ambient_c in (25.0, 25.99, 26.01, 26.25, 27.0, 28.0, 30.0, 33.0, 40.0):
        plant = Plant()
        plant.plant.halls["banks_out"] = banks_out
        now = pue(plant.settle(load, ambient_c, 400, wet_bulb_c=ambient_c - 10.0))
        assert now >= last * (1 - 1e-9)
        last = now


@pytest.mark.parametrize("model", ["effectiveness", "temperature_difference"])
@given(st.floats(-40, 50), st.floats(0.05, 1))
def test_no_cooler_leaves_water_colder_than_its_air(model, ambient_c, load):
    plant = Plant({"cooling.dry_cooler_model": model, "cooling.adiabatic_effectiveness": 0.0})
    plant.settle(load, ambient_c, 30)

    assert (plant.plant.halls["supply_c"] >= min(36.0, ambient_c) - 1e-6).all()


def test_mixed_sites_throttle_each_kind_of_rack_by_its_own_limit():
    """At 47.5 °C supply a GB300 at TDP is at 83.9 °C; it does not care that a Rubin in another pod would be at 85.3 °C."""
    site = Plant(
        {"site.fleet.main.gpus": 3240, "site.fleet.other.model": "rubin_nvl72", "site.fleet.other.gpus": 3240}
    )
    site.plant.pods["start_supply_c"] = 47.5
    limits(site)

    assert site.plant.pods["rack_share"][0] == 1.0
    assert 0.9 < site.plant.pods["rack_share"][1] < 1.0


def test_water_is_used_only_on_hot_days():
    """No water below 26 °C; on a hot day at full load no more than the pads can evaporate."""
    plant = Plant()
    assert plant.turn(1.0, 25.9)[columns.WATER_L] == 0.0
    hot = plant.turn(1.0, 34.0, 20.0)
    assert 0 < hot[columns.WATER_L] / (hot[columns.IT_KW] / 60) <= 1.6 * 1.1


def test_loops_warm_up_on_a_hot_day_and_cool_down_again():
    """Heat that the coolers cannot reject stays in the water, and leaves it when the air is cool."""
    plant = Plant({"cooling.adiabatic_effectiveness": 0.0})
    hot = plant.settle(1.0, 40.0, 600)
    assert 48 < hot[columns.TCS_SUPPLY_C] < 53  # 12 K above the design day's 28 °C, with a spare bank
    assert abs(hot[columns.STORED_KW]) < 1e-6 * hot[columns.SITE_KW]
    cool = plant.settle(1.0, 0.0, 60)
    assert cool[columns.TCS_SUPPLY_C] == pytest.approx(40.0, abs=1e-6)


@given(st.sampled_from([20, 60, 300, 3600]), st.floats(-30, 28), st.floats(0.1, 1), st.floats(0.1, 1))
def test_controls_settle_without_swinging(tick_s, ambient_c, first, second):
    """After a step of the load the supply returns to its set-point and stays there, at any tick."""
    plant = Plant()
    plant.settle(first, ambient_c, 20, tick_s=tick_s)
    supplies = [
        plant.turn(second, ambient_c, tick_s=tick_s, keep=True)[columns.TCS_SUPPLY_C] for _ in range(30)
    ]

    assert abs(np.array(supplies[-10:]) - 40.0).max() < 1e-3
    assert abs(np.array(supplies) - 40.0).max() < 4.0


def test_a_step_of_the_set_point_takes_the_time_of_the_loops():
    """Four kelvin more: the return is 63 % there after the loop's time constant over its flow (120 s / 0.8), all in the end."""
    plant = Plant()
    before_c = plant.settle(0.8, 5.0, 60)[columns.TCS_RETURN_C]
    rise = [plant.turn(0.8, 5.0, tick_s=5, keep=True, set_c=44.0)[columns.TCS_RETURN_C] for _ in range(300)]

    assert rise[29] - before_c == pytest.approx(4 * 0.632, abs=0.15)
    assert rise[-1] - before_c == pytest.approx(4.0, abs=0.05)
    assert max(rise) < before_c + 4.05


def test_heat_customers_are_served_in_order_of_priority():
    """When heat is short the first customer gets its heat and the last goes without."""
    site = Plant({"heat.customers.drying.priority": 0})
    plant = site.plant
    plant.customers["wanted_kw"] = 10_000.0
    site.turn(1.0, 0.0)
    delivered = dict(zip(site.scenario.heat.customers, plant.customers["delivered_kw"], strict=True))

    assert delivered["drying"] > 0
    assert delivered["bjerkvik-district-heating"] == 0
    assert delivered["greenhouse"] == 0


def test_fjord_water_needs_no_fans_and_holds_the_set_point_in_summer():
    """At 30 °C in the air the sea is as cold as ever."""
    sea = Plant({"cooling.heat_rejection": "seawater"}).settle(1.0, 30.0)
    air = Plant().settle(1.0, 30.0)

    assert sea[columns.TCS_SUPPLY_C] == pytest.approx(40.0, abs=1e-6)
    assert sea[columns.WATER_L] < air[columns.WATER_L]


def test_battery_holds_the_meter_until_it_is_empty():
    """500 kW below the limit for half an hour out of 175 kWh: first held, then not, then charged again."""
    plant = Plant({"power.bess_power_mw": 0.5, "power.bess_energy_mwh": 0.25})
    free = plant.turn(1.0, 0.0)[columns.SITE_KW]
    limit_kw = free - 300.0
    meters = [plant.turn(1.0, 0.0, keep=True, limit_kw=limit_kw)[columns.SITE_KW] for _ in range(60)]

    assert meters[0] == pytest.approx(limit_kw)
    assert meters[-1] == pytest.approx(free, rel=1e-3)
    held_min = sum(meter <= limit_kw + 1e-6 for meter in meters)
    assert held_min * 300 / 60 == pytest.approx(0.7 * 250 * 0.88**0.5, rel=0.05)
    charged = plant.turn(0.5, 0.0, keep=True, limit_kw=limit_kw)
    assert charged[columns.BATTERY_KW] < 0


def limits(site, ambient_c=5.0, share=1.0):
    """Limits of all nodes with every rack at one share of its TDP: name to (kW, constraint, whether it binds)."""
    plant, arrays = site.plant, site.site
    above_kw = max(0.0, share * site.tdp_kw - float(arrays.idle_kw[0]))
    plant.pods["wanted_it_kw"] = np.bincount(arrays.pod) * above_kw
    plant.pods["wanted_kw"] = plant.pods["wanted_it_kw"] * site.liquid
    plant.groups["wanted_kw"] = np.bincount(arrays.group) * above_kw
    plant.halls["wanted_it_kw"] = np.bincount(arrays.hall) * above_kw
    plant.halls["wanted_kw"] = plant.halls["wanted_it_kw"] * site.liquid
    plant.halls["wanted_air_kw"] = plant.halls["wanted_it_kw"] * (1 - site.liquid)
    limit_nodes(plant, site.models, (float(ambient_c), float(ambient_c) - 8.0, SEA_C, 40.0, 27.0))
    names = columns.node_names(arrays)
    return {
        name: (float(node["limit_kw"]), columns.CONSTRAINTS[node["constraint"]], bool(node["is_bound"]))
        for name, node in zip(names, plant.nodes, strict=True)
        if name != "site"
    }


def test_nothing_binds_on_an_ordinary_day():
    assert not any(bound for _, _, bound in limits(Plant()).values())


def test_one_block_out_of_four_is_carried_two_are_not():
    """Ten racks at 132 kW and 10.8 kW of network need 1,428 kW; a block is a third of that and 10 %."""
    site = Plant()
    site.plant.groups["blocks_out"] = 1
    assert limits(site)["group-0"] == (pytest.approx(1428 * 1.1), "power_block", False)
    site.plant.groups["blocks_out"] = 2
    assert limits(site)["group-0"] == (pytest.approx(1428 * 1.1 * 2 / 3), "power_block", True)


def test_a_hot_day_names_the_coolers_or_the_hall_air():
    """At 45 °C without water for the pads the hall cannot run at full load."""
    site = Plant({"cooling.adiabatic_effectiveness": 0.0})
    limit_kw, constraint, bound = limits(site, ambient_c=45.0)["hall-0"]

    assert bound
    assert constraint in {"heat_rejection", "hall_air"}
    assert limit_kw < 1428


def test_hot_coolant_limits_the_junctions():
    """At 52 °C supply a GPU of 1,400 W would reach 88.4 °C; its rack gets the part at which it stays at 85 °C.

    Its valve follows its heat, so that less power comes with less flow: R = 0.026 (0.6 + 0.4 s^-0.8).
    """
    site = Plant()
    site.plant.pods["start_supply_c"] = 52.0
    limits(site)
    part = float(site.plant.pods["rack_share"][0])

    assert 52.0 + (200 + 1200 * part) * 0.026 * (0.6 + 0.4 * part**-0.8) == pytest.approx(85.0, abs=1e-6)
