"""What a day-ahead plan is worth: the same run without it, with it, and the most that perfect foresight could have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kvandal.errors import ScenarioError

if TYPE_CHECKING:
    import polars as pl

    from kvandal.scenario.model import Scenario
    from kvandal.twin.simulate import Progress, Trajectory

Array = Any
SWITCHES = ("battery", "heat_stores", "shift_lent_work", "reserves")
"""What a plan may move; without all of them it only says the day before what the site will draw."""
DAY_S = 86_400
ENERGY = (
    "cost_ppa_eur", "cost_spot_eur", "cost_goo_eur", "cost_tariff_energy_eur", "cost_tax_eur", "cost_generator_eur",
    "cost_heat_pump_eur",
)  # fmt: skip
TARIFF = ("cost_tariff_capacity_eur", "cost_tariff_reactive_eur")


@dataclass(frozen=True)
class Case:
    """One case of a comparison, in EUR over the run.

    Attributes
    ----------
    name : `without` or `with`
    energy_eur : energy bought less energy sold, losses, tax, heat pumps
    reserves_eur : income from reserves
    wear_eur : wear of the battery
    lent_eur : price of the GPU-hours that caps of the plan cost lent tenants
    heat_eur : heat that customers did not get, at the price of the electricity of a boiler in its place
    deviations_eur : deviations from what was bought the day before
    tariff_eur : tariff for the highest hour

    """

    name: str
    energy_eur: float
    reserves_eur: float
    wear_eur: float
    lent_eur: float
    heat_eur: float
    deviations_eur: float
    tariff_eur: float

    @property
    def moved_eur(self) -> float:
        """What a plan changes by moving energy: all but deviations and the tariff for the highest hour."""
        return self.energy_eur - self.reserves_eur + self.wear_eur + self.lent_eur + self.heat_eur

    @property
    def total_eur(self) -> float:
        """All of it."""
        return self.moved_eur + self.deviations_eur + self.tariff_eur


def plan_value(scenario: Scenario, progress: Progress | None = None) -> dict[str, Any]:
    """Simulate a scenario without and with its plan, and bound what any plan could have made of it.

    Returns
    -------
    `cases` (of :class:`Case`, with sums; of perfect foresight the sum alone), `value_eur` (what the plan saves in all: `moved_eur`,
    `deviations_saved_eur` and `tariff_saved_eur` together), `bound_eur` (the most that perfect foresight of prices, load, heat
    and calls could have saved with the same assets, in all), `gpu_hours_useful` of both runs, `days`.

    Raises
    ------
    ScenarioError
        If the run is too short to have a planned day.

    """
    from kvandal.twin.simulate import simulate

    if scenario.run.days < 2:
        raise ScenarioError("the first day of a run has no plan; give at least 2 days", key="run.days")
    base = scenario.plan.model_copy(update={"enabled": True})
    bare = base.model_copy(update=dict.fromkeys(SWITCHES, False))
    books = [
        _Book(name, simulate(scenario.model_copy(update={"plan": plan}), progress))
        for name, plan in (("without", bare), ("with", base))
    ]
    without, planned = (book.case for book in books)
    best = least_total_eur(*books)
    shown = [
        {**vars(case), "moved_eur": case.moved_eur, "total_eur": case.total_eur}
        for case in (without, planned)
    ]
    return {
        "days": scenario.run.days,
        "cases": [*shown, {"name": "foresight", "total_eur": best}],
        "value_eur": without.total_eur - planned.total_eur,
        "moved_eur": without.moved_eur - planned.moved_eur,
        "deviations_saved_eur": without.deviations_eur - planned.deviations_eur,
        "tariff_saved_eur": without.tariff_eur - planned.tariff_eur,
        "bound_eur": without.total_eur - best,
        "gpu_hours_useful": {book.case.name: book.useful_gpu_h for book in books},
    }


class _Book:
    """What a run cost, and what a bound needs of it."""

    def __init__(self, name: str, run: Trajectory) -> None:
        import numpy as np

        from kvandal.ledger.energy import energy_table
        from kvandal.ledger.flows import energy_per_step, flows_of
        from kvandal.ledger.tables import heat_table, site_table
        from kvandal.twin.plan_assets import lent_terms, tax_eur_per_mwh
        from kvandal.twin.plant_state import BATTERY_KW, DEMAND_KW

        scenario, tick_s = run.scenario, run.scenario.run.tick_s
        site, heat = site_table(run), heat_table(run)
        energy, flows = energy_table(run, site, heat), flows_of(run, site)
        self.run, self.hours = run, energy.height
        spot = energy["spot_eur_per_mwh"].to_numpy()
        real, standby_kw = run.outputs.tick_real, float(run.plant.design["battery_standby_kw"][0])
        drawn_mwh = energy_per_step((real[:, DEMAND_KW] + standby_kw) / 1000, tick_s, run.prices.step_s)
        self.still_mwh = drawn_mwh - flows.generated
        self.import_mwh = flows.load - flows.fed_back
        self.unmet_mwh = heat["unmet_mwh"].to_numpy().reshape(self.hours, -1)
        discharged_mwh = np.clip(real[:, BATTERY_KW] + standby_kw, 0.0, None) * tick_s / 3.6e6
        wear_eur = scenario.plan.wear_eur_per_mwh
        self.first_day_wear_eur = float(discharged_mwh[: DAY_S // tick_s].sum()) * wear_eur
        assert run.plan is not None
        boiler = np.maximum(spot + tax_eur_per_mwh(scenario), 0.0)
        own = scenario.heat.pumps_owned_by == "site"
        self.case = Case(
            name=name,
            energy_eur=_sum(energy, ENERGY) - _sum(energy, ("income_sold_eur",)),
            reserves_eur=_sum(energy, ("income_reserves_eur",)),
            wear_eur=float(discharged_mwh.sum()) * wear_eur,
            lent_eur=float(run.plan.lent_shift_mwh.sum()) * lent_terms(scenario, run.site)[1],
            heat_eur=float(boiler @ self.unmet_mwh.sum(axis=1)) * own,
            deviations_eur=_sum(energy, ("cost_deviation_eur",)),
            tariff_eur=_sum(energy, TARIFF),
        )
        self.useful_gpu_h = float(run.state.jobs["useful_gpu_s"].sum()) / 3600


def _sum(energy: pl.DataFrame, columns: tuple[str, ...]) -> float:
    return sum(float(energy[name].sum()) for name in columns)


def least_total_eur(without: _Book, planned: _Book) -> float:
    """Return what the run would have cost at least [EUR].

    Twice, with the load of the run without a plan, whose lent work the programme may cap, and with that of the run with one, whose
    caps are what they were; the lower counts. A battery supports the envelope also where no plan may move it, and on the first day: what
    it did then is part of the load, and its wear is paid for. No plan with one of these loads can cost less: :func:`foresight_eur` is a relaxation of
    it, a forecast without error has no deviations, and cost is convex in import (but for `bent_eur`), so that its slope bounds it from below.
    """
    import numpy as np

    from kvandal.twin.foresight import Facts, foresight_eur, pump_cop
    from kvandal.twin.plan_assets import moves_battery

    run = without.run
    cop = np.stack([pump_cop(book.run.outputs) for book in (without, planned)])
    plan = run.plan
    assert plan is not None
    bill = _Bill(run)
    fixed = (
        without.case.total_eur
        - without.case.deviations_eur
        - without.case.wear_eur
        - bill.eur(without.import_mwh)
    )
    totals, moves = [], moves_battery(planned.run.scenario)
    for book in (without, planned):
        mine = planned.run.scenario, run.site, run.plant, book.run.outputs
        load_mwh = (book.still_mwh if moves else book.import_mwh).copy()
        first = DAY_S // run.prices.step_s
        load_mwh[:first] = book.import_mwh[:first]
        facts = Facts(
            spot_eur_per_mwh=run.prices.eur_per_mwh,
            price_eur_per_mwh=bill.slope(load_mwh),
            load_mw=load_mwh * 3600 / run.prices.step_s,
            peak_eur_per_mw=bill.peak_eur_per_mw,
            wanted_mw=plan.heat_demand_mwh,
            unmet_mw=without.unmet_mwh,
            cop=cop,
            lent=book is without,
        )
        caps_eur = 0.0 if book is without else planned.case.lent_eur
        wear_eur = book.first_day_wear_eur if moves else book.case.wear_eur
        least_eur = bill.eur(load_mwh) - bill.bent_eur(load_mwh) - foresight_eur(*mine, facts)
        totals.append(fixed + caps_eur + wear_eur + least_eur)
    return min(totals)


class _Bill:
    """What import costs beyond what does not depend on it [EUR]."""

    def __init__(self, run: Trajectory) -> None:
        import numpy as np

        from kvandal.energy import tariff
        from kvandal.twin.plan_assets import tax_eur_per_mwh

        scenario, price = run.scenario, run.prices.eur_per_mwh
        market, supply, hours = scenario.market, scenario.supply, scenario.run.days * 24
        spot = np.repeat(price.reshape(hours, -1).mean(axis=1), len(price) // hours)
        self._hours, self._spot = hours, price
        self._beyond = spot * supply.marginal_loss_fraction + tax_eur_per_mwh(scenario)
        clean = [one.delivered_mwh for one in run.contracts if one.carbon_free]
        self._clean_mwh = sum(clean, np.zeros(len(price)))
        self._goo_eur = market.goo_fraction * market.goo_eur_per_mwh
        reactive = tariff.reactive_kvar(1000.0, supply.power_factor)
        self.peak_eur_per_mw = hours * (
            tariff.capacity_eur_per_h(1000.0, market.tariff_nok_per_kw_year, market.nok_per_eur)
            + tariff.capacity_eur_per_h(reactive, supply.reactive_nok_per_kvar_year, market.nok_per_eur)
        )
        self._battery_mwh = scenario.power.bess_power_mw * hours / len(price)

    def slope(self, import_mwh: Array) -> Array:
        """Return what a MWh more costs in each step, the highest hour apart [EUR/MWh]."""
        bought = self._goo_eur * (import_mwh > self._clean_mwh)
        marginal: Array = self._spot + self._beyond * (import_mwh > 0) + bought
        return marginal

    def eur(self, import_mwh: Array) -> float:
        """Cost of an import, in steps [EUR]; below 0 it flows back, is paid at spot, and bears neither losses nor tax."""
        import numpy as np

        drawn = np.maximum(import_mwh, 0.0)
        bare = np.maximum(import_mwh - self._clean_mwh, 0.0).sum()
        peak_mw = drawn.reshape(self._hours, -1).sum(axis=1).max()
        energy = import_mwh @ self._spot + drawn @ self._beyond + bare * self._goo_eur
        return float(energy + peak_mw * self.peak_eur_per_mw)

    def bent_eur(self, import_mwh: Array) -> float:
        """Return by how much the cost may lie below its slope: where a battery feeds back and losses that it saved were an income."""
        import numpy as np

        back_mwh = np.maximum(self._battery_mwh - import_mwh, 0.0)
        return float(back_mwh @ np.maximum(-self._beyond, 0.0))
