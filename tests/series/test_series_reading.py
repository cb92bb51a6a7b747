"""A series is read exactly as it stands, or refused with one sentence that says where and what."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvandal.errors import SeriesError
from kvandal.series import Series, read_series, split_column

START = datetime(2027, 1, 1, tzinfo=UTC)


def read(path, **options):
    return read_series(
        path,
        ("eur_per_mwh",),
        quantity="price",
        unit="EUR/MWh",
        suffix="_eur_per_mwh",
        limits=(-500, 4000),
        **options,
    )


def write(folder, *lines, name="prices.csv"):
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def hourly(count, header="time_utc,eur_per_mwh", step_min=60):
    return [header] + [
        f"{START + timedelta(minutes=step_min * i):%Y-%m-%dT%H:%MZ},{i}.5" for i in range(count)
    ]


@pytest.mark.parametrize(("step_min", "step_s"), [(15, 900), (30, 1800), (60, 3600)])
def test_allowed_steps_are_read(tmp_path, step_min, step_s):
    series = read(write(tmp_path, *hourly(4, step_min=step_min)))

    assert series.step_s == step_s
    assert series.start_utc == START
    assert series.values.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert len(series.sha256) == 64
    assert not series.synthetic
    assert not series.values.flags.writeable


def test_offsets_of_both_clock_changes_are_regular_in_utc(tmp_path):
    """The doubled local hour of October is two hours, the missing one of March is none."""
    path = write(
        tmp_path,
        "time,eur_per_mwh",
        *(
            "2027-10-31T01:00+02:00,1",
            "2027-10-31T02:00+02:00,2",
            "2027-10-31T02:00+01:00,3",
            "2027-10-31T03:00+01:00,4",
        ),
    )
    assert read(path).start_utc == datetime(2027, 10, 30, 23, tzinfo=UTC)
    path = write(
        tmp_path,
        "time,eur_per_mwh",
        "2027-03-28T01:00+01:00,1",
        "2027-03-28T03:00+02:00,2",
        "2027-03-28T04:00+02:00,3",
    )
    assert read(path).values.tolist() == [1, 2, 3]


REFUSED = {
    "local time": (
        ["time_utc,eur_per_mwh", "2027-01-01T00:00,1", "2027-01-01T01:00,1"],
        "line 2",
        "no time zone",
    ),
    "not a time": (["time_utc,eur_per_mwh", "yesterday,1", "2027-01-01T01:00Z,1"], "line 2", "not a time"),
    "gap of one": ([*hourly(3), *hourly(6)[5:]], "line 5", "the row of 2027-01-01 03:00 UTC is missing"),
    "gap": (
        [*hourly(3), *hourly(9)[7:]],
        "line 5",
        "3 rows are missing from 2027-01-01 03:00 UTC to 2027-01-01 05:00 UTC",
    ),
    "doubled hour": ([*hourly(4), *hourly(6)[4:]], "line 6", "2027-01-01 03:00 UTC occurs twice"),
    "unsorted": ([*hourly(4), *hourly(2)[1:]], "line 6", "rows must be in order of time"),
    "irregular": ([*hourly(4), "2027-01-01T04:10Z,1"], "line 6", "4200 s after the row before"),
    "daily": (["time_utc,eur_per_mwh", "2027-01-01Z,1", "2027-01-02Z,1"], "line 2", "not a time"),
    "two hours": (hourly(4, step_min=120), "line 3", "7200 s apart"),
    "five minutes": (hourly(4, step_min=5), "line 3", "allowed are 15, 30 and 60 minutes"),
    "empty cell": ([*hourly(3), "2027-01-01T03:00Z,"], "line 5", "the cell is empty"),
    "empty time": ([*hourly(3), ",4"], "line 5", "the time is empty"),
    "nan": ([*hourly(3), "2027-01-01T03:00Z,nan"], "line 5", "finite number, got nan"),
    "infinity": ([*hourly(3), "2027-01-01T03:00Z,-inf"], "line 5", "finite number, got -inf"),
    "word": ([*hourly(3), "2027-01-01T03:00Z,cheap"], "line 5", "'cheap' is not a number"),
    "underscore": ([*hourly(3), "2027-01-01T03:00Z,1_0"], "line 5", "is not a number"),
    "decimal comma": ([*hourly(3), '2027-01-01T03:00Z,"1,5"'], "line 5", "decimals take a point"),
    "beyond limits": (
        [*hourly(3), "2027-01-01T03:00Z,4001"],
        "line 5",
        "must lie in -500 to 4000 EUR/MWh, got 4001",
    ),
    "one row": (hourly(1), "", "at least 2 rows, got 1"),
    "no rows": (hourly(0), "", "at least 2 rows, got 0"),
    "no value column": (
        hourly(3, "time_utc,price"),
        "",
        "no column eur_per_mwh or a single *_eur_per_mwh; columns are: time_utc, price",
    ),
    "no time column": (hourly(3, "when,eur_per_mwh"), "", "no time column"),
    "semicolons": (["time_utc;eur_per_mwh", "2027-01-01T00:00Z;1"], "line 1", "use commas"),
    "short line": ([*hourly(3), "2027-01-01T03:00Z"], "line 5", "has 1 fields where the header has 2"),
    "doubled column": (["time_utc,eur_per_mwh,eur_per_mwh", "a,1,2"], "line 1", "occurs 2 times"),
    "open quote": ([*hourly(3), '2027-01-01T03:00Z,"4'], "line 5", "not a well-formed CSV"),
    "binary": ([*hourly(3), "\0"], "line 5", "binary"),
    "fraction of a second": ([*hourly(3), "2027-01-01T03:00:00.5Z,1"], "line 5", "whole seconds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_csv_is_refused_by_name_line_and_repair(tmp_path, case):
    lines, line, words = REFUSED[case]
    path = write(tmp_path, *lines)
    with pytest.raises(SeriesError) as caught:
        read(path)

    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_non_utf8_and_empty_and_absent_files_are_refused(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("time_utc,eur_per_mwh\nTromsø,1\n".encode("latin-1"))
    with pytest.raises(SeriesError, match="line 2: not text in UTF-8"):
        read(path)
    path.write_bytes(b"")
    with pytest.raises(SeriesError, match="is empty"):
        read(path)
    with pytest.raises(SeriesError, match="no such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(SeriesError, match=r"a .csv or .parquet file, got '.xlsx'"):
        read(tmp_path / "prices.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(SeriesError, match="is a folder"):
        read(tmp_path / "folder.csv")


def parquet(folder, time, values, column="eur_per_mwh", name="prices.parquet"):
    path = folder / name
    pl.DataFrame({"time_utc": time, column: values}).write_parquet(path)
    return path


def utc_times(count):
    return pl.datetime_range(START, START + timedelta(hours=count - 1), "1h", eager=True)


def test_parquet_is_read_with_any_zone_and_numeric_type(tmp_path):
    times = utc_times(5).dt.convert_time_zone("Europe/Oslo").dt.cast_time_unit("ms")
    series = read(parquet(tmp_path, times, pl.Series([1, 2, 3, 4, 5], dtype=pl.Int16)))

    assert series.start_utc == START
    assert series.values.tolist() == [1, 2, 3, 4, 5]


def test_bad_parquet_is_refused(tmp_path):
    times = utc_times(5)
    with pytest.raises(SeriesError, match="time_utc: has no time zone"):
        read(parquet(tmp_path, times.dt.replace_time_zone(None), [1.0] * 5))
    with pytest.raises(SeriesError, match="not instants"):
        read(parquet(tmp_path, pl.Series([1, 2, 3, 4, 5]), [1.0] * 5))
    with pytest.raises(SeriesError, match=r"row 3, eur_per_mwh: the cell is empty"):
        read(parquet(tmp_path, times, [1.0, 1.0, None, 1.0, 1.0]))
    with pytest.raises(SeriesError, match=r"row 2, eur_per_mwh: must be a finite number"):
        read(parquet(tmp_path, times, [1.0, float("nan"), 1.0, 1.0, 1.0]))
    with pytest.raises(SeriesError, match="not numbers"):
        read(parquet(tmp_path, times, ["1"] * 5))
    with pytest.raises(SeriesError, match=r"row 4, time_utc: the time is empty"):
        read(parquet(tmp_path, pl.concat([times[:3], times[3:4].shift(1), times[4:]]), [1.0] * 5))
    with pytest.raises(SeriesError, match="whole seconds"):
        read(parquet(tmp_path, times + timedelta(milliseconds=1), [1.0] * 5))
    whole = parquet(tmp_path, times, [1.0] * 5)
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(SeriesError, match="not a Parquet file, or cut short"):
        read(whole)


def test_one_of_several_price_columns_must_be_named(tmp_path):
    path = tmp_path / "zones.parquet"
    pl.DataFrame(
        {"time_utc": utc_times(2), "NO3_eur_per_mwh": [1.0, 2.0], "NO4_eur_per_mwh": [3.0, 4.0]}
    ).write_parquet(path)
    with pytest.raises(
        SeriesError, match=r"NO3_eur_per_mwh, NO4_eur_per_mwh; name one as zones.parquet#NO3_eur"
    ):
        read(path)
    file, column = split_column(f"{path}#NO4_eur_per_mwh")
    assert read(file, column=column).values.tolist() == [3.0, 4.0]
    with pytest.raises(SeriesError, match="no value column 'NO9"):
        read(file, column="NO9_eur_per_mwh")
    with pytest.raises(SeriesError, match="no value column 'time_utc'"):
        read(file, column="time_utc")


def test_a_file_whose_name_holds_a_hash_stays_whole(tmp_path):
    path = write(tmp_path, *hourly(3), name="a#b.csv")
    assert split_column(str(path)) == (path, None)
    assert split_column("a\0b#c") == (Path("a\0b"), "c")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["x.csv", "x.parquet"]))
def test_any_bytes_end_in_a_series_error(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SeriesError):
        read(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_parquet_file_is_read_or_refused(tmp_path, position, byte):
    path = parquet(tmp_path, utc_times(50), np.arange(50.0))
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = byte
    path.write_bytes(bytes(raw))
    with contextlib.suppress(SeriesError):
        assert isinstance(read(path), Series)


def test_a_series_knows_its_zone_and_step():
    naive = {"start_utc": datetime(2027, 1, 1), "step_s": 3600}  # noqa: DTZ001
    odd = {"start_utc": START, "step_s": 7}
    for wrong, words in ((naive, "offset"), (odd, "step_s")):
        with pytest.raises(ValueError, match=words):
            Series(
                name="",
                quantity="",
                unit="",
                values=np.zeros(2),
                source="",
                licence="",
                sha256="",
                synthetic=True,
                **wrong,
            )
