"""Both sides of a what-if see the same jobs, unless the change is about demand."""

from dataclasses import fields

import numpy as np
import pytest

from kvandal.demand.build import build_demand
from kvandal.demand.jobs import JobTable
from kvandal.demand.shared import HELD, shared_demand
from kvandal.scenario import load
from kvandal.scenario.loading import changed

SMALL = "tests/small.toml"


@pytest.fixture(scope="module")
def small(request):
    return load(request.config.rootpath / SMALL)


def columns(jobs: JobTable):
    return [getattr(jobs, field.name) for field in fields(jobs)]


def same(one: JobTable, other: JobTable) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(columns(one), columns(other), strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"site.grid_mw": 1.5},
        {"site.fleet.main.gpus": 288, "tenants.national.ceiling_share": 0.5},
        {"site.fleet.main.gpus": 7200},
        {"policy.segment_trays": 2},
        {"tenants.uk.weight": 5.0},
        {"tenants.somebody": {"tier": "firm", "deserved_share": 0.01}},
        {"site.time_zone": "Asia/Tokyo"},
        {"demand.surplus.load_fraction": 0.5},
        {"demand.national.checkpoint": False},
    ],
    ids=str,
)
def test_a_change_of_site_or_tenants_draws_no_other_jobs(small, changes):
    """Column for column, even where the changed site alone would draw others."""
    changes = {key: new for key, new in changes.items() if key != "tenants.national.ceiling_share"}
    variant = changed(small, changes)
    found = shared_demand(small, variant)

    assert same(found.base[0], build_demand(small)[0])
    assert same(found.base[0], found.variant[0])
    assert found.differs == ()
    assert [report.jobs for report in found.variant[1]] == [report.jobs for report in found.base[1]]
    if same(build_demand(variant)[0], found.base[0]):
        assert found.held == ()


def test_a_smaller_site_would_have_drawn_other_jobs(small):
    """That is why they are held: the cut of large jobs changes how many there are; the report of the class says so."""
    variant = changed(small, {"site.fleet.main.gpus": 288})
    found = shared_demand(small, variant)

    assert not same(build_demand(variant)[0], found.base[0])
    assert found.held
    held = {report.demand for report in found.variant[1] if HELD in report.notes}
    assert held == set(found.held)
    assert not any(HELD in report.notes for report in found.base[1])


def test_a_change_of_demand_is_told_and_nothing_else_moves(small):
    """More of one class leaves the jobs of the others."""
    variant = changed(small, {"demand.national.mean_gpus": 8000})
    found = shared_demand(small, variant)

    (text,) = found.differs
    before, after = ((jobs.demand == 5).sum() for jobs in (found.base[0], found.variant[0]))
    assert text.startswith(f"national: {after:,} jobs asking for ")
    assert f" instead of {before:,} jobs asking for " in text
    for number in (0, 1, 2, 3, 4, 6):
        one, other = (
            [column[jobs.demand == number] for column in columns(jobs)]
            for jobs in (found.base[0], found.variant[0])
        )
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert same(found.variant[0], build_demand(variant)[0])


def test_the_multiplier_concerns_every_class(small):
    found = shared_demand(small, changed(small, {"demand_multiplier": 0.01}))
    assert {text.split(":")[0] for text in found.differs} == set(small.demand)
    assert found.held == ()


def test_other_tenants_for_the_same_jobs_are_told(small):
    found = shared_demand(small, changed(small, {"demand.national.tenants": {"norway-research": 1}}))
    assert found.differs == ("national: the same jobs of other tenants",)


def test_a_class_that_is_added_or_dropped_is_told(small):
    fewer = small.model_copy(update={"demand": {k: v for k, v in small.demand.items() if k != "frontier"}})
    assert [text.split(":")[0] for text in shared_demand(small, fewer).differs] == ["frontier"]
    (text,) = shared_demand(fewer, small).differs
    assert text.startswith("frontier: ")
    assert text.endswith(" instead of no jobs")


def test_tenants_are_found_by_name(small):
    """Another order of the tenants changes no job's tenant."""
    names = list(small.tenants)
    turned = small.model_copy(update={"tenants": {name: small.tenants[name] for name in reversed(names)}})
    found = shared_demand(small, turned)
    before = [names[number] for number in found.base[0].tenant]
    after = [list(turned.tenants)[number] for number in found.variant[0].tenant]
    assert before == after
    assert found.differs == ()
