"""The ladder of access: from the first five thousand GPU-hours to a grand challenge."""

from __future__ import annotations

from datetime import datetime

from kvandal.client.resources.calls import Call, Rung, RungName
from kvandal.control.office.working_days import after_working_days, end_of_period
from kvandal.scenario.parameters import value


def ladder() -> dict[RungName, Rung]:
    """Return the rungs, the lowest first; their numbers are parameters of the registry (`office.*`)."""
    rungs = (
        Rung(
            name="playground",
            title="Playground",
            most_gpu_hours=int(value("office.playground_gpu_h")),
            most_months=int(value("office.playground_months")),
            path="automatic",
            technical_reviews=0,
            scientific_reviews=0,
            working_days=int(value("office.playground_days")),
            needs_earlier_award=False,
            needs_dates=False,
        ),
        Rung(
            name="fast-lane",
            title="Fast lane",
            most_gpu_hours=int(value("office.fast_lane_gpu_h")),
            most_months=int(value("office.fast_lane_months")),
            path="technical",
            technical_reviews=1,
            scientific_reviews=0,
            working_days=int(value("office.fast_lane_days")),
            needs_earlier_award=False,
            needs_dates=False,
        ),
        Rung(
            name="innovator",
            title="Innovator",
            most_gpu_hours=int(value("office.innovator_gpu_h")),
            most_months=int(value("office.innovator_months")),
            path="panel",
            technical_reviews=1,
            scientific_reviews=int(value("office.innovator_reviews")),
            working_days=None,
            needs_earlier_award=True,
            needs_dates=False,
        ),
        Rung(
            name="grand-challenge",
            title="Grand challenge",
            most_gpu_hours=int(value("office.grand_challenge_gpu_h")),
            most_months=int(value("office.grand_challenge_months")),
            path="committee",
            technical_reviews=1,
            scientific_reviews=int(value("office.grand_challenge_reviews")),
            working_days=None,
            needs_earlier_award=True,
            needs_dates=True,
        ),
        Rung(
            name="reserve",
            title="Director's reserve",
            most_gpu_hours=int(value("office.reserve_gpu_h")),
            most_months=int(value("office.reserve_months")),
            path="director",
            technical_reviews=1,
            scientific_reviews=0,
            working_days=int(value("office.reserve_days")),
            needs_earlier_award=False,
            needs_dates=False,
        ),
    )
    return {rung.name: rung for rung in rungs}


def due(rung: Rung, call: Call, submitted_utc: datetime) -> datetime:
    """Until when an application is to be answered: within working days, at its call's date, or at the next panel."""
    if rung.working_days is not None:
        return after_working_days(submitted_utc, rung.working_days)
    if call.decides_utc is not None:
        return call.decides_utc
    return end_of_period(submitted_utc, int(value("office.innovator_panels_per_year")))
