"""What a day-ahead plan is worth: the same run without it, with it, and the most that perfect foresight could have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kvandal.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvandal.scenario.model import Scenario
    from kvandal.twin.simulate import Progress, Trajectory

SWITCHES = ("battery", "heat_stores", "shift_lent_work", "reserves")
"""What a plan may move; without all of them it only says the day before what the site will draw."""
ENERGY = (
    "cost_ppa_eur", "cost_spot_eur", "cost_goo_eur", "cost_tariff_energy_eur", "cost_tax_eur", "cost_generator_eur",
    "cost_heat_pump_eur",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One case of a comparison, in EUR over the run.

    Attributes
    ----------
    name : `without`, `with` or `foresight`
    energy_eur : energy bought less energy sold, losses, tax, heat pumps
    reserves_eur : income from reserves
    wear_eur : wear of the battery
    lent_eur : price of the GPU-hours that caps of the plan cost lent tenants
    deviations_eur : deviations from what was bought the day before
    tariff_eur : tariff for the highest hour

    """

    name: str
    energy_eur: float
    reserves_eur: float
    wear_eur: float
    lent_eur: float
    deviations_eur: float
    tariff_eur: float

    @property
    def moved_eur(self) -> float:
        """What a plan can change by moving energy: all but deviations and the tariff for the highest hour."""
        return self.energy_eur - self.reserves_eur + self.wear_eur + self.lent_eur

    @property
    def total_eur(self) -> float:
        """All of it."""
        return self.moved_eur + self.deviations_eur + self.tariff_eur


def plan_value(scenario: Scenario, progress: Progress | None = None) -> dict[str, Any]:
    """Simulate a scenario without and with its plan, and bound what any plan could have made of it.

    Returns
    -------
    `cases` (of :class:`Case`, with sums), `value_eur` (what the plan saves), `bound_eur` (what perfect foresight of prices,
    load, heat and calls would have saved with the same assets: a linear programme over the whole run), `days`.

    Raises
    ------
    ScenarioError
        If the run is too short to have a planned day.

    """
    from kvandal.twin.planning import bound_of
    from kvandal.twin.simulate import simulate

    if scenario.run.days < 2:
        raise ScenarioError("the first day of a run has no plan; give at least 2 days", key="run.days")
    base = scenario.plan.model_copy(update={"enabled": True})
    bare = base.model_copy(update=dict.fromkeys(SWITCHES, False))
    cases, bound = [], 0.0
    for name, plan in (("without", bare), ("with", base)):
        run = simulate(scenario.model_copy(update={"plan": plan}), progress)
        cases.append(_case(name, run))
        if name == "with" and run.plan is not None:
            found = bound_of(run.scenario, run.site, run.plant, run.prices.eur_per_mwh, run.outputs, run.plan)
            bound = found.earned_eur
    without, planned = cases
    foresight = Case("foresight", without.moved_eur - bound, 0.0, 0.0, 0.0, 0.0, without.tariff_eur)
    shown = [
        {**vars(case), "moved_eur": case.moved_eur, "total_eur": case.total_eur}
        for case in (*cases, foresight)
    ]
    return {
        "days": scenario.run.days,
        "cases": shown,
        "value_eur": without.moved_eur - planned.moved_eur,
        "bound_eur": bound,
        "deviations_eur": planned.deviations_eur - without.deviations_eur,
    }


def _case(name: str, run: Trajectory) -> Case:
    import numpy as np

    from kvandal.ledger.energy import energy_table
    from kvandal.ledger.tables import heat_table, site_table
    from kvandal.twin.planning import lent_terms
    from kvandal.twin.plant_state import BATTERY_KW

    energy = energy_table(run, site_table(run), heat_table(run))
    total: Callable[[str], float] = lambda column: float(energy[column].sum())  # noqa: E731
    terms = run.scenario.power
    battery_kw = (
        run.outputs.tick_real[:, BATTERY_KW] + terms.bess_standby_fraction * terms.bess_power_mw * 1000
    )
    discharged_mwh = float(np.clip(battery_kw, 0.0, None).sum()) * run.scenario.run.tick_s / 3.6e6
    plan = run.plan
    assert plan is not None
    _, lent_eur_per_mwh = lent_terms(run.scenario, run.site)
    return Case(
        name=name,
        energy_eur=sum(total(column) for column in ENERGY) - total("income_sold_eur"),
        reserves_eur=total("income_reserves_eur"),
        wear_eur=discharged_mwh * run.scenario.plan.wear_eur_per_mwh,
        lent_eur=float(plan.lent_shift_mwh.sum()) * lent_eur_per_mwh,
        deviations_eur=total("cost_deviation_eur"),
        tariff_eur=total("cost_tariff_capacity_eur") + total("cost_tariff_reactive_eur"),
    )
