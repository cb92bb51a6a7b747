"""Carrying out on the twin's arrays what the policy has decided (:mod:`kvandal.policy.decide`)."""

from __future__ import annotations

from kvandal.compiled import large_kernel
from kvandal.policy.acting import CLOSE, DEMOTE, MOVE, NOTICE, PROMOTE, START
from kvandal.policy.rules import PROMOTION
from kvandal.twin.life import await_minimum_run, change_tier, start_job
from kvandal.twin.log import close_record, note_notice, open_records
from kvandal.twin.records import LOAN_PROMOTED, LOAN_TRANSFERRED


@large_kernel
def carry_out(state, time_s):
    """Carry out the actions of a decision, in their order."""
    tally, jobs = state.tally[0], state.jobs
    for index in range(tally.actions):
        action = state.actions[index]
        job = action.job
        if action.kind == START:
            start_job(state, job, time_s)
        elif action.kind == NOTICE:
            note_notice(state, job, action.other, action.rule, time_s)
        elif action.kind == CLOSE:
            if action.other >= 0:
                reason = LOAN_PROMOTED if action.rule == PROMOTION else LOAN_TRANSFERRED
                close_record(state, action.other, reason, time_s)
                jobs[job].loan = -1
        elif action.kind == MOVE:
            open_records(state, job, time_s)
        elif action.kind == PROMOTE:
            jobs[job].start_rule = action.rule
            change_tier(state, job, action.tier, time_s)
        elif action.kind == DEMOTE:
            open_records(state, job, time_s)
            await_minimum_run(state, job)
            jobs[job].start_rule = action.rule
            change_tier(state, job, action.tier, time_s)
    tally.actions = 0
