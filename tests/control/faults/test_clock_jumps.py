"""A wall clock that is set while the service runs: time never goes back, no notice ends too soon, everything goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from living import Living, Wall

from kvandal.control.loop.clock import SLEW, STEP_S, SteadyClock
from kvandal.control.loop.replay import replay

HOUR_S, DAY_S = 3600.0, 86_400.0


class Clocks:
    """A wall clock that can be set, and a steady one."""

    def __init__(self):
        self.passed_s, self.set_s = 0.0, 0.0

    def wall(self):
        return 1.8e9 + self.passed_s + self.set_s

    def steady(self):
        return 17.0 + self.passed_s


@given(
    st.lists(st.tuples(st.floats(0.0, 100.0), st.sampled_from([0.0, 0.0, 0.3, -0.3, -HOUR_S, DAY_S, -DAY_S])))
)
def test_time_goes_forwards_at_nearly_its_pace_whatever_the_wall_clock_is_set_to(steps):
    clocks = Clocks()
    clock = SteadyClock(clocks.wall, clocks.steady)
    before = clock()
    for passed_s, set_s in steps:
        clocks.passed_s += passed_s
        clocks.set_s += set_s
        now = clock()
        assert passed_s * (1 - SLEW) - 1e-6 <= now - before <= passed_s * (1 + SLEW) + STEP_S + 1e-6
        before = now


def test_a_small_difference_is_followed_and_a_large_one_is_told():
    clocks = Clocks()
    clock = SteadyClock(clocks.wall, clocks.steady)
    clocks.set_s = 0.4
    assert clock() == pytest.approx(clocks.wall(), abs=1e-6)
    clocks.set_s += HOUR_S
    clocks.passed_s += 1.0
    assert clock.away_s == pytest.approx(HOUR_S, abs=0.5)
    clocks.set_s -= HOUR_S + 0.05
    for _ in range(200):
        clocks.passed_s += 1.0
        clock()
    assert clock.away_s == pytest.approx(0.0, abs=1e-3)


class Jumping(Wall):
    """The wall clock of a living site, which can be set; the engine goes by a steady one."""

    def __init__(self, wall):
        super().__init__()
        self.plain, self.set_s = wall, 0.0

    def __call__(self):
        return self.plain() + self.set_s


@pytest.fixture
def living(sqlite_url, tmp_path):
    site = Living(sqlite_url, tmp_path)
    site.jumping = Jumping(site.wall)
    site.loop.close()
    site.engine.close()
    steady = SteadyClock(site.jumping, site.wall)
    real, site.wall = site.wall, steady
    site.engine = site.new_engine()
    site.wall = real
    site.again()
    yield site
    site.loop.close()
    site.down()


@pytest.mark.parametrize("set_s", [-HOUR_S, DAY_S])
def test_a_notice_lasts_as_long_as_was_promised_although_the_clock_is_set(living, set_s):
    borrowed = [living.submit("abroad", gpus=8, run_time_s=4000) for _ in range(18)]
    living.turn(1)
    claim = living.submit("startups", gpus=36, run_time_s=600)
    living.turn(1)
    noticed = [job for job in borrowed if living.job(job).state == "recalled"]
    assert noticed
    noticed_at = living.wall.now_s
    living.turn(20)
    times = [living.loop.site.now_s]
    living.jumping.set_s += set_s
    while living.job(noticed[0]).state == "recalled":
        living.turn(1)
        times.append(living.loop.site.now_s)
        assert living.wall.now_s - noticed_at < 200
    assert living.wall.now_s - noticed_at >= 120 - 1
    assert times == sorted(times)
    living.turn(1)
    assert living.job(claim).state == "running"
    for _ in range(400):
        living.turn(30)
    assert {living.job(job).state for job in (*borrowed, claim)} == {"finished"}
    assert replay(living.store).difference is None


class Backwards:
    """An engine whose own clock is set back."""

    def __init__(self, engine):
        self._engine, self.back = engine, timedelta()

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def now(self):
        return self._engine.now() - self.back


def test_work_goes_on_while_the_clock_of_the_engine_is_behind(living):
    engine = living.engine = Backwards(living.engine)
    living.loop.close()
    living.again()
    first = living.submit("startups", gpus=8, run_time_s=300)
    living.turn(1)
    living.run(100)
    reached_s = living.loop.site.now_s
    engine.back = timedelta(hours=1)
    second = living.submit("abroad", gpus=8, run_time_s=300)
    living.turn(1)
    assert living.job(second).state == "running"
    living.run(400)
    assert living.loop.site.now_s == reached_s  # it waits until the clock has caught up
    assert [living.job(job).state for job in (first, second)] == ["finished", "finished"]
    engine.back = timedelta()
    living.run(60)
    assert living.loop.site.now_s > reached_s + 400
    assert replay(living.store).difference is None


def test_the_time_of_the_emulated_cluster_does_not_go_back_over_a_restart(living):
    living.submit("startups", gpus=8, run_time_s=3000)
    living.turn(1)
    living.run(600)
    before = living.engine.now()
    living.loop.close()
    living.down()
    living.engine.close()
    living.wall.now_s -= HOUR_S
    living.engine = living.new_engine()
    assert living.engine.now() >= before - timedelta(
        seconds=20
    )  # as it was when the cluster was last looked at
    living.up()
    living.run(60)
    assert living.engine.now() > before
    assert living.view()["jobs"]["running"] == 1
