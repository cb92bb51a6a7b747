"""A meter that falls silent: nothing new is lent and caps stay (rule E6), own work starts; when it is back all is as before."""

from __future__ import annotations

import dataclasses

import pytest
from living import Living

from kvandal.control.loop.replay import replay

TIMEOUT_S = 60.0


class Metered:
    """An engine with a meter, which shows what the model says, or nothing."""

    def __init__(self, engine):
        self._engine, self.silent, self.site = engine, False, None

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def observe(self):
        shown = None if self.silent or self.site is None else float(self.site.state.tally["last_meter_kw"][0])
        return dataclasses.replace(
            self._engine.observe(), site_power_kw=None if self.silent else shown or 0.0, has_meter=True
        )


@pytest.fixture
def living(sqlite_url, tmp_path):
    site = Living(sqlite_url, tmp_path, telemetry_timeout_s=TIMEOUT_S)
    site.loop.close()
    site.engine = Metered(site.engine)
    site.again()
    site.engine.site = site.loop.site
    yield site
    site.loop.close()
    site.down()


def states(living, *jobs):
    return [living.job(job).state for job in jobs]


def test_nothing_new_is_lent_while_the_meter_is_silent_and_own_work_starts(living):
    borrowed = living.submit("abroad", gpus=8, run_time_s=9000)
    living.turn(1)
    living.run(120, step=10)
    assert living.view()["fail_safe"] is None
    living.engine.silent = True
    living.run(30, step=10)
    early = living.submit("nordics", gpus=4, run_time_s=9000)
    living.turn(1)
    assert states(living, early) == ["running"]  # not silent for long enough yet
    living.run(120, step=10)
    assert living.view()["fail_safe"] == "the meter is silent: nothing new is lent, caps stay (rule E6)"
    lent, own = (
        living.submit("nordics", gpus=4, run_time_s=600),
        living.submit("startups", gpus=8, run_time_s=300),
    )
    living.turn(1)
    assert states(living, borrowed, early, own, lent) == ["running", "running", "running", "queued"]
    assert living.job(own).tier == "assured"
    living.run(400, step=20)
    assert states(living, borrowed, early, own, lent) == ["running", "running", "finished", "queued"]
    living.engine.silent = False
    living.run(30, step=10)
    assert living.view()["fail_safe"] is None
    assert states(living, lent) == ["running"]
    assert replay(living.store).difference is None


def test_caps_stay_while_the_meter_is_silent(living):
    for _ in range(4):
        living.submit("abroad", gpus=24, run_time_s=20_000)
    living.turn(1)
    living.run(120, step=10)
    limit_mw = living.view()["site_power_mw"] * 0.85
    living.ask("envelope", envelope_mw=limit_mw, until_utc=None, reason="grid")
    living.run(120, step=10)
    assert living.view()["caps"]["lent"] < 1.0
    living.engine.silent = True
    living.run(120, step=10)
    assert "rule E6" in living.view()["fail_safe"]
    capped = living.view()["caps"]["lent"]
    assert capped < 1.0
    living.ask("envelope", envelope_mw=None, until_utc=None, reason="over")
    living.run(300, step=10)
    assert living.view()["caps"]["lent"] == capped
    assert living.engine._caps["lent"] == pytest.approx(capped, abs=1e-4)
    living.engine.silent = False
    living.run(180, step=10)
    assert living.view()["caps"]["lent"] == living.engine._caps["lent"] == 1.0
    assert replay(living.store).difference is None


def test_caps_survive_a_restart_of_the_emulated_cluster(living):
    job = living.submit("abroad", gpus=24, run_time_s=600)
    living.turn(1)
    living.engine._engine._speed_at = lambda cap: cap
    living.engine.cap({"lent": 0.5})
    living.wall.now_s += 100
    living.engine.close()
    living.engine = Metered(living.new_engine(speed_at=lambda cap: cap))
    assert living.engine._caps == {"lent": 0.5}
    living.wall.now_s += 1000
    (ended,) = [one for one in living.engine.events("")[0] if one.kind == "ended"]
    assert (ended.key, ended.outcome) == (job, "timeout")  # at half the speed it reaches its limit
