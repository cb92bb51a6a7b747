"""Regular series of the outside world (weather, prices), read strictly and laid over the time of a run."""

from kvandal.series.alignment import on_run
from kvandal.series.reading import read_many, read_series, split_column
from kvandal.series.regular import Series

__all__ = ["Series", "on_run", "read_many", "read_series", "split_column"]
