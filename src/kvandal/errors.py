"""Errors that a user can repair.

Hierarchy::

    KvandalError                 anything that ends a command with one clear message
    ├── InputError               a file, a key or a value is wrong          (exit code 2)
    │   ├── ScenarioError        a scenario does not hold together
    │   ├── TraceError           a job trace cannot be read
    │   ├── SeriesError          a weather, price or demand series cannot be used
    │   ├── SettingsError        a setting of the service is wrong
    │   └── RunFolderError       a run folder is absent, incomplete or in the way
    └── OutputError              a result cannot be written (disk full, no permission; exit code 2)
"""

from __future__ import annotations

from pathlib import Path
from typing import Self


class KvandalError(Exception):
    """Base of all errors that are reported without a traceback."""


class InputError(KvandalError):
    """Bad input: says where it is, what was found and what is allowed.

    Parameters
    ----------
    message
        What is wrong and what would be right, in one or two sentences.
    file
        The file (or preset) that holds the input, if any.
    key
        The dotted key, column or line in that file, if any.

    Examples
    --------
    >>> print(InputError("must be above 0, got -5", file="site.toml", key="site.grid_mw"))
    site.toml: site.grid_mw: must be above 0, got -5

    """

    def __init__(self, message: str, *, file: str | Path | None = None, key: str | None = None) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = key
        super().__init__(": ".join(part for part in (self.file, key, message) if part))

    def of(self, key: str) -> Self:
        """Say which key of the scenario asked for the file that is at fault.

        Examples
        --------
        >>> print(InputError("no such file", file="prices.csv").of("market.prices"))
        prices.csv: no such file (market.prices)

        """
        if self.file is None:
            return type(self)(self.message, key=key)
        return type(self)(f"{self.message} ({key})", file=self.file, key=self.key)


class ScenarioError(InputError):
    """A scenario does not hold together."""


class TraceError(InputError):
    """A job trace cannot be read."""


class SeriesError(InputError):
    """A weather, price or heat-demand series cannot be used."""


class SettingsError(InputError):
    """A setting of the service is wrong: in its file, in the environment or on the command line."""


class RunFolderError(InputError):
    """A run folder is absent, incomplete or in the way."""


class OutputError(KvandalError):
    """A result cannot be written."""
