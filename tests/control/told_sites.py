"""A live site that is told what a simulated engine does: jobs end after their work, at the very second."""

from __future__ import annotations

import heapq

import numpy as np

from kvandal.control.loop.site import LiveSite
from kvandal.scenario.loading import resolved
from kvandal.twin.records import RUNNING

NEVER = 2**40


class Lockstep:
    """Turns a live site at every instant at which something happens, as the twin turns its own loop."""

    def __init__(self, scenario, table, site=None):
        self.site = site or LiveSite(resolved(scenario))
        if site is None:
            self.site.begin()
        self.scenario, self.table = scenario, table
        self.tenants, self.classes = list(scenario.tenants), list(scenario.demand)
        self.ends, self.arrived, self.actions, self.turns = [], 0, [], []
        self.work_left = {}

    def run(self, until_s, each=None):
        while True:
            now_s = self.next_s()
            if now_s >= until_s:
                return self
            self.step(now_s)
            if each is not None:
                each(self)

    def next_s(self):
        state = self.site.state
        tally = state.tally[0]
        agenda = int(state.agenda["time_s"][0]) if tally["agenda_size"] else NEVER
        tick = int(tally["tick_start_s"] + state.rules["tick_s"][0])
        submit = int(self.table.submit_s[self.arrived]) if self.arrived < len(self.table) else NEVER
        ends = self.ends[0][0] if self.ends else NEVER
        return min(agenda, tick, submit, ends, max(int(tally["wake_s"]), self.site.now_s))

    def step(self, now_s):
        told = []
        while self.ends and self.ends[0][0] <= now_s:
            end_s, job, attempt = heapq.heappop(self.ends)
            row = self.site.rows.get(job)
            if row is None:
                continue
            record = self.site.state.jobs[row]
            if record["state"] == RUNNING and record["starts"] == attempt:
                told.append({"kind": "ended", "time_s": end_s, "job": job, "attempt": attempt})
        while self.arrived < len(self.table) and self.table.submit_s[self.arrived] <= now_s:
            told.append(self.submitted(self.arrived))
            self.arrived += 1
        turn = self.site.turn(now_s, told)
        self.turns.append((now_s, told, turn))
        for effect in turn.effects:
            if effect["do"] == "start":
                row = self.site.rows[effect["job"]]
                record = self.site.state.jobs[row]
                # the twin's own clock tells when the work would be done at the speed of now
                heapq.heappush(self.ends, (self.end_s(row), effect["job"], effect["attempt"]))
                self.actions.append((int(record["start_s"]), "start", effect["job"], effect["rule"]))
            elif effect["do"] == "notice":
                self.actions.append((now_s, "notice", effect["job"], effect["rule"]))
            elif effect["do"] in ("take", "end", "refuse"):
                self.actions.append((now_s, effect["do"], effect["job"], effect["rule"]))

    def end_s(self, row):
        record, state = self.site.state.jobs[row], self.site.state
        work_s = int(record["remaining_s"])
        between_s, dump_s = int(record["interval_s"]), int(state.demands["checkpoint_s"][record["demand"]])
        dumps_s = (work_s - 1) // between_s * dump_s if between_s else 0
        return int(record["start_s"]) + int(record["restore_s"]) + work_s + dumps_s

    def submitted(self, index):
        return {
            "kind": "submit",
            "time_s": int(self.table.submit_s[index]),
            "job": f"job-{index:04d}",
            "tenant": self.tenants[self.table.tenant[index]],
            "project": "",
            "demand": self.classes[self.table.demand[index]],
            "gpus": int(self.table.gpus[index]),
            "limit_s": int(self.limits[index]) if hasattr(self, "limits") else int(self.table.work_s[index]),
            "run_time_s": int(self.table.work_s[index]),
        }


def drawn_jobs(
    seed, count, tenants, *, last_s=20_000, gpus=(1, 2, 4, 8, 16, 36, 72), work_s=(60, 6000), classes=(1, 2)
):
    """Jobs that are submitted at whole minutes and work for whole seconds."""
    random = np.random.default_rng(seed)
    return sorted(
        (
            int(random.integers(0, last_s)),
            int(random.choice(gpus)),
            int(random.integers(*work_s)),
            int(random.integers(0, tenants)),
            int(random.choice(classes)),
        )
        for _ in range(count)
    )
