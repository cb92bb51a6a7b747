"""The forecast of the weather that a plan knows: an error of a stated size, drawn day by day."""

import numpy as np
import pytest

from kvandal.climate.forecast import temperature_error_k


def test_the_error_has_its_size_and_forgets_itself():
    """Over 500 days: 1.5 K in the first and in the last hour of a day ahead, the root of seven times as much after a week."""
    error_k = np.array([temperature_error_k(3, day, 168, 1.5) for day in range(500)])
    rmse_k = np.sqrt((error_k**2).mean(axis=0))
    assert rmse_k[:24] == pytest.approx(np.full(24, 1.5), rel=0.12)
    assert np.sqrt((error_k[:, :24] ** 2).mean()) == pytest.approx(1.5, rel=0.05)
    assert rmse_k[167] == pytest.approx(1.5 * np.sqrt(7), rel=0.12)
    near, far = (
        np.corrcoef(error_k[:, 0], error_k[:, 1])[0, 1],
        np.corrcoef(error_k[:, 0], error_k[:, 23])[0, 1],
    )
    assert near == pytest.approx(np.exp(-1 / 12), abs=0.03)
    assert abs(far - np.exp(-23 / 12)) < 0.12


def test_errors_are_those_of_their_day():
    """Other days and seeds have others; a shorter horizon begins with the same; without an error there is none."""
    first = temperature_error_k(1, 5, 48, 1.5)
    assert (temperature_error_k(1, 5, 24, 1.5) == first[:24]).all()
    assert abs(np.corrcoef(first, temperature_error_k(1, 6, 48, 1.5))[0, 1]) < 0.99
    assert not (temperature_error_k(2, 5, 48, 1.5) == first).any()
    assert (temperature_error_k(1, 5, 48, 0.0) == 0).all()
    assert len(temperature_error_k(1, 5, 0, 1.5)) == 0
