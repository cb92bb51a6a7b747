"""Stories told to the second: the golden log of a day, and waits that are known beforehand."""

from small_sites import BATCH, INFERENCE, TRAINING, failing, play, small_site, tenant, times

from kvandal.twin.account import CAP_COLUMN
from kvandal.twin.records import EVENTS, LOAN, LOAN_REASONS, REFUSED

DELIVERY_S = 31 * 86_400
OWNER, LAB, UK = range(3)


def log(run, zero_s=0):
    """Everything that happened, as (time, sentence), from the raw records."""
    state, lines = run.state, []
    for row in state.loans[: state.tally["loans"][0]].tolist():
        loan = dict(zip(LOAN.names, row, strict=True))
        job, lender = loan["job"], [*run.scenario.tenants, "pool"][loan["lender"]]
        lines.append((loan["start_s"], 2, f"{lender} lends {loan['gpus']} GPUs to job {job}"))
        if loan["noticed_s"] >= 0:
            lines.append((loan["noticed_s"], 0, f"job {job} has notice until {loan['deadline_s'] - zero_s}"))
        if loan["returned_s"] >= 0:
            lines.append((loan["returned_s"], 1, f"loan of job {job}: {LOAN_REASONS[loan['reason']]}"))
    for event in state.events[: state.tally["events"][0]]:
        kind = EVENTS[event["kind"]]
        if kind in {"delivery", "failure", "repair"}:
            lines.append((int(event["time_s"]), 0, f"{kind} in rack {event['rack']}"))
    for job, row in enumerate(state.jobs):
        if row["first_start_s"] >= 0:
            lines.append((int(row["first_start_s"]), 3, f"job {job} starts"))
        if row["end_s"] >= 0:
            lines.append((int(row["end_s"]), 0, f"job {job} ends"))
        if row["state"] == REFUSED:
            lines.append((int(row["submit_s"]), 0, f"job {job} is refused"))
    return [(time_s - zero_s, line) for time_s, _, line in sorted(lines)]


def test_the_day_of_a_delivery():
    """Loans, a recall with notice, a delivery, a failure and its repair, a transfer and two refusals, in their order."""
    who = {"owner": tenant("firm", 0.5), "lab": tenant("assured", 0.25), "uk": tenant("lent", notice_s=120)}
    site = small_site(
        who, racks=3, days=32, tick_s=3600, build_out=((0, 144), (1, 72)), checkpoint_s=30, restart_s=300,
        tray_repair_h=2.0, gpu_h_per_interruption=50_700,
    )  # fmt: skip
    run = play(
        site,
        (DELIVERY_S - 7200, 64, 40_000, UK, TRAINING),
        (DELIVERY_S - 7000, 36, 40_000, UK, TRAINING),
        (DELIVERY_S - 3600, 72, 5000, OWNER, TRAINING),
        (DELIVERY_S + 10_000, 300, 60, OWNER, TRAINING),
        (DELIVERY_S + 20_000, 30, 3600, LAB, BATCH),
        (DELIVERY_S + 30_000, 216, 100, UK, BATCH),
        failures=failing((DELIVERY_S + 12_345, 112)),
    )

    assert log(run, DELIVERY_S) == [
        (-7200, "owner lends 64 GPUs to job 0"),
        (-7200, "job 0 starts"),
        (-7000, "lab lends 36 GPUs to job 1"),
        (-7000, "job 1 starts"),
        (-3600, "job 1 has notice until -3480"),
        (-3600, "loan of job 0: transferred"),
        (-3600, "lab lends 36 GPUs to job 0"),
        (-3600, "pool lends 28 GPUs to job 0"),
        (-3480, "loan of job 1: recalled"),
        (-3480, "job 2 starts"),
        (0, "delivery in rack 2"),
        (0, "owner lends 36 GPUs to job 1"),
        (1520, "job 2 ends"),
        (10_000, "job 3 is refused"),
        (12_345, "failure in rack 1"),
        (12_345, "loan of job 0: failure"),
        (12_345, "loan of job 0: failure"),
        (12_345, "owner lends 64 GPUs to job 0"),
        (19_545, "repair in rack 1"),
        (20_000, "job 4 starts"),
        (23_600, "job 4 ends"),
        (30_000, "job 5 is refused"),
        (36_870, "job 1 ends"),
        (36_870, "loan of job 1: finished"),
        (39_644, "job 0 ends"),
        (39_644, "loan of job 0: finished"),
    ]
    # job 0: after 19,545 s the tray fails; 13,061 s and the checkpoint of 30 s stand, the rest is lost; then 300 s of
    # restart, 26,939 s of work and two more checkpoints
    assert run.state.lost_gpu_s[:, 0].tolist() == [64 * 6454, 0, 0, 64 * 3 * 30, 64 * 300, 0]
    assert times(run, "useful_gpu_s")[0] == 64 * 40_000


def test_known_waits():
    """Mistake "waits that mean nothing": three jobs of one rack queue behind each other, the fourth finds room beside."""
    rows = [
        (100, 72, 1000, 0, BATCH),
        (200, 72, 1000, 0, BATCH),
        (300, 40, 500, 0, BATCH),
        (400, 32, 500, 0, BATCH),
    ]
    run = play(small_site({"a": tenant("firm", 1.0)}), *rows)

    assert times(run, "first_start_s") == [100, 1100, 2100, 2100]
    assert times(run, "end_s") == [1100, 2100, 2600, 2600]


def test_nobody_is_recalled_for_a_claim_that_could_not_be_placed():
    """Rule R2: the owner's tray-sized jobs leave no whole rack, so the borrower beside them stays."""
    who = {"owner": tenant("firm", 1.0), "uk": tenant("lent", notice_s=60)}
    rows = [
        (0, 4, 80_000, 0, INFERENCE),
        (1, 20, 80_000, 1, BATCH),
        (2, 68, 100, 0, BATCH),
        (3, 72, 10, 0, BATCH),
    ]
    run = play(small_site(who, segment_trays=18), rows[0], rows[1], rows[3])
    assert times(run, "recalls") == [0, 0, 0]
    run = play(small_site(who), *rows[:3])
    assert times(run, "recalls") == [0, 1, 0]
    assert times(run, "first_start_s")[2] == 62


def test_without_recall_owners_wait_for_borrowers():
    """With recall switched off a loan runs to its end and the owner starts then."""
    who = {"owner": tenant("firm", 1.0), "uk": tenant("lent")}
    run = play(small_site(who, recall=False), (0, 72, 5000, 1, BATCH), (10, 72, 10, 0, BATCH))

    assert times(run, "first_start_s") == [0, 5000]
    assert times(run, "recalls") == [0, 0]


def test_one_notice_serves_a_whole_queue():
    """Mistake "quota holds for hours": nine claims of one queue recall at once, not one after the other."""
    who = {"owner": tenant("firm", 1.0), "uk": tenant("lent", notice_s=600)}
    run = play(small_site(who), *[(0, 8, 50_000, 1, BATCH)] * 9, *[(50, 8, 100, 0, INFERENCE)] * 9)

    assert times(run, "first_start_s")[9:] == [650] * 9
    assert times(run, "recalls")[:9] == [1] * 9


def test_a_loan_is_never_the_lenders_own_use():
    """Mistake "a borrowed job counts as the lender's own use": the lender still starts its full share."""
    who = {"owner": tenant("firm", 0.5, 0, 0.5), "uk": tenant("lent", notice_s=0)}
    rows = [(0, 72, 50_000, 1, BATCH), (0, 72, 50_000, 1, BATCH), (10, 72, 100, 0, BATCH)]
    run = play(small_site(who, racks=2), *rows)

    assert times(run, "first_start_s")[2] == 10
    assert times(run, "recalls") in ([1, 0, 0], [0, 1, 0])


def test_power_is_capped_before_anybody_is_recalled_and_returns_when_there_is_room():
    """Rule E1: lent work slows down so that the owner can start; afterwards it runs at full speed again."""
    who = {"owner": tenant("firm", 0.5), "uk": tenant("lent")}
    rows = [(0, 144, 20_000, 1, BATCH), (3600, 144, 3600, 0, BATCH)]
    run = play(small_site(who, racks=6, grid_mw=0.58), *rows)
    caps = run.outputs.tick_real[:, CAP_COLUMN + 2]

    assert times(run, "recalls") == [0, 0]
    assert times(run, "sheds") == [0, 0]
    assert 3600 <= times(run, "first_start_s")[1] <= 3660
    assert caps[:60].min() == 1.0
    assert caps[62:110].max() < 1.0
    assert caps[125:].min() == 1.0
    assert times(run, "end_s")[0] > 20_000
    assert run.state.lost_gpu_s[2, 0] > 0
