"""Small sites for tests: scenarios, tables of jobs, and a checker of the state that shares no code with the twin."""

from collections import Counter

import numpy as np

from kvandal.demand.jobs import JobTable
from kvandal.scenario.demand import Demand
from kvandal.scenario.grants import Grant
from kvandal.scenario.heat import Heat, HeatCustomer
from kvandal.scenario.market import Market
from kvandal.scenario.model import Run, Scenario
from kvandal.scenario.plan import Plan
from kvandal.scenario.plant import Reliability
from kvandal.scenario.power import Power
from kvandal.scenario.site import Delivery, Fleet, Layout, Site
from kvandal.scenario.supply import Supply
from kvandal.scenario.tenants import Policy, Tenant
from kvandal.twin.failures import failure_table
from kvandal.twin.heaps import PRIORITY_SHIFT
from kvandal.twin.records import QUEUED, REST, RUNNING
from kvandal.twin.simulate import simulate_jobs

TRAINING, BATCH, INFERENCE = range(3)
"""Classes of demand of every small site: training saves its state, the others do not."""
ENDLESS_MW = 1000.0
WORK = [(hour * 3600, 40, 5 * 3600, hour % 2, INFERENCE) for hour in range(0, 80, 3)]
"""Work of a planned site: a job of five hours every three hours, of its two tenants in turn."""


def tenant(tier, deserved=0.0, guarantee=0.0, ceiling=1.0, notice_s=120, **others):
    return Tenant(
        tier=tier,
        deserved_share=deserved,
        guarantee_share=guarantee,
        ceiling_share=ceiling,
        notice_s=notice_s,
        **others,
    )


def group(tier, ceiling=None, **others):
    """A group that deserves what its children do."""
    return Tenant(tier=tier, ceiling_share=ceiling, **others)


def small_site(tenants, racks=1, days=1, tick_s=60, grid_mw=ENDLESS_MW, build_out=(), **options):
    """Scenario of a few racks; `options` are fields of policy and reliability, `margin`, and `of` all classes of demand."""
    policy = {key: options.pop(key) for key in Policy.model_fields if key in options}
    of = options.pop("of", {})
    margin = options.pop("margin", 0.0)
    cap_minimum = options.pop("cap_minimum", None)
    groups = {tenant.parent for tenant in tenants.values()}
    names = {name: 1.0 for name in tenants if name not in groups}
    scenario = Scenario(
        run=Run(days=days, tick_s=tick_s),
        site=Site(
            grid_mw=grid_mw,
            fleet={"main": Fleet(gpus=racks * 72)},
            layout=Layout(racks_per_row=4, rows_per_hall=2, racks_per_cdu=3),
            build_out=tuple(Delivery(month=month, gpus=gpus) for month, gpus in build_out),
        ),
        market=Market(ppa_mw=min(150.0, grid_mw)),
        power=Power(site_cap_margin_fraction=margin, bess_power_mw=0.0, bess_energy_mwh=0.0),
        policy=Policy(**policy),
        reliability=Reliability(**{"failures": False, "plant_faults": False, **options}),
        tenants=tenants,
        demand={
            "training": Demand(source="frontier", tenants=names, mean_gpus=1.0, **of),
            "batch": Demand(
                source="frontier", tenants=names, mean_gpus=1.0, kind="batch", checkpoint=False, **of
            ),
            "inference": Demand(
                source="frontier", tenants=names, mean_gpus=1.0, kind="inference", checkpoint=False, **of
            ),
        },
    )
    if cap_minimum is None:
        return scenario
    models = {
        name: model.model_copy(update={"cap_minimum_fraction": cap_minimum})
        for name, model in scenario.rack_models.items()
    }
    return scenario.model_copy(update={"rack_models": models})


PLANNED_TENANTS = {"owner": tenant("firm", 0.5), "abroad": tenant("lent", price_usd_per_gpu_hour=1.6)}


def planned_site(days=4, plan=None, reserves=None, store_mwh=0.0, tenants=PLANNED_TENANTS, **options):
    """A rack with a battery of half its size, a heat customer whose pump is the site's, and prices that move."""
    scenario = small_site(tenants, racks=2, days=days, tick_s=600, **options)
    customer = HeatCustomer(
        kind="flat", peak_mw=0.05, annual_gwh=0.3, supply_c=65.0, return_c=45.0, store_mwh=store_mwh,
        store_mw=0.05 if store_mwh else 0.0,
    )  # fmt: skip
    return scenario.model_copy(
        update={
            "power": Power(site_cap_margin_fraction=0.0, bess_power_mw=0.1, bess_energy_mwh=0.2),
            "market": Market(ppa_mw=0.0, spot_mean_eur_per_mwh=60.0),
            "plan": Plan(enabled=True, **(plan or {})),
            "supply": Supply(reserves=reserves or {}),
            "heat": Heat(pumps_owned_by="site", customers={"town": customer}),
        }
    )


def table(*rows):
    """Jobs from (submit_s, gpus, work_s, tenant, class of demand)."""
    if not rows:
        return JobTable.empty()
    rows = sorted(rows, key=lambda row: row[0])
    submit_s, gpus, work_s, tenants, demand = (np.array(column) for column in zip(*rows, strict=True))
    return JobTable(
        submit_s.astype(np.int64),
        gpus.astype(np.int32),
        work_s.astype(np.int64),
        tenants.astype(np.int16),
        demand.astype(np.int16),
    )


def failing(*rows):
    """Failures from (time_s, gpu), (time_s, gpu, cause) or (time_s, gpu, cause, repair_s)."""
    return failure_table(*rows)


def play(scenario, *rows, **options):
    return simulate_jobs(scenario, table(*rows), **options)


def times(run, column):
    return run.state.jobs[column].tolist()


def walk(first, following):
    """Follow a linked list; a list that bites its own tail is an error."""
    seen = []
    while first >= 0:
        assert first not in seen
        seen.append(first)
        first = int(following[first])
    return seen


def check_room(state):
    """Whoever sits somewhere sits there alone, and every list says what the seats say."""
    room, jobs, racks = state.room, state.jobs, len(state.racks)
    slots = room.slots.reshape(racks, 18, 4)
    free = (slots < 0).sum(axis=2)
    trays = room.trays.reshape(racks, 18)
    healthy = trays["state"] == 0
    assert (trays["free"] == np.where(healthy, free, 0)).all()
    assert (free[~healthy] == 4).all()
    assert (room.racks["whole"] == (trays["free"] == 4).sum(axis=1)).all()
    seated = Counter(room.slots[room.slots >= 0].tolist())
    running = np.flatnonzero(jobs["state"] == RUNNING).tolist()
    assert seated == {job: int(jobs["gpus"][job]) for job in running}
    used = []
    for job in running:
        pieces = walk(int(room.first_piece[job]), room.pieces["next"])
        used += pieces
        here = {int(room.pieces["rack"][piece]): int(room.pieces["gpus"][piece]) for piece in pieces}
        assert here == Counter((np.flatnonzero((room.slots == job).ravel()) // 72).tolist())
        assert len(here) == len(pieces) == jobs["racks"][job]
    promised = Counter()
    for job in np.flatnonzero(room.first_claim >= 0).tolist():
        for piece in walk(int(room.first_claim[job]), room.pieces["next"]):
            used.append(piece)
            rack = int(room.pieces["rack"][piece])
            promised[rack] += int(room.pieces["gpus"][piece]) // 4
    unused = walk(int(room.pieces["next"][-1]), room.pieces["next"])
    assert sorted(used + unused) == list(range(len(room.pieces) - 1))
    assert {rack: int(n) for rack, n in enumerate(room.racks["promised"]) if n} == promised
    closed = (room.racks["promised"] > 0) | room.racks["barred"]
    open_racks = set(np.flatnonzero(state.racks["delivered"] & ~closed).tolist())
    listed = []
    for whole in range(19):
        bucket = walk(int(room.buckets["head"][whole]), room.racks["next"])
        assert len(bucket) == room.buckets["count"][whole]
        assert (room.racks["whole"][bucket] == whole).all()
        listed += bucket
    assert sorted(listed) == sorted(open_racks)
    for level in range(1, 4):
        partly = walk(int(room.levels[level]), room.trays["next"])
        assert sorted(partly) == [
            tray
            for tray in range(racks * 18)
            if tray // 18 in open_racks and room.trays["free"][tray] == level
        ]


def check_books(state):
    """Every counter equals what the jobs themselves say."""
    jobs, tally, tenants = state.jobs, state.tally[0], state.tenants
    running, queued = jobs["state"] == RUNNING, jobs["state"] == QUEUED
    assert tally["running_jobs"] == running.sum()
    assert tally["queued_jobs"] == queued.sum()
    assert tally["queued_gpus"] == jobs["gpus"][queued].sum()
    on_loan = running & (jobs["loan"] >= 0)
    assert sorted(state.lent_jobs[: tally["lent_jobs"]].tolist()) == np.flatnonzero(on_loan).tolist()
    assert (jobs["on_loan"] == on_loan).all()
    assert not (jobs["recallable"] & ~on_loan).any()
    assert tally["draining"] == jobs["draining"].sum() == (jobs["draining"] & running).sum()
    check_tree(state)
    for tier in range(4):
        assert state.tiers["gpus"][tier] == jobs["gpus"][running & (jobs["use_tier"] == tier)].sum()
    claimed = Counter()
    agenda = state.agenda[: tally["agenda_size"]]
    resting = agenda["subject"][agenda["rank"] >> PRIORITY_SHIFT == REST]
    resting = resting[queued[resting]]  # a job may be refused while it rests
    for number, queue in enumerate(state.queues):
        waiting = walk(int(queue["head"]), jobs["next_job"])
        assert waiting[-1:] == ([queue["tail"]] if waiting else [])
        rests = [int(job) for job in resting if jobs["queue"][job] == number]
        assert sorted(waiting + rests) == np.flatnonzero(queued & (jobs["queue"] == number)).tolist()
        assert queue["jobs"] == len(waiting) + len(rests)
        assert queue["gpus"] == jobs["gpus"][waiting + rests].sum()
        with_claim = [job for job in waiting if state.room.first_claim[job] >= 0]
        assert with_claim == waiting[: len(with_claim)]
        assert with_claim[-1:] == ([queue["last_claim"]] if queue["last_claim"] >= 0 else [])
        claimed[int(queue["tenant"])] += int(jobs["gpus"][with_claim][~jobs["reserved"][with_claim]].sum())
    for index in range(len(tenants)):
        below = [row for row in range(len(tenants)) if index in path(tenants, row)]
        assert tenants["claimed"][index] == sum(claimed[row] for row in below)


def path(tenants, row):
    """Rows from one up to the root."""
    steps = [row]
    while tenants["parent"][steps[-1]] >= 0:
        steps.append(int(tenants["parent"][steps[-1]]))
    return steps


def check_tree(state):
    """Every row of the tree counts what the jobs below it use and lend, and no ceiling or lent share is exceeded."""
    jobs, tenants = state.jobs, state.tenants
    own, on_loan, lent_out, lent = (np.zeros(len(tenants), np.int64) for _ in range(4))
    for job in np.flatnonzero(jobs["state"] == RUNNING).tolist():
        gpus, up = int(jobs["gpus"][job]), path(tenants, int(jobs["tenant"][job]))
        parts = walk(int(jobs["first_part"][job]), state.parts["next"])
        assert (jobs["loan"][job] >= 0) == (len(parts) > 0)
        if not parts:
            own[up] += gpus
            continue
        assert state.parts["gpus"][parts].sum() == gpus
        for part in parts:
            lender, gpus, record = (int(state.parts[name][part]) for name in ("lender", "gpus", "record"))
            assert [int(state.loans[name][record]) for name in ("lender", "gpus", "job", "returned_s")] == [
                lender, gpus, job, -1
            ]  # fmt: skip
            down = path(tenants, lender)
            lent[lender] += gpus
            for row in set(up) | set(down):
                if row in up and row in down:
                    own[row] += gpus
                elif row in up:
                    on_loan[row] += gpus
                else:
                    lent_out[row] += gpus
    assert tenants["own"].tolist() == own.tolist()
    assert tenants["on_loan"].tolist() == on_loan.tolist()
    assert tenants["lent_out"].tolist() == lent_out.tolist()
    assert tenants["lent"].tolist() == lent.tolist()


def check_lending(state):
    """Every lender has lent no more than it may, loans under notice or inside their minimum run aside; where nothing is recalled
    it waits until loans end."""
    tenants, jobs = state.tenants, state.jobs
    if not state.rules["recall"][0]:
        return
    for row in range(len(tenants)):
        coming = sum(
            int(state.parts["gpus"][part])
            for job in np.flatnonzero(jobs["on_loan"] & (jobs["draining"] | ~jobs["recallable"])).tolist()
            for part in walk(int(jobs["first_part"][job]), state.parts["next"])
            if row in path(tenants, int(state.parts["lender"][part]))
        )
        one = tenants[row]
        if one["is_group"]:
            assert one["lent"] - one["quota"] <= coming
        if one["parent"] >= 0:
            lendable = min(one["deserved"] - one["guarantee"], one["deserved"] - one["own"] - one["claimed"])
            assert one["lent_out"] <= lendable + coming, (row, one, coming)


def granted(scenario, **grants):
    """Return the scenario with grants, each given as keys of :class:`kvandal.scenario.grants.Grant`."""
    return scenario.model_copy(update={"grants": {name: Grant(**keys) for name, keys in grants.items()}})


def check_grants(state):
    """Every GPU-second of every grant is somewhere, and what jobs hold is what their grants have committed."""
    grants, periods, mine = state.grants, state.grant_periods, state.job_grants
    for index, grant in enumerate(grants):
        listed = walk(int(grant["head"]), mine["next"])
        assert sorted(listed) == np.flatnonzero(mine["holds"] & (mine["grant"] == index)).tolist()
        assert np.isin(state.jobs["state"][listed], [QUEUED, RUNNING]).all()
        held = int(mine["committed"][listed].sum())
        for number in range(grant["first"], grant["last"] + 1):
            row = {name: int(periods[name][number]) for name in periods.dtype.names}
            had = row["granted"] + row["carried_in"]
            gone = sum(row[name] for name in ("spent", "committed", "carried_out", "expired", "withdrawn"))
            left = had - gone
            assert min(value for name, value in row.items() if not name.endswith("_s")) >= 0
            assert left >= 0
            if number > grant["period"]:
                assert had == 0  # it has not begun
            elif number < grant["period"] or grant["is_over"]:
                assert left == 0
            if number == grant["period"]:
                assert row["committed"] == held
            else:
                assert row["committed"] == 0
            if grant["first"] < number <= grant["period"]:
                assert row["carried_in"] == periods["carried_out"][number - 1]
        opened = periods[grant["first"] : max(grant["period"], grant["first"] - 1) + 1]
        assert opened["spent"].sum() <= opened["granted"].sum()
    assert mine["charged"].sum() == periods["spent"].sum()
