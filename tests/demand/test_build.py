"""From a scenario to the table of jobs, class by class."""

import json

import numpy as np
import pytest

from kvandal.demand.build import build_demand, placeable_gpus
from kvandal.errors import TraceError
from kvandal.scenario import load, presets, validate

DAY_S = 86_400

TENANTS = {"a": {"tier": "firm"}, "b": {"tier": "firm"}, "c": {"tier": "lent"}}


def scenario_of(demand, **more):
    return validate({"tenants": TENANTS, "demand": demand, "run": {"days": 7}, **more})


@pytest.fixture(scope="module")
def year():
    scenario = load("stargate-norway")
    return (scenario, *build_demand(scenario))


@pytest.fixture
def trace_file(tmp_path):
    path = tmp_path / "own.csv"
    rows = [
        "0,600,8,a",
        "3600,7200,64,b",
        "7200,60,1,unknown",
        f"{6 * DAY_S},60,200,",
        f"{7 * DAY_S},60,16,a",
        "9,0,8,a",
    ]
    path.write_text("submit_s,run_s,gpus,tenant\n" + "\n".join(rows) + "\n")
    return path


def test_default_year_holds_over_a_million_jobs(year):
    scenario, jobs, reports = year

    assert len(jobs) >= 1_200_000
    assert [report.demand for report in reports] == list(scenario.demand)
    assert np.bincount(jobs.demand).tolist() == [report.jobs for report in reports]
    assert jobs.submit_s[0] >= 0
    assert jobs.submit_s[-1] < 365 * DAY_S
    assert jobs.gpus.min() >= 1
    assert jobs.gpus.max() == 16_384
    assert jobs.work_s.min() >= 1


def test_default_year_asks_for_what_the_scenario_says(year):
    scenario, jobs, reports = year
    inside_s = np.clip(365 * DAY_S - jobs.submit_s, 0, jobs.work_s)
    for index, (report, demand) in enumerate(zip(reports, scenario.demand.values(), strict=True)):
        own = jobs.demand == index
        busy = float((inside_s[own] * jobs.gpus[own]).sum()) / (365 * DAY_S)

        assert report.mean_gpus_asked == pytest.approx(busy)
        assert report.mean_gpus_asked == pytest.approx(demand.mean_gpus, rel=0.05)
        assert report.gpu_hours_asked == pytest.approx(
            float((jobs.work_s[own] * jobs.gpus[own]).sum()) / 3600
        )


def test_tenants_come_by_weight(year):
    scenario, jobs, _ = year
    names = list(scenario.tenants)
    for index, demand in enumerate(scenario.demand.values()):
        own = jobs.tenant[jobs.demand == index]
        shares = np.bincount(own, minlength=len(names)) / own.shape[0]
        total = sum(demand.tenants.values())

        assert shares.tolist() == pytest.approx(
            [demand.tenants.get(name, 0) / total for name in names], abs=0.01
        )


def test_reports_are_json_and_name_what_is_synthetic(year):
    _, _, reports = year
    for report in reports:
        document = report.as_dict()

        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert {row["statistic"] for row in document["statistics"]} >= {
            "jobs per day",
            "mean GPUs busy",
            "run time P90",
        }
        assert report.synthetic == (report.demand in {"frontier", "inference"})
        assert report.synthetic == report.source.startswith("synthetic")
        assert (report.licence is None) == report.synthetic
        assert report.synthetic == (report.sha256 is None)
    national = next(report for report in reports if report.demand == "national")
    assert (national.rows_read, national.refused) == (111_549, {"run time is zero": 10})
    assert national.licence == "CC-BY-4.0"
    assert "Microsoft" in national.credit


@pytest.mark.parametrize("name", presets())
def test_every_preset_builds(name):
    jobs, reports = build_demand(load(name, {"run.days": 1}))

    assert len(jobs) == sum(report.jobs for report in reports) > 0


def columns(jobs, names=("submit_s", "gpus", "work_s", "tenant")):
    return [getattr(jobs, name).tolist() for name in names]


def test_short_run_is_the_beginning_of_a_long_one():
    few, _ = build_demand(load("stargate-norway", {"run.days": 7}))
    many, _ = build_demand(load("stargate-norway", {"run.days": 30}))
    everything = ("submit_s", "gpus", "work_s", "tenant", "demand")

    assert columns(few, everything) == [column[: len(few)] for column in columns(many, everything)]
    assert int(many.submit_s[len(few)]) >= 7 * DAY_S


def test_adding_a_class_changes_no_other():
    one = {"source": "lingjun", "tenants": {"a": 1, "b": 2}, "mean_gpus": 500}
    two = {"source": "diurnal", "tenants": {"a": 1}, "mean_gpus": 800}
    three = {"source": "frontier", "tenants": {"b": 1, "c": 1}, "mean_gpus": 9000}
    before, _ = build_demand(scenario_of({"one": one, "three": three}))
    after, _ = build_demand(scenario_of({"two": two, "one": one, "three": three}))

    def of_class(jobs, index):
        own = jobs.demand == index
        return [getattr(jobs, name)[own].tolist() for name in ("submit_s", "gpus", "work_s", "tenant")]

    assert of_class(before, 0) == of_class(after, 1)
    assert of_class(before, 1) == of_class(after, 2)
    assert (after.demand == 0).any()


def test_two_classes_of_one_trace_do_not_march_in_step():
    one = {"source": "lingjun", "tenants": {"a": 1}, "mean_gpus": 800}
    jobs, _ = build_demand(scenario_of({"one": one, "two": one}))

    assert jobs.submit_s[jobs.demand == 0].tolist() != jobs.submit_s[jobs.demand == 1].tolist()


@pytest.mark.parametrize("source", ["lingjun", "philly", "frontier", "diurnal"])
def test_demand_multiplier(source):
    demand = {"x": {"source": source, "tenants": {"a": 1}, "mean_gpus": 10_000}}
    runs = {"run": {"days": 133}}
    single = build_demand(scenario_of(demand, **runs))[1][0].mean_gpus_asked
    double = build_demand(scenario_of(demand, **runs, demand_multiplier=2.0))[1][0].mean_gpus_asked

    assert double / single == pytest.approx(2.0, rel=0.06)


def test_own_trace_is_replayed_as_it_is(trace_file):
    demand = {"own": {"source": "file", "path": str(trace_file), "tenants": {"a": 1, "b": 1}}}
    jobs, (report,) = build_demand(scenario_of(demand, demand_multiplier=3.0))

    assert jobs.submit_s.tolist() == [0, 3600, 7200, 6 * DAY_S]
    assert jobs.work_s.tolist() == [600, 7200, 60, 60]
    assert jobs.gpus.tolist() == [8, 64, 1, 200]
    assert jobs.tenant.tolist()[:2] == [0, 1]
    assert report.outside_run == 1
    assert report.refused == {"run time is zero": 1}
    assert report.rows_read == report.jobs + report.outside_run + 1
    assert "2 jobs name a tenant that is not one of this class, or none: assigned by weight" in report.notes
    assert any("demand_multiplier does not change" in note for note in report.notes)


def test_own_trace_is_scaled_when_a_mean_is_given(trace_file):
    demand = {
        "own": {"source": "file", "path": str(trace_file), "tenants": {"a": 1, "b": 1}, "mean_gpus": 400}
    }
    _, (report,) = build_demand(scenario_of(demand, run={"days": 160}))

    assert report.mean_gpus_asked == pytest.approx(400, rel=0.05)
    assert report.outside_run == 0


def test_own_trace_and_shipped_trace_are_one(tmp_path):
    """The same rows, once shipped and once from a file, make the same jobs."""
    from importlib import resources

    path = tmp_path / "philly.parquet"
    path.write_bytes(resources.files("kvandal.demand").joinpath("traces", "philly_2017.parquet").read_bytes())
    own = {"source": "file", "path": str(path), "tenants": {"a": 1}, "mean_gpus": 300}
    shipped = {"source": "philly", "tenants": {"a": 1}, "mean_gpus": 300}
    first, (report,) = build_demand(scenario_of({"x": own}))
    second, (other,) = build_demand(scenario_of({"x": shipped}))

    assert columns(first) == columns(second)
    assert report.sha256 == other.sha256
    assert (report.licence, other.licence) == ("not stated", "CC-BY-4.0")


def test_jobs_are_cut_to_what_can_be_placed():
    site = {"fleet": {"main": {"gpus": 144}}}
    demand = {
        "x": {"source": "lingjun", "tenants": {"a": 1}, "mean_gpus": 400, "size_multiplier": 4},
        "y": {"source": "frontier", "tenants": {"a": 1}, "mean_gpus": 120, "median_duration_h": 5.0},
        "z": {"source": "lingjun", "tenants": {"a": 1}, "mean_gpus": 400, "maximum_gpus": 10},
    }
    scenario = scenario_of(demand, site=site)
    jobs, reports = build_demand(scenario)

    assert placeable_gpus(scenario) == 128
    assert jobs.gpus[jobs.demand == 0].max() == 128
    assert set(jobs.gpus[jobs.demand == 1].tolist()) == {128}
    assert jobs.gpus[jobs.demand == 2].max() == 10
    assert any(
        note.endswith("jobs of the trace ask for more than 128 GPUs and are cut to that")
        for note in reports[0].notes
    )


def test_one_rack_places_a_whole_rack():
    scenario = scenario_of({}, site={"fleet": {"main": {"gpus": 72}}})

    assert placeable_gpus(scenario) == 72
    assert len(build_demand(scenario)[0]) == 0


def test_bad_trace_of_a_scenario_names_the_file(tmp_path):
    path = tmp_path / "absent.csv"
    with pytest.raises(TraceError, match=r"absent\.csv: no such file"):
        build_demand(scenario_of({"x": {"source": "file", "path": str(path), "tenants": {"a": 1}}}))
