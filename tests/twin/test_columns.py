"""Tables of records are the same filled or read block by block as in one go."""

import numpy as np
import pytest

from kvandal.twin.columns import BLOCK, columns_of, filled, turned
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


@pytest.mark.parametrize("rows", ROWS)
def test_a_matrix_is_turned_in_blocks(rows):
    matrix = np.arange(rows * 3).reshape(rows, 3)
    np.testing.assert_array_equal(turned(matrix), matrix.T)
    assert turned(matrix).flags.c_contiguous
