"""A file that cannot be used ends in one sentence that names it, says what is wrong and what would be right."""

import gzip
import io
import re

import polars as pl
import pytest

from kvandal.demand.readers import read_trace
from kvandal.errors import TraceError

HEADER = "submit_s,run_s,gpus\n"


def parquet_bytes(frame):
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


GOOD_PARQUET = parquet_bytes(pl.DataFrame({"submit_s": range(500), "run_s": [60] * 500, "gpus": [8] * 500}))

BAD = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n\n", "is empty"),
    "header.csv": (HEADER.encode(), "holds no jobs; each row is a job: submit_s is 0 or more"),
    "comments.swf": (b"; MaxProcs: 5\n", "holds no jobs"),
    "packed.csv": (gzip.compress(HEADER.encode()), "is packed with gzip; unpack it first"),
    "latin.csv": (HEADER.encode() + b"1,2,3\n1,2,\xe5\n", "line 3: is not UTF-8 text (byte 0xe5)"),
    "zero.csv": (HEADER.encode() + b"1,2,3\n\0\n", "line 3: is not text"),
    "garbage.csv": (bytes(range(1, 128)) * 9, "lacks submit_s (or submit_utc) and run_s and gpus"),
    "semicolon.csv": (b"submit_s;run_s;gpus\n1;2;3\n", "columns must be separated by commas"),
    "lacking.csv": (
        b"submit_s,run_s,cpus\n1,2,3\n",
        "columns: lacks gpus; its columns are 'submit_s', 'run_s', 'cpus'",
    ),
    "twice.csv": (b"submit_s,run_s,gpus,gpus\n1,2,3,4\n", "holds the column 'gpus' more than once"),
    "quote.csv": (HEADER.encode() + b'1,2,"' + b"3" * 200_000, "is not CSV: field larger than field limit"),
    "all-bad.csv": (
        HEADER.encode() + b"1,0,8\n2,0,8\n3,60,-1\n",
        "(2 x run time is zero, 1 x GPU count is negative); first: line 2: run time is zero (run_s = '0'); allowed: ",
    ),
    "local.csv": (b"submit_utc,run_s,gpus\n2027-01-01T00:00:00,60,8\n", "submission time has no zone"),
    "milliseconds.csv": (HEADER.encode() + b"1700000000000,60,8\n", "submission time is not in seconds"),
    "csv.swf": (HEADER.encode() + b"1,2,3\n", "2 x not 18 fields); first: line 1: 1 fields, expected 18"),
    "text.parquet": (HEADER.encode(), "is not Parquet"),
    "cut.parquet": (GOOD_PARQUET[:-100], "is a truncated Parquet file"),
    "broken.parquet": (
        GOOD_PARQUET[:4] + b"\xff" * (len(GOOD_PARQUET) - 8) + b"PAR1",
        "is a damaged Parquet file",
    ),
    "types.parquet": (
        parquet_bytes(pl.DataFrame({"submit_s": [1], "run_s": [1], "gpus": [True]})),
        "gpus: is Boolean, must be a number",
    ),
    "naive.parquet": (
        parquet_bytes(
            pl.DataFrame({"submit_utc": pl.Series([0]).cast(pl.Datetime), "run_s": [1], "gpus": [1]})
        ),
        "submit_utc: is Datetime",
    ),
    "no-rows.parquet": (
        parquet_bytes(pl.DataFrame({"submit_s": [], "run_s": [], "gpus": []}).cast(pl.Int64)),
        "holds no jobs",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(tmp_path, name):
    content, words = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TraceError, match=re.escape(words)) as caught:
        read_trace(path)

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_absent_file_names_the_shipped_traces(tmp_path):
    with pytest.raises(TraceError, match="no such file; give a file, or a shipped trace: philly, lingjun"):
        read_trace(tmp_path / "absent.csv")


def test_folder(tmp_path):
    with pytest.raises(TraceError, match="is a folder"):
        read_trace(tmp_path)


@pytest.mark.parametrize("length", range(4, len(GOOD_PARQUET), 97))
def test_parquet_cut_anywhere(tmp_path, length):
    path = tmp_path / "cut.parquet"
    path.write_bytes(GOOD_PARQUET[:length])
    with pytest.raises(TraceError):
        read_trace(path)


def test_csv_cut_in_its_last_row_keeps_the_others(tmp_path):
    path = tmp_path / "cut.csv"
    path.write_text(HEADER + "0,60,8\n5,60,8\n9,6")
    trace = read_trace(path)

    assert len(trace) == 2
    assert trace.refused == {"wrong number of fields": 1}
