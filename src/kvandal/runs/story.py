"""What the life of a job is told from, and the sentences that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

Row = dict[str, Any]
"""A row of a table, by column."""


@dataclass(frozen=True)
class Records:
    """What the tables of a run hold of one job.

    Attributes
    ----------
    job : its row of jobs.parquet
    runs : its rows of interruptions.parquet, in order of time
    loans : its rows of loans.parquet
    notices : events by which it was given notice
    failures : events that may have stopped it
    repairs : events of the racks that they hit
    claimants : rows of the jobs that its loans were recalled for, by number
    places : kind and place of the faults of the plant that hit it, by number

    """

    job: Row
    runs: list[Row]
    loans: list[Row]
    notices: list[Row]
    failures: list[Row]
    repairs: list[Row]
    claimants: dict[int, Row]
    places: dict[int, Row]


@dataclass(frozen=True)
class Sentence:
    """One thing that happened: when (the first instant that it names), what, and the ids of the rules behind it."""

    time_utc: datetime
    text: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Why:
    """The life of a job.

    Attributes
    ----------
    job : its number
    title : of the run's site
    time_zone : of the times in the sentences
    sentences : in order of time; the last one sums up
    waits_s : what it waited for, by the id of the rule that held it back [s]
    rules : id and sentence of every rule that is cited

    """

    job: int
    title: str
    time_zone: str
    sentences: tuple[Sentence, ...]
    waits_s: dict[str, int]
    rules: dict[str, str]

    def __str__(self) -> str:
        """Return the sentences as one text."""
        return " ".join(sentence.text for sentence in self.sentences)

    def as_dict(self) -> dict[str, Any]:
        """Return what `kvandal why --json` prints."""
        return {
            "job": self.job,
            "title": self.title,
            "time_zone": self.time_zone,
            "sentences": [
                {
                    "time_utc": one.time_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "text": one.text,
                    "rules": list(one.rules),
                }
                for one in self.sentences
            ],
            "waits_s": self.waits_s,
            "rules": self.rules,
        }
