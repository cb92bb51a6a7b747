"""Read a run folder: `run.json` and only those columns of its tables that the page needs."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from kvandal.errors import RunFolderError
from kvandal.report.grid import Grid


class RunFolder:
    """One run folder, read lazily."""

    def __init__(self, path: Path) -> None:
        self.path = path
        document = path / "run.json"
        try:
            self.run: dict[str, Any] = json.loads(document.read_text(encoding="utf-8"))
            self.start = datetime.fromisoformat(self.run["start_utc"])
            self.end = datetime.fromisoformat(self.run["end_utc"])
            self.tick_s = int(self.run["tick_s"])
        except FileNotFoundError:
            raise RunFolderError("no run.json here: this is not a run folder", file=path) from None
        except OSError as error:
            raise RunFolderError(f"cannot be read: {error.strerror}", file=document) from None
        except KeyError as error:
            raise RunFolderError("this key is missing", file=document, key=str(error.args[0])) from None
        except (ValueError, TypeError) as error:
            raise RunFolderError(f"not the JSON of a run: {error}", file=document) from None

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Headline quantities; an absent one is not known (None)."""
        found = self.run.get("summary")
        return found if isinstance(found, dict) else {}

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The scenario in full, as JSON."""
        found = self.run.get("scenario")
        return found if isinstance(found, dict) else {}

    @property
    def seconds(self) -> int:
        """Length of the run [s]."""
        return int((self.end - self.start).total_seconds())

    @property
    def days(self) -> float:
        """Length of the run [days]."""
        return self.seconds / 86_400

    def scan(self, name: str, columns: list[str], *, texts: bool = True) -> pl.LazyFrame:
        """Scan the given columns of one table; categories become plain text, unless millions of rows are grouped by them first."""
        path = self.path / f"{name}.parquet"
        if not path.is_file():
            raise RunFolderError("this table is missing from the run folder", file=path)
        try:
            frame = pl.scan_parquet(path, glob=False)
            schema = frame.collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise RunFolderError(f"not a Parquet file: {error}", file=path) from None
        missing = [column for column in columns if column not in schema]
        if missing:
            raise RunFolderError("the table lacks this column", file=path, key=", ".join(missing))
        named = [c for c in columns if isinstance(schema[c], pl.Categorical | pl.Enum)] if texts else []
        return frame.select(columns).with_columns(pl.col(c).cast(pl.String) for c in named)

    def table(self, name: str, columns: list[str], *, texts: bool = True) -> pl.DataFrame:
        """Read the given columns of one table, as :meth:`scan` does."""
        return self.scan(name, columns, texts=texts).collect()

    def site_grid(self) -> Grid:
        """Grid that the site's ticks are drawn on."""
        return Grid.fit(self.start, self.seconds, self.tick_s)

    def hour_grid(self) -> Grid:
        """Grid that hourly tables are drawn on."""
        return Grid.fit(self.start, self.seconds, 3600)
