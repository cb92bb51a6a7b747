"""What-ifs on the live state: nothing comes of nothing, more is better, less power is less power, and the loop never notices."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import numpy as np
import pytest
from asking_whatifs import Asked
from living import NODES, Living
from small_sites import group, small_site, tenant

from kvandal.control.office.consequences import consequences
from kvandal.control.whatif.answering import Answerer, futures, opened
from kvandal.control.whatif.asked import checked
from kvandal.control.whatif.chance import seed_of
from kvandal.errors import InputError
from kvandal.twin.snapshot import tables_by_name


def digest(*records):
    """Checksum of all tables, column by column, to the byte; what stands between columns means nothing."""
    found = hashlib.sha256()
    for record in records:
        for name, table in tables_by_name(record, ""):
            found.update(name.encode())
            for column in table.dtype.names or [...]:
                found.update(np.ascontiguousarray(table[column]).tobytes())
    return found.hexdigest()


def measures(answer, tenant_name=None):
    if tenant_name is None:
        return answer["site"]
    return next(one["measures"] for one in answer["tenants"] if one["tenant"] == tenant_name)


def grant_of(living, **more):
    start = living.now()
    return {
        "grant": "grant_new", "tenant": "startups", "project": "solar", "gpu_hours": 2400.0, "start_utc": start.isoformat(),
        "end_utc": (start + timedelta(days=10)).isoformat(), "expiry": "soft", "demand": [],
    } | more  # fmt: skip


@pytest.mark.parametrize(
    "question",
    [{}, {"changes": {"tenants.startups.ceiling_share": 0.5}}, {"envelope_mw": 1000.0}, {"changes": {"policy.recall": True}}],
    ids=["nothing", "the value in force", "the envelope there is", "a rule in force"],
)  # fmt: skip
def test_nothing_comes_of_nothing(whatif, question):
    standing, asked = whatif.standing(**question)
    site = whatif.answerer.site_of(standing)
    sides = opened(site, standing, checked(asked, site.scenario))
    one, other = futures(sides, standing, seed_of(1, 0))
    assert digest(one.state, one.plant) == digest(other.state, other.plant)
    ticks = slice(one.at_s // 60, one.until_s // 60)
    assert one.outputs.tick_real[ticks].any()
    assert one.outputs.tick_real[ticks].tobytes() == other.outputs.tick_real[ticks].tobytes()
    answer = whatif(**question)
    assert answer["headlines"] == ["Nothing changes for anybody."]
    for told in [answer["site"], *(one["measures"] for one in answer["tenants"])]:
        assert {row["difference"] for row in told.values()} <= {0.0, None}
        assert {row["low"] for row in told.values()} <= {0.0, None}
    assert (answer["queued"]["earlier"], answer["queued"]["later"]) == (0, 0)


def test_a_higher_ceiling_never_hurts_who_has_it(whatif):
    lower = {"tenants.startups.ceiling_share": 0.3, "tenants.national.ceiling_share": 0.5}
    worse = whatif(lower)
    better = whatif({"tenants.startups.ceiling_share": 0.9, "tenants.national.ceiling_share": 0.9})
    for share in ("wait_p50_s", "wait_p95_s"):
        assert measures(worse, "startups")[share]["difference"] > 0
        assert measures(better, "startups")[share]["difference"] <= 0
    assert measures(worse, "startups")["jobs_started"]["difference"] < 0
    assert worse["queued"]["later"] > 0
    shifted = worse["queued"]["jobs"][0]
    assert abs(shifted["shift_s"]) > 600
    assert whatif.living.job(shifted["job"]).tenant == shifted["tenant"]
    assert any("startups" in sentence for sentence in worse["headlines"])
    assert worse["changes"] == [
        {"key": "tenants.startups.ceiling_share", "from": 0.5, "to": 0.3},
        {"key": "tenants.national.ceiling_share", "from": 0.6, "to": 0.5},
    ]


def test_a_lower_envelope_is_kept_and_costs_work(whatif):
    free = measures(whatif())
    at_mw = 0.8 * free["power_mean_mw"]["base"]
    answer = whatif(envelope_mw=at_mw)
    site = measures(answer)
    assert site["power_mean_mw"]["changed"] < site["power_mean_mw"]["base"]
    assert site["power_peak_mw"]["changed"] <= site["power_peak_mw"]["base"]
    assert site["power_mean_mw"]["changed"] <= at_mw * 1.01
    assert site["energy_cost_eur"]["difference"] < 0
    assert site["gpu_hours_useful"]["difference"] < 0
    lowest = measures(whatif(envelope_mw=0.9 * at_mw))
    assert lowest["power_mean_mw"]["changed"] < site["power_mean_mw"]["changed"]


def test_numbers_of_tenants_make_up_those_of_the_site(whatif):
    answer = whatif(envelope_mw=0.2)
    tenants = [one["measures"] for one in answer["tenants"]]
    for side in ("base", "changed"):
        for key in ("energy_mwh", "energy_cost_eur", "gpu_hours_own", "gpu_hours_lost", "jobs_finished"):
            assert sum(one[key][side] for one in tenants) == pytest.approx(
                answer["site"][key][side], rel=1e-3
            )
        site = answer["site"]
        hours = (answer["days"] * 24) // 1 + 1
        assert (
            0 < site["gpu_hours_own"][side] + site["gpu_hours_borrowed"][side] <= 144 * hours
        )  # of two racks
        assert site["gpu_hours_borrowed"][side] == pytest.approx(site["gpu_hours_lent"][side])


def test_the_loop_never_notices(crowded, whatif):
    site, cycles = crowded.loop.site, crowded.cycles()
    before = digest(site.state, site.plant), site.now_s, site.document, list(site.ids), site.loan_numbers
    whatif({"tenants.nordics.weight": 5.0}, [grant_of(crowded)], envelope_mw=0.2)
    assert (
        digest(site.state, site.plant),
        site.now_s,
        site.document,
        list(site.ids),
        site.loan_numbers,
    ) == before
    assert crowded.cycles() == cycles


def test_a_server_that_follows_says_what_the_leader_says(crowded, whatif):
    change = {"tenants.startups.ceiling_share": 0.3}
    assert Asked(crowded, led=False)(change, days=0.25) == whatif(change, days=0.25)


def test_the_same_question_has_the_same_answer(whatif):
    change = {"policy.recall": False}
    assert whatif(change, days=0.25) == Asked(whatif.living)(change, days=0.25)


def test_a_grant_brings_its_demand_in_jobs_of_its_project(crowded, whatif):
    answer = whatif(grants=[grant_of(crowded)])
    (told,) = answer["grants"]
    assert (told["gpus_per_job"], told["class"], told["sizes_from_jobs"]) == (8, "batch", 40)
    hours = 12 + 1 - crowded.loop.site.now_s % 3600 / 3600
    assert told["gpu_hours"] == pytest.approx(10 * hours, rel=0.1)  # 10 GPU-hours an hour for ten days
    submitted = measures(answer, "startups")["jobs_submitted"]
    assert submitted["difference"] == pytest.approx(told["jobs"], abs=1)
    assert any("used evenly over its term" in sentence for sentence in answer["assumptions"])
    later = grant_of(crowded, start_utc=(crowded.now() + timedelta(days=3)).isoformat())
    assert whatif(grants=[later])["grants"][0]["jobs"] == 0
    asked = {"changes": {}, "grants": [grant_of(crowded, tenant="research", project="new")], "envelope_mw": None, "days": 0.25}  # fmt: skip
    assert consequences(whatif.live, asked)["grants"][0]["sizes_from_jobs"] == 10  # as a reviewer is shown it


def test_what_a_grant_brings_more_is_all_that_is_new(sqlite_url, tmp_path):
    living = Living(sqlite_url, tmp_path)
    known = grant_of(living, gpu_hours=1000.0)
    living.ask("grant", **known)
    living.submit("startups", gpus=8, run_time_s=3600, project="solar")
    living.turn(10)
    more = whatif_grant(living, {**known, "gpu_hours": 3000.0})
    assert more == pytest.approx(2000 / 240 * 24, rel=0.1)
    assert whatif_grant(living, {**known, "gpu_hours": 500.0}) == 0
    living.ask("grant", **{**known, "gpu_hours": 3000.0})
    living.turn(10)
    period = living.loop.site.state.grant_periods[0]
    assert (period["granted"], period["brings"]) == (3000 * 3600, 3000 * 3600)
    living.down()


def whatif_grant(living, grant):
    return Asked(living)(grants=[grant], days=1, seeds=1)["grants"][0]["gpu_hours"]


@pytest.mark.parametrize(
    ("question", "key", "message"),
    [
        ({"changes": {"tenants.startups.ceiling_share": 1.5}}, "tenants.startups.ceiling_share", "1.5"),
        ({"changes": {"tenants.nobody.weight": 2.0}}, "tenants.nobody.weight", "anchor"),
        ({"changes": {"site.grid_mw": 1.0}}, "site.grid_mw", "tenants, policy, grants"),
        ({"changes": {"policy.nonsense": 1}}, "policy.nonsense", ""),
        ({"envelope_mw": -1.0}, "envelope_mw", "0 to 1000 MW"),
        ({"envelope_mw": float("nan")}, "envelope_mw", "0 to 1000 MW"),
        ({"days": 0.0}, "days", "at most 28"),
        ({"days": 29.0}, "days", "at most 28"),
        ({"grants": [{"tenant": "national"}]}, "grants.0.tenant", "startups"),
        ({"grants": [{"demand": ["mining"]}]}, "grants.0.demand", "training"),
        ({"grants": [{"end_utc": "2027-01-01T00:00:00+00:00"}]}, "grants.0.end_utc", "must come after"),
    ],
)
def test_bad_questions_name_the_key_and_what_is_allowed(crowded, whatif, question, key, message):
    question = dict(question)
    if "grants" in question:
        question["grants"] = [grant_of(crowded, **one) for one in question["grants"]]
    with pytest.raises(InputError) as refused:
        whatif(**question)
    assert message in refused.value.message
    assert refused.value.key == key


def test_what_is_broken_comes_back_and_what_somebody_took_out_does_not(sqlite_url, tmp_path):
    scenario = small_site({"one": tenant("firm", 1.0)}, racks=2, tray_repair_h=2.0)
    living = Living(sqlite_url, tmp_path, scenario=scenario)
    for _ in range(36):
        living.submit("one", gpus=4, run_time_s=80_000, limit_s=86_400, demand="batch")
    living.ask("drain", node=NODES[0], reason="a fan")
    living.turn(1)
    living.turn(1)
    with_all = measures(Asked(living)(days=1))["gpu_hours_own"]["base"]
    hours = 24 + (3600 - living.loop.site.now_s % 3600) / 3600
    assert with_all <= 140 * hours  # one tray stays out
    fail(living, NODES[1])
    with_one_down = measures(Asked(living)(days=1))["gpu_hours_own"]["base"]
    assert 0 < with_all - with_one_down < 4 * 4 * 1.5  # four GPUs for two hours, and what starts later
    living.down()


def fail(living, node):
    """Let a node of the emulated cluster fail now, for longer than anybody looks."""
    engine = living.engine
    engine._enter(engine._seconds(), "down", node, 0)
    living.run(32, step=16)
    assert {"node": node, "state": "down", "reason": "tray failed"} in living.view()["nodes_down"]


def test_an_envelope_set_by_hand_ends_when_it_is_to(sqlite_url, tmp_path):
    living = Living(sqlite_url, tmp_path, scenario=small_site({"one": tenant("firm", 1.0)}, racks=2))
    for _ in range(18):
        living.submit("one", gpus=8, run_time_s=80_000, limit_s=86_400)
    living.turn(30)
    free_mw = measures(Asked(living)(seeds=1))["power_mean_mw"]["base"]
    until = living.now() + timedelta(hours=6)
    living.ask("envelope", envelope_mw=0.8 * free_mw, until_utc=until.isoformat(), reason="test")
    living.run(180, step=60)
    base = measures(Asked(living)(seeds=1, days=1))["power_mean_mw"]["base"]
    assert 0.83 * free_mw < base < 0.99 * free_mw  # a quarter of the day at four fifths
    held = measures(Asked(living)(seeds=1, days=1, envelope_mw=0.8 * free_mw))["power_mean_mw"]
    assert held["changed"] < base  # held all day
    living.down()


def test_a_site_without_a_past_says_that_nothing_comes(sqlite_url, tmp_path):
    tenants = {"one": tenant("firm", 0.5), "g": group("lent"), "two": tenant("lent", parent="g")}
    living = Living(sqlite_url, tmp_path, scenario=small_site(tenants, racks=2))
    living.turn(1)
    answer = Asked(living)(seeds=1)
    assert answer["demand"]["jobs"] == 0
    assert answer["demand"]["drawn_from"][0].startswith("nothing")
    assert measures(answer, "one")["wait_p50_s"]["base"] is None
    assert {one["tenant"] for one in answer["tenants"]} == {"one", "two"}
    living.down()


def test_simulated_tenants_go_on_as_their_demand_does(crowded):
    answer = Asked(crowded, simulated=True)(seeds=2, days=1)
    assert "synthetic" in answer["demand"]["drawn_from"][0]
    assert answer["demand"]["jobs"] > 0


def test_a_fork_goes_on_as_the_site_does(crowded):
    site = crowded.loop.site
    standing, _ = Asked(crowded).standing()
    twins = [Answerer().site_of(standing), site.at(*site.forked())]
    told = [{"kind": "cancel", "time_s": site.now_s, "job": site.ids[-1], "attempt": 0}]
    turns = [one.turn(site.now_s + 300, [dict(one_told) for one_told in told]).effects for one in twins]
    assert turns[0] == turns[1]
    assert turns[0]
    assert digest(twins[0].state, twins[0].plant) == digest(twins[1].state, twins[1].plant)
