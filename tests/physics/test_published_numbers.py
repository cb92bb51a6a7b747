"""Published figures and examples worked by hand, to the last printed digit."""

import pytest

from kvandal.physics.capacity import power_budget, racks_for
from kvandal.physics.electrical import it_path_efficiency
from kvandal.physics.heat_pump import KELVIN, lorenz_cop
from kvandal.physics.reliability import daly_interval_s, expected_time_ratio, young_interval_s

PUES = (1.06, 1.08, 1.10, 1.15)
FLEETS = [
    # rack kW, network kW per GPU, IT MW, site MW at each PUE, highest PUE as printed
    (120, 0.15, 181.7, (192.6, 196.2, 199.8, 208.9), "1.27"),
    (132, 0.15, 198.3, (210.2, 214.2, 218.2, 228.1), "1.16"),
    (140, 0.15, 209.5, (222.0, 226.2, 230.4, 240.9), "1.098"),
    (142, 0.15, 212.2, (225.0, 229.2, 233.5, 244.1), "1.084"),
    (142, 0.25, 222.2, (235.6, 240.0, 244.5, 255.6), "1.035"),
]


@pytest.mark.parametrize(("rack_kw", "net_kw", "it_mw", "site_mw", "highest_pue"), FLEETS)
def test_do_100000_gpus_fit_in_230_mw(rack_kw, net_kw, it_mw, site_mw, highest_pue):
    """The table of the power budget is reproduced cell by cell, and says "no" where the table does."""
    for pue, printed_mw in zip(PUES, site_mw, strict=True):
        budget = power_budget(100_000, rack_kw, net_kw, pue, 230)

        assert round(budget.it_power_mw, 1) == it_mw
        assert budget.site_power_mw == pytest.approx(printed_mw, abs=0.0501)
        assert budget.fits == (printed_mw <= 230)
        assert budget.headroom_mw == pytest.approx(230 - budget.site_power_mw)
        assert budget.maximum_pue == pytest.approx(float(highest_pue), abs=0.51 * 10 ** -len(highest_pue[2:]))


def test_largest_fleet_behind_230_mw():
    """105,400, 98,500 and 90,000 GPUs are the most at 132 kW, at 142 kW, and in the pessimistic case."""
    cases = [(132, 0.15, 1.10, 105_400), (142, 0.15, 1.10, 98_500), (142, 0.25, 1.15, 90_000)]
    for rack_kw, net_kw, pue, most in cases:
        assert power_budget(100_000, rack_kw, net_kw, pue, 230).maximum_gpus == pytest.approx(most, rel=0.003)
    assert racks_for(100_000) == 1389
    assert racks_for(72) == 1
    assert racks_for(73) == 2


@pytest.mark.parametrize(("hours", "minutes"), [(24, 116.69), (6, 56.71), (0.25, 9.14)])
def test_daly_own_figures(hours, minutes):
    """Five minutes a dump: 117, 57 and 9.1 minutes between dumps for M of 24 h, 6 h and 15 min."""
    assert round(daly_interval_s(300.0, hours * 3600.0) / 60, 2) == minutes


def test_checkpoints_that_take_longer_than_twice_the_mean_time_to_interrupt():
    """Beyond its range Daly's rule is M itself; a dump that costs nothing is written all the time."""
    assert daly_interval_s(500.0, 250.0) == 250.0
    assert daly_interval_s(0.0, 250.0) == 0.0
    assert young_interval_s(0.0, 250.0) == 0.0


@pytest.mark.parametrize(
    ("gpus", "mtbf_h", "minutes", "ratio"),
    [
        (1024, 49.5, 54, 0.98),
        (4096, 12.4, 27, 0.96),
        (16_384, 3.09, 14, 0.90),
        (32_768, 1.55, 10, 0.84),
        (100_000, 0.51, 5.5, 0.65),
    ],
)
def test_effective_training_time_of_large_jobs(gpus, mtbf_h, minutes, ratio):
    """MTBF, interval and ETTR of synchronous jobs of 1,024 to 100,000 GPUs, within rounding of the table."""
    mean_s = 50_700 / gpus * 3600
    interval_s = young_interval_s(30.0, mean_s)

    assert mean_s / 3600 == pytest.approx(mtbf_h, rel=0.01)
    assert interval_s / 60 == pytest.approx(minutes, rel=0.05)
    assert expected_time_ratio(30.0, interval_s, 300.0, mean_s) == pytest.approx(ratio, abs=0.011)


def test_spares_and_fast_restarts_rescue_a_job_of_100000():
    """Five seconds a dump and two minutes a restart lift ETTR from 0.65 to about 0.86."""
    mean_s = 50_700 / 100_000 * 3600

    assert expected_time_ratio(5.0, young_interval_s(5.0, mean_s), 120.0, mean_s) == pytest.approx(
        0.86, abs=0.011
    )


@pytest.mark.parametrize(
    ("source", "sink", "cop"),
    [
        ((45, 37), (45, 65), 11.8),
        ((45, 37), (50, 75), 7.9),
        ((45, 37), (60, 90), 5.2),
        ((35, 27), (50, 75), 5.4),
    ],
)
def test_heat_pump_examples(source, sink, cop):
    """Lorenz efficiency 0.5 gives the worked coefficients; a real machine stops at 8."""
    assert lorenz_cop(*source, *sink, 0.5, 99.0) == pytest.approx(cop, abs=0.06)
    assert lorenz_cop(*source, *sink, 0.5, 8.0) == pytest.approx(min(8.0, cop), abs=0.06)


def test_mantsala_by_carnot():
    """The machine of Mäntsälä (40 to 85 °C, COP 3.4) runs at 0.43 of Carnot."""
    carnot = (85 + KELVIN) / (85 - 40)

    assert carnot == pytest.approx(7.96, abs=0.01)
    assert 0.43 * carnot == pytest.approx(3.4, abs=0.05)
    assert lorenz_cop(40.0, 40.0, 85.0, 85.0, 0.43, 8.0) == pytest.approx(3.4, abs=0.05)


def test_a_heat_pump_is_never_worse_than_a_heater():
    """However poor the machine, a kilowatt of electricity gives a kilowatt of heat."""
    assert lorenz_cop(10.0, 5.0, 60.0, 90.0, 0.01, 8.0) == 1.0


@pytest.mark.parametrize(("ups", "percent"), [(1.0, 1.9), (0.989, 3.1), (0.967, 5.4)])
def test_electrical_overhead(ups, percent):
    """1.9 % without UPS, 3.1 % with eco mode, 5.4 % with double conversion."""
    assert round((1 / it_path_efficiency(0.996, 0.992, ups, 0.993) - 1) * 100, 1) == percent
