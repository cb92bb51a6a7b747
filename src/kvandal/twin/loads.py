"""What the racks draw in a tick: each rack that something changed in, and the sums of pods, power groups and halls.

Power above idle is kept in whole milliwatts, by rack and by the nodes above it (`State.pod_mw`, `State.group_mw`), so that
sums follow every start and end of a job exactly, and a tick only reckons the racks in which something happened in it. All racks are reckoned where caps have moved, where the plant has limited them, and at the start of every
call of the loop: then nothing of it needs to be saved, and a run that goes on from a saved state has the same bits.
"""

from __future__ import annotations

from kvandal.compiled import kernel, large_kernel
from kvandal.policy.acting import MILLIWATT
from kvandal.twin.life import tiers_kw
from kvandal.twin.limits import rack_part
from kvandal.twin.records import POWER_TIERS

NOBODY, UNKNOWN = -1, -2
"""In place of a pod's hottest rack: all are idle; it is to be sought among all racks of the pod."""


@kernel
def _correction_kw(state, index, model):
    """Correction of a rack's mean power for what changed inside this tick [kW]."""
    kw = state.racks[index].extra_kw
    for tier in range(POWER_TIERS):
        kw += state.rack_tiers[index, tier].tick_kw * state.tier_models[tier, model].factor
    return kw


@kernel
def _reckon(state, plant, scratch, index):
    """Reckon a rack's mean power above idle under the caps, before the plant's limits, and whether it is its pod's hottest."""
    rack, kw = state.racks[index], 0.0
    if rack.delivered:
        kw = tiers_kw(state.rack_tiers, state.tier_models, index, rack.model)
        if rack.is_touched:
            kw += _correction_kw(state, index, rack.model)
    scratch.above_kw[index] = kw
    model = state.models[rack.model]
    share = (kw - rack.extra_kw) / (model.tdp_kw - model.idle_kw) if rack.delivered else 0.0
    scratch.share[index] = share
    pod = plant.pods[rack.pod]
    if pod.hottest_rack == UNKNOWN:
        return
    if share > pod.hottest_share or (share == pod.hottest_share and index < pod.hottest_rack):
        pod.hottest_share, pod.hottest_model, pod.hottest_rack = share, rack.model, index
    elif index == pod.hottest_rack and share < pod.hottest_share:
        pod.hottest_rack = UNKNOWN


@kernel
def _seek_hottest(state, plant, scratch, number):
    """Find the hottest rack of a pod, the first of equals."""
    pod = plant.pods[number]
    pod.hottest_share, pod.hottest_rack = 0.0, NOBODY
    for index in range(pod.first_rack, pod.last_rack + 1):
        if scratch.share[index] > pod.hottest_share and state.racks[index].pod == number:
            pod.hottest_share, pod.hottest_rack = scratch.share[index], index
            pod.hottest_model = state.racks[index].model


@kernel
def _sum_pod(state, plant, index):
    """Sum the steady power above idle of a pod's racks from their whole milliwatts: electric, to the water, to the air."""
    pod, models, tier_models, pod_mw = plant.pods[index], state.models, state.tier_models, state.pod_mw
    it_kw, liquid_kw, air_kw = 0.0, 0.0, 0.0
    for model in range(models.shape[0]):
        kw = 0.0
        for tier in range(POWER_TIERS):
            kw += pod_mw[index, tier, model] * MILLIWATT * tier_models[tier, model].factor
        it_kw += kw
        liquid_kw += models[model].liquid_fraction * kw
        air_kw += (1.0 - models[model].liquid_fraction) * kw
    pod.steady_it_kw, pod.steady_kw, pod.steady_air_kw = it_kw, liquid_kw, air_kw


@kernel
def _sum_group(state, plant, index):
    """Sum the steady power above idle of a power group's racks from their whole milliwatts."""
    models, tier_models, group_mw = state.models, state.tier_models, state.group_mw
    kw = 0.0
    for model in range(models.shape[0]):
        for tier in range(POWER_TIERS):
            kw += group_mw[index, tier, model] * MILLIWATT * tier_models[tier, model].factor
    plant.groups[index].steady_kw = kw


@large_kernel
def _sum_wishes(state, plant):
    """Sum the racks' power above idle over pods, halls and power groups: what is steady, and what changed in this tick."""
    pods, halls, groups, models = plant.pods, plant.halls, plant.groups, state.models
    for index in range(halls.shape[0]):
        hall = halls[index]
        hall.wanted_kw, hall.wanted_air_kw, hall.wanted_it_kw = 0.0, 0.0, 0.0
    for index in range(pods.shape[0]):
        pod = pods[index]
        pod.wanted_it_kw, pod.wanted_kw = pod.steady_it_kw, pod.steady_kw
        halls[pod.hall].wanted_air_kw += pod.steady_air_kw
    for index in range(groups.shape[0]):
        groups[index].wanted_kw = groups[index].steady_kw
    for position in range(state.tally[0].touched):
        index = state.touched[position]
        rack = state.racks[index]
        kw = _correction_kw(state, index, rack.model)
        liquid_kw = models[rack.model].liquid_fraction * kw
        pods[rack.pod].wanted_it_kw += kw
        pods[rack.pod].wanted_kw += liquid_kw
        groups[rack.group].wanted_kw += kw
        halls[rack.hall].wanted_air_kw += kw - liquid_kw
    _sum_halls(plant)


@kernel
def _sum_halls(plant):
    """Sum the pods of every hall."""
    pods, halls = plant.pods, plant.halls
    for index in range(pods.shape[0]):
        hall = halls[pods[index].hall]
        hall.wanted_kw += pods[index].wanted_kw
        hall.wanted_it_kw += pods[index].wanted_it_kw


@large_kernel
def gather_wishes(state, plant, scratch):
    """Reckon what racks, pods, power groups and halls want above idle in this tick, before the plant's limits [kW]."""
    tally, pods = state.tally[0], plant.pods
    if tally.all_racks:
        tally.all_racks = 0
        tally.all_booked = 1
        for index in range(pods.shape[0]):
            pods[index].hottest_share, pods[index].hottest_rack = 0.0, NOBODY
            _sum_pod(state, plant, index)
        for index in range(plant.groups.shape[0]):
            _sum_group(state, plant, index)
        for index in range(state.racks.shape[0]):
            _reckon(state, plant, scratch, index)
    else:
        for position in range(tally.touched):
            index = state.touched[position]
            _sum_pod(state, plant, state.racks[index].pod)
            _sum_group(state, plant, state.racks[index].group)
            _reckon(state, plant, scratch, index)
        for index in range(pods.shape[0]):
            if pods[index].hottest_rack == UNKNOWN:
                _seek_hottest(state, plant, scratch, index)
    _sum_wishes(state, plant)


@large_kernel
def apply_limits(state, plant, scratch, tick_start_s):
    """Leave every rack the part of its power above idle that the nodes above it allow, and sum up anew."""
    for index in range(scratch.above_kw.shape[0]):
        rack = state.racks[index]
        scratch.part[index] = 1.0
        if rack.delivered:
            scratch.part[index] = rack_part(
                plant, state.models, rack, scratch.above_kw[index], tick_start_s, state.rules[0].tick_s
            )
            scratch.above_kw[index] *= scratch.part[index]
    _sum_racks(state, plant, scratch.above_kw)
    state.tally[0].all_racks = 1
    state.tally[0].all_booked = 1


@kernel
def _sum_racks(state, plant, above_kw):
    """Sum the racks' power above idle over pods, halls and power groups, rack by rack."""
    pods, halls, groups = plant.pods, plant.halls, plant.groups
    for index in range(pods.shape[0]):
        pods[index].wanted_kw = 0.0
        pods[index].wanted_it_kw = 0.0
        pods[index].hottest_share = 0.0
    for index in range(halls.shape[0]):
        halls[index].wanted_kw = 0.0
        halls[index].wanted_air_kw = 0.0
        halls[index].wanted_it_kw = 0.0
    for index in range(groups.shape[0]):
        groups[index].wanted_kw = 0.0
    for index in range(above_kw.shape[0]):
        rack, kw = state.racks[index], above_kw[index]
        if not rack.delivered:
            continue
        pod, model = pods[rack.pod], state.models[rack.model]
        pod.wanted_kw += model.liquid_fraction * kw
        pod.wanted_it_kw += kw
        groups[rack.group].wanted_kw += kw
        halls[rack.hall].wanted_air_kw += (1.0 - model.liquid_fraction) * kw
        share = (kw - rack.extra_kw) / (model.tdp_kw - model.idle_kw)
        if share > pod.hottest_share:
            pod.hottest_share, pod.hottest_model = share, rack.model
    _sum_halls(plant)


@kernel
def _power_kw(state, scratch, index):
    """Mean power of a rack as it was reckoned last [kW]."""
    rack = state.racks[index]
    return scratch.above_kw[index] + (0.0 if rack.is_off else state.models[rack.model].idle_kw)


@kernel
def _count_energy(rack, tick, hours):
    """Count the energy and the peak of a rack up to the start of a tick."""
    if tick > rack.steady_from:
        rack.energy_kwh += rack.steady_kw * (hours * (tick - rack.steady_from))
        rack.peak_kw = max(rack.peak_kw, rack.steady_kw)
        rack.steady_from = tick


@kernel
def _book_all(state, scratch, tick, hours):
    """Note the mean power of all racks in this tick; where it is another than before, count the energy up to here."""
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        if rack.delivered:
            kw = _power_kw(state, scratch, index)
            if kw != rack.steady_kw:
                _count_energy(rack, tick, hours)
                rack.steady_kw = kw


@large_kernel
def book_racks(state, plant, scratch, tick, hours):
    """Add this tick to the racks, and forget what changed inside it: from the next one on they are steady again."""
    tally = state.tally[0]
    if tally.all_booked:
        _book_all(state, scratch, tick, hours)
    tally.all_booked = 0
    for position in range(tally.touched):
        index = state.touched[position]
        rack = state.racks[index]
        _count_energy(rack, tick, hours)
        rack.steady_kw = _power_kw(state, scratch, index)
        _count_energy(rack, tick + 1, hours)
        rack.is_touched = False
        rack.extra_kw = 0.0
        for tier in range(POWER_TIERS):
            state.rack_tiers[index, tier].tick_kw = 0.0
        _reckon(state, plant, scratch, index)
        rack.steady_kw = _power_kw(state, scratch, index)
    tally.touched = 0


@large_kernel
def close_hour(state, row, next_tick, hours):
    """Count the energy of all racks up to the end of an hour, and write down that of the hour [kWh]."""
    for index in range(state.racks.shape[0]):
        rack = state.racks[index]
        _count_energy(rack, next_tick, hours)
        row[index] = rack.energy_kwh - rack.counted_kwh
        rack.counted_kwh = rack.energy_kwh
