"""Weather: the shipped year moved to Narvik's normals, own CSV and EPW files, wet bulb where humidity is known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kvandal.climate import load_weather, narvik_normals_c, normal_year, wet_bulb_c
from kvandal.errors import SeriesError
from kvandal.scenario.plant import Climate
from kvandal.series.months import month_index

START = datetime(2027, 1, 1, tzinfo=UTC)


def month_of(start, hours):
    return month_index(int(start.timestamp()) + 3600 * np.arange(hours, dtype=np.int64))


def test_shipped_year_has_narviks_monthly_means():
    """Each month of the normal year meets its normal to 0.01 K (asked); here to rounding."""
    start, temp_c = normal_year()
    month = month_of(start, 8760)

    assert temp_c.shape == (8760,)
    assert [temp_c[month == m].mean() for m in range(12)] == pytest.approx(
        narvik_normals_c().tolist(), abs=1e-6
    )


def test_shift_is_continuous_and_small_and_keeps_the_weather():
    """No step at a border of months: the shift changes by at most 0.02 K from hour to hour."""
    as_is = load_weather(Climate(shift_to="none"), START, 365)
    moved = load_weather(Climate(), START, 365)
    shift_k = moved.temp_c - as_is.temp_c

    assert np.abs(np.diff(shift_k)).max() < 0.02
    assert np.abs(shift_k).max() < 8  # mid-December: the December of 2021 was 5.7 K colder than the normal
    assert as_is.temp_c.min() == pytest.approx(-17.6)
    assert as_is.temp_c.max() == pytest.approx(25.05)


def test_name_rule_and_provenance_say_what_was_done():
    weather = load_weather(Climate(), START, 7)

    assert weather.name == "Tromsø 2021 ERA5, shifted to Narvik monthly normals"
    assert weather.rule.startswith("shifted to the monthly normals of Narvik; repeated by calendar")
    assert weather.temp_c.shape == (7 * 24 + 1,)
    assert weather.wet_bulb_c is None
    assert weather.relative_humidity_pct is None
    assert any("humidity is not known" in note for note in weather.series.notes)
    assert any("variance and extremes are not shifted" in note for note in weather.series.notes)
    assert "CC-BY-4.0" in weather.series.licence
    assert "/" not in weather.series.source
    assert load_weather(Climate(shift_to="none"), START, 7).name == "Tromsø 2021 ERA5"


def test_a_run_is_the_beginning_of_a_longer_one_over_leap_years():
    long = load_weather(Climate(), START, 3 * 365).temp_c
    short = load_weather(Climate(), START, 400).temp_c
    assert short.tolist() == long[: 400 * 24 + 1].tolist()


def test_refuse_at_the_end_of_the_shipped_year():
    inside = load_weather(Climate(at_end="refuse"), datetime(2021, 1, 1, tzinfo=UTC), 364)
    assert "inside the series" in inside.rule
    with pytest.raises(SeriesError, match="the run lasts from 2027-01-01"):
        load_weather(Climate(at_end="refuse"), START, 1)


def test_unknown_weather_names_the_choices():
    with pytest.raises(SeriesError, match=r"climate.weather: no such weather; give 'tromso-2021-era5'"):
        load_weather(Climate(weather="bodo"), START, 1)


# --- wet bulb ---


def test_stulls_own_example():
    """20 °C and 50 % give 13.7 °C (Stull 2011)."""
    assert wet_bulb_c(np.array([20.0]), np.array([50.0]))[0] == pytest.approx(13.7, abs=0.01)


@given(
    arrays(np.float64, 20, elements=st.floats(-60, 60)), arrays(np.float64, 20, elements=st.floats(0, 100))
)
def test_law_wet_bulb_never_exceeds_air_and_stays_near(temp_c, humidity_pct):
    wet = wet_bulb_c(temp_c, humidity_pct)
    assert (wet <= temp_c).all()
    assert (wet > temp_c - 36).all()
    assert np.isfinite(wet).all()


@pytest.mark.shared_data
def test_real_humidity_of_london(shared_data):
    """The wet bulb equals the one that stands in the file, computed elsewhere by the same formula."""
    path = shared_data / "weather/london_2020-2023.parquet"
    frame = pl.read_parquet(path)
    weather = load_weather(
        Climate(weather=str(path), shift_to="none", at_end="refuse"), datetime(2020, 1, 1, tzinfo=UTC), 1461
    )

    assert weather.wet_bulb_c is not None
    assert np.abs(weather.wet_bulb_c[:-1] - frame["wetbulb_c_stull"].to_numpy()).max() < 0.02
    moved = load_weather(Climate(weather=str(path)), START, 365)
    assert "shifted to Narvik" in moved.name
    assert any("humidity is not shifted" in note for note in moved.series.notes)


@pytest.mark.shared_data
def test_shipped_file_equals_its_source(shared_data):
    source = pl.read_parquet(shared_data / "weather/tromso_2021_era5.parquet")["temp_c"].to_numpy()
    shipped = load_weather(Climate(shift_to="none"), datetime(2020, 12, 31, 23, tzinfo=UTC), 365)
    assert shipped.temp_c[:-1].tolist() == source.astype(np.float64).tolist()


# --- own CSV ---


def test_own_csv_with_humidity(tmp_path):
    path = tmp_path / "site.csv"
    rows = [f"{START + timedelta(hours=h):%Y-%m-%dT%H:%MZ},{10 + h / 10},{50 + h}" for h in range(25)]
    path.write_text("time_utc,temp_c,relative_humidity_pct\n" + "\n".join(rows))
    weather = load_weather(Climate(weather=str(path), shift_to="none", at_end="refuse"), START, 1)

    assert weather.name == "site.csv"
    assert weather.temp_c[[0, 24]].tolist() == [10.0, 12.4]
    assert weather.relative_humidity_pct is not None
    assert weather.relative_humidity_pct[24] == 74
    with pytest.raises(
        SeriesError, match=r"cover a whole year \(8760 h\): use a longer series or set climate.shift_to"
    ):
        load_weather(Climate(weather=str(path)), START, 1)


def test_fahrenheit_or_kelvin_is_refused(tmp_path):
    path = tmp_path / "site.csv"
    path.write_text("time_utc,temp_c\n2027-01-01T00:00Z,280.2\n2027-01-01T01:00Z,280.4\n")
    with pytest.raises(
        SeriesError, match=r"line 2, temp_c: air temperature must lie in -90 to 70 degC, got 280.2"
    ):
        load_weather(Climate(weather=str(path)), START, 1)


# --- EPW ---


def epw_lines(hours=8760, zone=1.0, years=(2019,), humidity=80, start=datetime(2001, 1, 1)):  # noqa: DTZ001
    lines = [f"LOCATION,Narvik,Nordland,NOR,test,011520,68.47,17.50,{zone},32.0", *["X"] * 7]
    for hour in range(hours):
        moment = start + timedelta(hours=hour)
        year = years[moment.month % len(years)]
        fields = [
            year,
            moment.month,
            moment.day,
            moment.hour + 1,
            0,
            "?9",
            round(hour / 1000, 3),
            1.0,
            humidity,
            101325,
        ]
        lines.append(",".join(map(str, fields + [0] * 25)))
    return lines


def epw(folder, lines, encoding="utf-8"):
    path = folder / "narvik.epw"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def test_epw_hour_one_is_one_oclock_local_standard_time(tmp_path):
    """In zone +1, hour 1 of 1 January is 00:00 UTC."""
    path = epw(tmp_path, epw_lines())
    weather = load_weather(
        Climate(weather=str(path), shift_to="none", at_end="refuse"), datetime(2019, 1, 1, tzinfo=UTC), 365
    )

    assert weather.name == "Narvik (narvik.epw)"
    assert weather.temp_c[:3].tolist() == [0.0, 0.001, 0.002]
    assert weather.wet_bulb_c is not None
    assert (weather.wet_bulb_c < weather.temp_c).all()


def test_epw_of_a_typical_year_is_repeated_by_calendar(tmp_path):
    path = epw(tmp_path, epw_lines(years=(2005, 2011, 2017)))
    weather = load_weather(Climate(weather=str(path)), START, 400)
    assert any("a typical year: its months come from 2005-2017" in note for note in weather.series.notes)
    assert weather.temp_c.shape == (9601,)


def test_epw_leap_year_zone_by_the_half_hour_and_latin_place(tmp_path):
    lines = epw_lines(hours=8784, zone=5.5, years=(2020,), humidity=999, start=datetime(2020, 1, 1))  # noqa: DTZ001
    lines[0] = lines[0].replace("Narvik", "Tromsø")
    weather = load_weather(Climate(weather=str(epw(tmp_path, lines, "latin-1")), shift_to="none"), START, 366)

    assert weather.name.startswith("Tromsø")
    assert weather.wet_bulb_c is None
    assert any("no relative humidity" in note for note in weather.series.notes)


def changed(lines, number, position, text):
    fields = lines[number - 1].split(",")
    fields[position] = text
    return [*lines[: number - 1], ",".join(fields), *lines[number:]]


EPW_REFUSED = {
    "missing temperature": (lambda x: changed(x, 12, 6, "99.9"), r"line 12: dry bulb \(field 7\) is missing"),
    "impossible temperature": (lambda x: changed(x, 12, 6, "-95"), "line 12: dry bulb .* must lie in"),
    "word": (lambda x: changed(x, 12, 6, "cold"), "line 12: dry bulb .* must be a number, got 'cold'"),
    "missing humidity": (lambda x: changed(x, 13, 8, "999"), "line 13: relative humidity"),
    "hour 0": (lambda x: changed(x, 9, 3, "0"), "line 9: month, day and hour must lie in"),
    "hour left out": (
        lambda x: x[:20] + x[21:],
        "line 21: month 1, day 1, hour 14 does not follow .* expected hour 13",
    ),
    "hour doubled": (lambda x: x[:20] + x[19:], "line 21: .* does not follow"),
    "34 fields": (
        lambda x: [*x[:9], x[9].rsplit(",", 1)[0], *x[10:]],
        "line 10: an hour has 35 fields, got 34",
    ),
    "no hours": (lambda x: x[:8], "holds 0 hours"),
    "no location": (lambda x: x[1:], "line 1: an EPW file begins with"),
    "short location": (lambda x: ["LOCATION,Narvik", *x[1:]], "line 1: LOCATION has 10 fields, got 2"),
    "zone": (lambda x: changed(x, 1, 8, "25"), "line 1: the time zone must be hours from -12 to 14, got 25"),
    "year": (lambda x: changed(x, 9, 0, "two"), "line 9: the year must be a whole number, got 'two'"),
    "30 February": (lambda x: changed(changed(x, 9, 1, "2"), 9, 2, "30"), "line 9: month 2 has no day 30"),
}


@pytest.mark.parametrize("case", EPW_REFUSED)
def test_bad_epw_names_the_line(tmp_path, case):
    change, words = EPW_REFUSED[case]
    path = epw(tmp_path, change(epw_lines(hours=48)))
    with pytest.raises(SeriesError, match=words):
        load_weather(Climate(weather=str(path), shift_to="none"), START, 1)


def test_epw_of_the_year_zero_is_refused(tmp_path):
    with pytest.raises(SeriesError, match="year must lie in 1900-2200"):
        load_weather(Climate(weather=str(epw(tmp_path, epw_lines(hours=48, years=(0,))))), START, 1)


@given(st.binary(max_size=300))
def test_any_bytes_as_epw_end_in_a_series_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("epw") / "x.epw"
    path.write_bytes(b"LOCATION," + content)
    with pytest.raises(SeriesError):
        load_weather(Climate(weather=str(path)), START, 1)
