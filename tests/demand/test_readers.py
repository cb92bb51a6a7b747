"""Every row of a file is a job of the trace or is counted, by reason."""

from datetime import UTC, datetime, timedelta, timezone
from importlib import resources

import numpy as np
import polars as pl
import pytest

from kvandal.demand.readers import LINGJUN_ZERO_RUN_S, read_trace

SWF = """\
; Version: 2.2
; UnixStartTime: 1798761600
; MaxProcs: 512
1  100 5 3600 8 -1 -1 16 7200 -1 1 3 1 -1 1 -1 -1 -1
2  160 0 60   4 -1 -1 -1 -1  -1 1 3 1 -1 1 -1 -1 -1
3  130 0 0    4 -1 -1 4  -1  -1 0 3 1 -1 1 -1 -1 -1
4  170 0 -1   4 -1 -1 4  -1  -1 5 3 1 -1 1 -1 -1 -1
5  180 0 30  -1 -1 -1 -1 -1  -1 1 3 1 -1 1 -1 -1 -1
6  190 0 30
7  120 0 90   0 -1 -1 0  -1  -1 1 3 1 -1 1 -1 -1 -1
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def accounts_for_every_row(trace):
    return trace.rows_read == len(trace) + sum(trace.refused.values())


def test_philly_holds_all_its_rows_but_the_ten_without_run_time():
    trace = read_trace("philly")

    assert trace.rows_read == 111_549
    assert len(trace) == 111_539
    assert trace.refused == {"run time is zero": 10}
    assert trace.repaired == {}
    assert trace.licence == "CC-BY-4.0"
    assert 1166 < trace.gpu_s / trace.span_s < 1167
    assert int(trace.gpus.max()) == 128


def test_lingjun_takes_zero_minutes_as_half_a_minute():
    trace = read_trace("lingjun")

    assert (trace.rows_read, len(trace), trace.refused) == (2498, 2498, {})
    assert list(trace.repaired.values()) == [241]
    assert int((trace.run_s == LINGJUN_ZERO_RUN_S).sum()) == 241
    assert int(trace.gpus.max()) == 744
    assert trace.licence == "Apache-2.0"


def test_swf_prefers_requested_processors_and_counts_what_it_cannot_use(tmp_path):
    trace = read_trace(write(tmp_path, "site.swf", SWF))

    assert trace.submit_s.tolist() == [0, 60]
    assert trace.run_s.tolist() == [3600, 60]
    assert trace.gpus.tolist() == [16, 4]
    assert trace.refused == {
        "not 18 fields": 1,
        "run time is missing": 1,
        "run time is zero": 1,
        "GPU count is missing": 1,
        "GPU count is zero": 1,
    }
    assert trace.start_utc == datetime(2027, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert accounts_for_every_row(trace)


def test_swf_is_known_by_its_content(tmp_path):
    by_comment = read_trace(write(tmp_path, "a.txt", SWF))
    by_fields = read_trace(write(tmp_path, "b.log", "".join(SWF.splitlines(keepends=True)[3:])))

    assert by_comment.gpus.tolist() == by_fields.gpus.tolist() == [16, 4]
    assert by_fields.start_utc is None


def test_csv_golden(tmp_path):
    trace = read_trace(
        write(
            tmp_path, "mine.csv", "\ufeffgpus, submit_s,run_s,note\n8,20,60.4,x\n 1 ,10,0.2,\n64,30,7200,\n"
        )
    )

    assert trace.submit_s.tolist() == [0, 10, 20]
    assert trace.run_s.tolist() == [1, 60, 7200]
    assert trace.gpus.tolist() == [1, 8, 64]
    assert trace.repaired == {"run time under half a second raised to 1 s": 1}
    assert trace.notes == (
        "columns not used: note",
        "times are counted from the first submission, at 10 s in the file",
    )
    assert trace.start_utc is None
    assert trace.licence == "not stated"


def test_bad_rows_are_counted_by_reason(tmp_path):
    bad = {
        "-1,60,8": "submission time is negative",
        ",60,8": "submission time is missing",
        "noon,60,8": "submission time is not a number",
        "1700000000000,60,8": "submission time is not in seconds (above 100,000,000,000)",
        "5,-60,8": "run time is negative",
        "5,0,8": "run time is zero",
        "5,,8": "run time is missing",
        "5,nan,8": "run time is not a number",
        "5,inf,8": "run time is infinite",
        "5,1e400,8": "run time is infinite",
        "5,400000000,8": "run time is above ten years",
        "5,60,8.5": "GPU count is not a whole number",
        "5,60,0": "GPU count is zero",
        "5,60,-8": "GPU count is negative",
        "5,60,": "GPU count is missing",
        "5,60,eight": "GPU count is not a number",
        "5,60,6000000": "GPU count is above 5,000,000",
        "5,60": "wrong number of fields",
        "5,60,8,9": "wrong number of fields",
    }
    trace = read_trace(
        write(tmp_path, "bad.csv", "submit_s,run_s,gpus\n" + "\n".join([*bad, "5,60,8"]) + "\n")
    )

    expected: dict[str, int] = {}
    for reason in bad.values():
        expected[reason] = expected.get(reason, 0) + 1
    assert trace.refused == expected
    assert len(trace) == 1
    assert trace.rows_read == len(bad) + 1
    assert accounts_for_every_row(trace)


def test_first_refused_row_is_shown(tmp_path):
    trace = read_trace(write(tmp_path, "t.csv", "submit_s,run_s,gpus\n0,60,8\n\n5,0,8\n6,0,8\n"))

    assert trace.notes == ("first refused: line 4: run time is zero (run_s = '0')",)


def test_absolute_times_need_a_zone(tmp_path):
    text = "submit_utc,run_s,gpus\n2027-03-28T01:00:00+01:00,60,8\n2027-03-28T00:30:00Z,60,4\n2027-03-28T00:30:00,60,2\nmonday,60,2\n,60,2\n"
    trace = read_trace(write(tmp_path, "utc.csv", text))

    assert trace.submit_s.tolist() == [0, 1800]
    assert trace.gpus.tolist() == [8, 4]
    assert trace.start_utc == datetime(2027, 3, 28, tzinfo=UTC)
    assert trace.refused == {
        "submission time is missing": 1,
        "submission time has no zone (write 2027-01-01T00:00:00Z)": 1,
        "submission time is not a time": 1,
    }


def test_tenants_are_kept_beside_their_jobs(tmp_path):
    trace = read_trace(
        write(tmp_path, "t.csv", "submit_s,run_s,gpus,tenant\n9,60,1,b\n1,60,2,a\n2,0,3,c\n5,60,4,\n")
    )

    assert trace.gpus.tolist() == [2, 4, 1]
    assert [trace.tenants[code] if code >= 0 else None for code in trace.tenant] == ["a", None, "b"]


@pytest.mark.parametrize("types", [pl.Int64, pl.Float64, pl.String, pl.UInt16])
def test_parquet_of_any_number_type(tmp_path, types):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"submit_s": [10, 0, None], "run_s": [60, 120, 60], "gpus": [8, 1, 2]}).cast(
        types
    ).write_parquet(path)
    trace = read_trace(path)

    assert trace.submit_s.tolist() == [0, 10]
    assert trace.run_s.tolist() == [120, 60]
    assert trace.gpus.tolist() == [1, 8]
    assert trace.refused == {"submission time is missing": 1}


def test_parquet_with_zoned_times(tmp_path):
    path = tmp_path / "t.bin"
    zone = timezone(timedelta(hours=2))
    times = [datetime(2027, 7, 1, 14, tzinfo=zone), datetime(2027, 7, 1, 13, tzinfo=zone)]
    pl.DataFrame({"submit_utc": times, "run_s": [1, 2], "gpus": [3, 4]}).write_parquet(path)
    trace = read_trace(path)

    assert trace.submit_s.tolist() == [0, 3600]
    assert trace.gpus.tolist() == [4, 3]
    assert trace.start_utc == datetime(2027, 7, 1, 11, tzinfo=UTC)


def test_parquet_and_csv_of_one_table_agree(tmp_path):
    rng = np.random.default_rng(4)
    frame = pl.DataFrame(
        {
            "submit_s": rng.integers(0, 9999, 50),
            "run_s": rng.integers(0, 99, 50),
            "gpus": rng.integers(0, 9, 50),
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    first, second = read_trace(tmp_path / "t.csv"), read_trace(tmp_path / "t.parquet")

    assert first.refused == second.refused
    assert first.refused
    for column in ("submit_s", "run_s", "gpus"):
        assert getattr(first, column).tolist() == getattr(second, column).tolist()


@pytest.mark.shared_data
def test_shipped_traces_are_the_originals_byte_for_byte(shared_data):
    shipped = resources.files("kvandal.demand").joinpath("traces")
    originals = {
        "philly_2017.parquet": "philly_2017_full_no_vc.parquet",
        "lingjun_2023.parquet": "alibaba_lingjun_2023_crux.parquet",
    }
    for ours, theirs in originals.items():
        assert shipped.joinpath(ours).read_bytes() == (shared_data / "jobs" / theirs).read_bytes()


@pytest.mark.shared_data
def test_other_cut_of_philly_is_read_by_its_own_column_names(shared_data):
    trace = read_trace(shared_data / "jobs" / "philly_2017_with_vc.parquet")
    frame = pl.read_parquet(shared_data / "jobs" / "philly_2017_with_vc.parquet")

    assert (trace.rows_read, trace.refused) == (82_247, {})
    # run times are rounded to whole seconds, so GPU-seconds agree to well under a thousandth
    assert trace.gpu_s == pytest.approx(frame["gpu_seconds"].sum(), rel=1e-5)
