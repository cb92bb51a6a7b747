"""From what happened in a run to its tables, one after the other: what has been told is let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

    from kvandal.ledger.told import Told
    from kvandal.twin.simulate import Trajectory

    Take = Callable[[str, pl.DataFrame | Told], None]

OF_TICKS = ("time_utc", "it_power_mw", "site_power_mw", "battery_mw")
"""Columns of the table of ticks that the books of energy are made of."""


class Telling:
    """Tells the tables of a run that has just ended.

    Nothing else should hold the trajectory: the largest tables of the loop are let go as soon as what is made of them has
    been taken, so that hardly more memory is needed than at the end of the loop.

    Attributes
    ----------
    run : what is left of the trajectory

    Parameters
    ----------
    attribute
        Also tell who drew which energy; the summary does not need it.

    """

    def __init__(self, run: Trajectory, *, attribute: bool = True) -> None:
        self.run = run
        self._attribute = attribute
        self._kept: dict[str, pl.DataFrame] = {}

    def tell(self, take: Take) -> dict[str, Any]:
        """Hand every table over as soon as it can be made, and return the summary.

        Parameters
        ----------
        take
            Called with the name and the table of each; large ones come as :class:`kvandal.ledger.told.Told`, which the call
            may make, block by block or whole, or leave.

        """
        from kvandal.ledger import indicators
        from kvandal.ledger.site_sums import site_sums
        from kvandal.ledger.told import Gathered

        scenario = self.run.scenario
        sums = site_sums(self._ticks(), scenario.run.tick_s, scenario.cooling.adiabatic_on_c)
        self._tell_hours(take)
        self._tell_records(take)
        amounts = self._tell_energy(take) if self._attribute else None
        jobs, gathered = self._jobs(amounts), Gathered(*indicators.OF_JOBS)
        take("jobs", gathered.watch(jobs))
        gathered.complete(jobs)
        prices = {name: float(tenant.price_usd_per_gpu_hour) for name, tenant in scenario.tenants.items()}
        deadlines_h = {
            name: one.deadline_h for name, one in scenario.demand.items() if one.deadline_h is not None
        }
        return indicators.summarise(sums, gathered, self._kept, scenario.run.tick_s, prices, deadlines_h)

    def _ticks(self) -> Any:
        from kvandal.ledger.tables import SiteColumns

        return SiteColumns(self.run)

    def _tell_hours(self, take: Take) -> None:
        """Tell what is told by the tick and by the hour, and let the ticks go."""
        import polars as pl

        from kvandal.ledger import energy as books
        from kvandal.ledger import plant_tables, tables
        from kvandal.ledger.grants import grant_hours_table, grants_table
        from kvandal.ledger.plan_table import plan_table
        from kvandal.ledger.room import room_table

        run, ticks = self.run, self._ticks()
        site = pl.DataFrame([ticks[name] for name in OF_TICKS])
        heat = tables.heat_table(run)
        energy = books.energy_table(run, site, heat)
        told = {
            "energy": energy,
            "heat": heat,
            "contracts": books.contracts_table(run, site),
            "reserves": books.reserves_table(run, energy),
            "plan": plan_table(run, energy, site),
            "halls": tables.halls_table(run),
            "pods": plant_tables.pods_table(run),
            "racks": tables.racks_table(run),
            "tenants": tables.tenants_table(run),
            "room": room_table(run),
            "limits": plant_tables.limits_table(run),
            "nodes": plant_tables.nodes_table(run),
            "faults": plant_tables.faults_table(run),
            "fault_costs": plant_tables.fault_costs_table(run),
            "grants": grants_table(run),
            "grant_hours": grant_hours_table(run),
        }
        for name, table in told.items():
            self._hand_over(take, name, table)
        take("site", tables.site_told(run))
        self._let_go_outputs("tick_real", "tick_count", "pod_hour", "hall_hour", "tenant_hour")

    def _tell_records(self, take: Take) -> None:
        """Tell what was written down as it happened."""
        from kvandal.ledger.events import events_table
        from kvandal.ledger.lives import interruptions_table
        from kvandal.ledger.tables import loans_table

        self._hand_over(take, "loans", loans_table(self.run))
        self._hand_over(take, "events", events_table(self.run))
        self._hand_over(take, "interruptions", interruptions_table(self.run))
        self._let_go_state("loans", "events")

    def _tell_energy(self, take: Take) -> Callable[[slice], list[pl.Series]]:
        """Attribute the energy, tell who drew it where, and let the placements go; return what jobs drew, by rows."""
        from kvandal.ledger import attribution

        basis = attribution.basis_of(
            self.run, *(self._kept[name] for name in ("energy", "heat", "contracts"))
        )
        self._let_go_outputs("rack_hour")
        found = attribution.attribute(basis)
        take("tenant_energy", attribution.tenant_energy_table(self.run.scenario, found))
        take("rack_hours", attribution.rack_hours_told(self.run, basis.rack_wh))
        del basis
        take("placements", attribution.placements_told(self.run))
        self._let_go_state("placements")
        return lambda rows: attribution.job_amounts(found, rows)

    def _jobs(self, amounts: Callable[[slice], list[pl.Series]] | None) -> Told:
        """Take from the records of jobs what their table is made of, and let them go."""
        from kvandal.ledger import tables

        records = tables.job_records(self.run)
        self._let_go_state("jobs", "room.first_piece", "room.first_claim")
        return tables.jobs_told(self.run, records, amounts)

    def _hand_over(self, take: Take, name: str, table: pl.DataFrame) -> None:
        """Hand a table over, and remember it if the summary needs it."""
        from kvandal.ledger.indicators import OF_TABLES

        take(name, table)
        if name in OF_TABLES:
            self._kept[name] = table

    def _let_go_state(self, *names: str) -> None:
        from kvandal.twin.snapshot import without

        self.run = replace(self.run, state=without(self.run.state, names))

    def _let_go_outputs(self, *names: str) -> None:
        outputs = self.run.outputs
        empty = {name: np.zeros((0, *getattr(outputs, name).shape[1:])) for name in names}
        self.run = replace(self.run, outputs=outputs._replace(**empty))
