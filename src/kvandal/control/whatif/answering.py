"""A what-if, answered: the live state forked, changed or not, and taken through the same futures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from kvandal.control.loop.opening import followed
from kvandal.control.loop.site import LiveSite
from kvandal.control.loop.taking import as_grant
from kvandal.control.loop.told import Told
from kvandal.control.whatif.asked import Document, Question, Standing, checked
from kvandal.control.whatif.chance import (
    LEAST_PAST_S,
    Arrivals,
    Chance,
    GrantDemand,
    arrivals_of_grant,
    demand_of_grant,
    seed_of,
)
from kvandal.control.whatif.measures import Values, before, measure, starts_s
from kvandal.control.whatif.past import WEEKS
from kvandal.control.whatif.playing import HOUR_S, Played, Side, play, settled, side_of
from kvandal.control.whatif.telling import (
    changes_told,
    headlines,
    metrics_told,
    queued_told,
    rows_of,
    told_rows,
)
from kvandal.errors import InputError
from kvandal.runs.paired import CONFIDENCE

Array = Any
DAY_S = 86_400


@dataclass(frozen=True)
class Sides:
    """Both sides of a question, ready to be taken through futures.

    Attributes
    ----------
    site : the live site as it stands
    base, changed : it, after nothing and after the change
    chance : what may come to both
    grants : the demand that comes to the changed side alone
    until_s : end of the future [s]

    """

    site: LiveSite
    base: Side
    changed: Side
    chance: Chance
    grants: Sequence[GrantDemand]
    until_s: int

    def arrivals(self, seed: int) -> tuple[Arrivals, Arrivals]:
        """Draw what is submitted on either side."""
        drawn = self.chance.arrivals(seed)
        more = drawn
        for one in self.grants:
            more = more.with_more(arrivals_of_grant(one, self.site.scenario, seed))
        return drawn, more


class Answerer:
    """Answers questions about one live site; what a scenario gives is kept from one question to the next."""

    def __init__(self) -> None:
        self._made: tuple[str, LiveSite] | None = None

    def answer(self, standing: Standing, question: Question) -> Document:
        """Answer a question.

        Raises
        ------
        InputError
            If the question cannot be asked of this site.

        """
        site = self.site_of(standing)
        question = checked(question, site.scenario)
        sides = opened(site, standing, question)
        earlier = before(site, settled(site))
        numbers: tuple[list[Values], list[Values]] = [], []
        starts: tuple[list[Array], list[Array]] = [], []
        drawn = np.zeros((question.seeds, 2))
        for number in range(question.seeds):
            seed = seed_of(site.scenario.run.seed, number)
            failures = sides.chance.failures(seed)
            arrivals = sides.arrivals(seed)
            table = arrivals[0].table
            drawn[number] = len(table), float((table.gpus * table.work_s).sum()) / HOUR_S
            for place, side in enumerate((sides.base, sides.changed)):
                played = play(side, arrivals[place], failures, standing.surroundings, sides.until_s)
                numbers[place].append(measure(site, earlier, played))
                starts[place].append(starts_s(earlier, played))
                del played
        rows = rows_of(*numbers)
        tenants, whole = told_rows(rows, site)
        queued = queued_told(site, earlier, *starts, sides.until_s)
        start_utc = site.scenario.run.start_utc
        return {
            "cycle": standing.cycle,
            "at_utc": (start_utc + timedelta(seconds=site.now_s)).isoformat(),
            "until_utc": (start_utc + timedelta(seconds=sides.until_s)).isoformat(),
            "days": question.days,
            "seeds": question.seeds,
            "confidence": CONFIDENCE,
            "changes": changes_told(site.scenario, question),
            "grants": [one.told() for one in sides.grants],
            "envelope_mw": question.envelope_mw,
            "headlines": headlines(rows, queued, question.seeds, question.days),
            "site": whole,
            "tenants": tenants,
            "queued": queued,
            "demand": {
                "synthetic": True,
                "drawn_from": _drawn_from(sides.chance, standing),
                "jobs": round(float(drawn[:, 0].mean()), 1),
                "gpu_hours": round(float(drawn[:, 1].mean()), 1),
            },
            "assumptions": _assumptions(site, sides, standing),
            "metrics": metrics_told(),
        }

    def site_of(self, standing: Standing) -> LiveSite:
        """Return the live site as it stands."""
        if standing.kept is not None:
            return followed(standing.kept)
        assert standing.document is not None
        assert standing.fork is not None
        assert standing.extra is not None
        key = json.dumps(standing.document, sort_keys=True)
        if self._made is None or self._made[0] != key:
            self._made = None  # two sites at a time are too many
            self._made = (key, LiveSite(standing.document))
        return self._made[1].at(standing.fork, standing.extra)


def opened(site: LiveSite, standing: Standing, question: Question) -> Sides:
    """Fork the site into both sides of a checked question.

    Raises
    ------
    InputError
        If the scenario does not take the change, or the site's time is over.

    """
    at_s, scenario = site.now_s, site.scenario
    end_s = scenario.run.days * DAY_S
    until_s = -(-(at_s + round(question.days * DAY_S)) // HOUR_S) * HOUR_S
    if until_s > end_s:
        end_utc = scenario.run.start_utc + timedelta(seconds=end_s)
        raise InputError(
            f"must end before the time of the site does, {end_utc.isoformat()}, got {question.days:g}",
            key="days",
        )
    changes = dict(question.changes)
    changes |= {f'grants."{grant["grant"]}"': as_grant(grant) for grant in question.grants}
    nothing: list[Told] = [{"kind": "change", "time_s": at_s, "changes": {}}]
    something: list[Told] = [{"kind": "change", "time_s": at_s, "changes": changes}]
    over_s = standing.surroundings.set_point_until_s
    changed_over_s = over_s
    if question.envelope_mw is not None:
        held_kw = float(site.state.tally["set_point_kw"][0])
        nothing.append(_set_point(at_s, held_kw if np.isfinite(held_kw) else None))
        most_mw = scenario.site.grid_mw  # the connection itself is no set-point
        something.append(
            _set_point(at_s, question.envelope_mw * 1000.0 if question.envelope_mw < most_mw else None)
        )
        changed_over_s = None
    here = site.forked()
    base = side_of(site.at(*here), nothing, over_s)
    changed = side_of(site.at(*here), something, changed_over_s)
    chance = Chance(site, standing.past, until_s, simulated=standing.simulated)
    grants = [
        demand_of_grant(grant, usual, scenario, at_s, until_s)
        for grant, usual in zip(question.grants, standing.usual, strict=True)
    ]
    return Sides(site, base, changed, chance, grants, until_s)


def futures(sides: Sides, standing: Standing, seed: int) -> tuple[Played, Played]:
    """Take both sides through one future."""
    failures, arrivals = sides.chance.failures(seed), sides.arrivals(seed)
    base, changed = (
        play(side, coming, failures, standing.surroundings, sides.until_s)
        for side, coming in zip((sides.base, sides.changed), arrivals, strict=True)
    )
    return base, changed


def _set_point(at_s: int, value_kw: float | None) -> Told:
    return {"kind": "set_point", "time_s": at_s, "value_kw": value_kw}


def _drawn_from(chance: Chance, standing: Standing) -> list[str]:
    """Say where the jobs come from that nobody has submitted yet."""
    found = []
    if chance.drawn_classes:
        found.append(
            f"the scenario's own demand, synthetic, for {', '.join(chance.drawn_classes)}, which simulated tenants submit"
        )
    past = standing.past
    length_s = past.at_s - past.first_s
    if len(past.submit_s) and length_s >= LEAST_PAST_S:
        what = f"days of the last {WEEKS} weeks" if length_s >= DAY_S else "the hours since the site began"
        found.append(
            f"{what}, drawn anew for each tenant: {len(past.submit_s):,} submissions of "
            f"{length_s / DAY_S:,.1f} days"
        )
    return found or ["nothing: nobody has submitted anything that says what will come"]


def _assumptions(site: LiveSite, sides: Sides, standing: Standing) -> list[str]:
    """Say what the answer stands on."""
    prices = site.start.prices
    found = [
        "Jobs last as long as their owners expect, or as their limits where they expect nothing; what has run counts.",
        "Both sides meet the same submissions and the same failures.",
        f"Energy costs the price of its hour ({prices.name}), without contracts, tariff and taxes.",
        "CO2e is location-based, direct; tenants bear shares of energy, cost and carbon as in docs/attribution.md.",
        f"Weather: {site.start.weather.name}.",
        "Faults of the plant and curtailments that are not known now are left out.",
    ]
    if not sides.chance.fails:
        found.append("Nothing fails: the scenario has no failures.")
    else:
        found.append("GPUs, hosts, networks and racks fail at the published rates.")
    if standing.surroundings.down:
        found.append(
            f"{len(standing.surroundings.down):,} failed trays come back after the mean time of a repair."
        )
    if bool(site.state.tally["telemetry_lost"][0]):
        found.append("The meter is taken to answer again at once.")
    for one in sides.grants:
        basis = (
            f"as in {one.from_jobs:,} of its last jobs" if one.from_jobs else "a guess: it has no jobs yet"
        )
        found.append(
            f"The grant {one.grant} is used evenly over its term, in jobs of {one.gpus:,} GPUs for "
            f"{one.work_s / 3600:,.1f} h ({basis})."
        )
    return found
