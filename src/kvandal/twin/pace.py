"""How fast jobs run: clocks of their speed classes, and jobs that the plant slows down."""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.physics.rack import limited_speed
from kvandal.policy.sharing import FIRM
from kvandal.twin.heaps import push_end, remove_end
from kvandal.twin.state import PROTECTED


@kernel
def clock_reading_s(state, speed_class, time_s):
    """Read a speed clock [s of full-speed work]."""
    speed = state.speeds[speed_class]
    return speed.clock_s + speed.rate * (time_s - speed.at_s)


@kernel
def power_tier(state, job, tier):
    """Tier whose cap a job of a tier falls under: firm work that its contract protects has one of its own."""
    return PROTECTED if tier == FIRM and state.jobs[job].protected else tier


@kernel
def speed_class_of(state, job):
    """Speed class of a running job: tier of use times kind of work."""
    return state.jobs[job].use_tier * 3 + state.demands[state.jobs[job].demand].kind


@large_kernel
def slowest_part(state, job):
    """Speed of a job over that of its class: a gang goes as fast as its slowest rack, and as its own power cap lets it."""
    rules, room = state.rules[0], state.room
    kind = state.demands[state.jobs[job].demand].kind
    exponent = rules.training_exponent if kind == 0 else rules.inference_exponent
    slowest = 1.0
    own = state.demands[state.jobs[job].demand].speed
    piece = room.first_piece[job]
    while piece >= 0:
        rack = state.racks[room.pieces[piece].rack]
        if rack.part < 1.0:
            model = state.models[rack.model]
            speed = limited_speed(
                rack.part, model.idle_kw, model.tdp_kw, model.gpu_kw, exponent, rules.perf_offset
            )
            slowest = min(slowest, speed)
        piece = room.pieces[piece].next
    return slowest * own


@large_kernel
def slow_down(state, job, slow, time_s):
    """Change the speed of a running job; what it has done and what is left stay as they are.

    Work done is (clock - virtual start) * slow and work left (end - clock) / slow on the clock of its class, so both
    times move towards the clock or away from it as the speed changes.
    """
    jobs = state.jobs
    if jobs[job].slow == slow:
        return
    speed_class = speed_class_of(state, job)
    now_s = clock_reading_s(state, speed_class, time_s)
    ratio = jobs[job].slow / slow
    end_s = state.ends[speed_class, jobs[job].heap_position].key
    jobs[job].virtual_start_s = now_s - (now_s - jobs[job].virtual_start_s) * ratio
    jobs[job].slow = slow
    remove_end(jobs, state.ends, state.speeds, speed_class, job)
    push_end(jobs, state.ends, state.speeds, speed_class, now_s + (end_s - now_s) * ratio, job)
