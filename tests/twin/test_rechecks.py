"""A reservation that is looked at afresh: racks that fall free sooner than expected are used, whether or not anything else happens."""

from small_sites import BATCH, TRAINING, play, small_site, tenant, times

LAB = 0
HOUR_S = 3600
RECHECK_S = 300


def test_a_job_does_not_sit_out_its_reservation_beside_an_idle_rack():
    """One tray of each rack is free, the job needs two: of the racks busy until ten and twenty hours the latter is free after one."""
    site = small_site({"lab": tenant("firm", 1.0)}, racks=2, days=2, tick_s=3600)
    batch = site.demand["batch"].model_copy(update={"time_limit_h": 20.0})
    training = site.demand["training"].model_copy(update={"time_limit_h": 10.0, "checkpoint": False})
    site = site.model_copy(update={"demand": site.demand | {"batch": batch, "training": training}})
    run = play(
        site,
        (0, 68, 10 * HOUR_S, LAB, TRAINING),
        (0, 68, HOUR_S, LAB, BATCH),
        (HOUR_S - 100, 8, HOUR_S, LAB, TRAINING),
    )
    assert times(run, "end_s")[1] == HOUR_S
    assert HOUR_S <= times(run, "first_start_s")[2] <= HOUR_S + RECHECK_S
