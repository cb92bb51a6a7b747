"""Tables of records are the same filled or read block by block as in one go."""

import resource
from pathlib import Path

import numpy as np
import pytest

from kvandal.twin.columns import BLOCK, columns_of, filled, seldom
from kvandal.twin.records import JOB

ROWS = (0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 3)


@pytest.mark.parametrize("rows", ROWS)
def test_a_table_filled_in_blocks_holds_what_it_was_given(rows):
    gpus = np.arange(rows, dtype=np.int32)
    table = filled(JOB, rows, end_s=-1, slow=1.0, gpus=gpus)
    expected = np.zeros(rows, JOB)
    expected["end_s"], expected["slow"], expected["gpus"] = -1, 1.0, gpus
    assert table.dtype == JOB
    assert table.tobytes() == expected.tobytes()


@pytest.mark.parametrize("rows", ROWS)
def test_columns_read_in_blocks_are_those_of_the_table(rows):
    table = filled(JOB, rows, submit_s=np.arange(rows), tenant=3)
    columns = columns_of(table, ("submit_s", "tenant", "slow"))
    assert list(columns) == ["submit_s", "tenant", "slow"]
    for name, column in columns.items():
        assert column.flags.c_contiguous
        assert column.dtype == JOB[name]
        np.testing.assert_array_equal(column, table[name])


def test_what_is_seldom_written_takes_memory_only_where_it_is():
    """A table of 256 MiB in which one number is written, and all of it read, takes less than 32 MiB."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("the system does not tell how much memory a process has")

    def resident_mib():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20

    before = resident_mib()
    table = seldom((4, 2**23), np.float64)
    assert not table.any()
    table[2, 12_345] = 7.0
    assert np.flatnonzero(table).tolist() == [2 * 2**23 + 12_345]
    assert resident_mib() - before < 32


@pytest.mark.parametrize("shape", [0, 3, (2, 0), (2, 3)])
def test_what_is_seldom_written_is_a_table_like_any_other(shape):
    table = seldom(shape, JOB)
    assert table.tobytes() == np.zeros(shape, JOB).tobytes()
    assert table.flags.c_contiguous
    assert table.flags.writeable
