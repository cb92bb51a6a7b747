"""Trees of tenants for tests: rows by name, entitlements in GPUs, and the engine's own borrowing on them."""

from typing import Any, NamedTuple

import numpy as np

from kvandal.compiled.tables import by_reference
from kvandal.policy import tree
from kvandal.policy.lending import PART, borrow
from kvandal.policy.links import unused_records
from kvandal.twin.records import JOB, TALLY


@by_reference
class Books(NamedTuple):
    """What borrowing reads and writes."""

    tenants: Any
    parts: Any
    jobs: Any
    tally: Any
    lent_jobs: Any
    leaving: Any


class Tree:
    """Tenants and groups below a root that owns what nobody deserves; `rows` are columns of each by name.

    A row with children is a group, and deserves what its children do beside its own `quota`.
    """

    def __init__(self, installed, **rows):
        self.names, self.root = list(rows), len(rows)
        table = self.table = np.zeros(self.root + 1, tree.TENANT)
        table["parent"], table["holder"], table["weight"] = self.root, -1, 1.0
        table["parent"][self.root] = -1
        table["is_group"][self.root] = True
        table["ranked"] = np.arange(self.root + 1)
        table["gpus_ceiling"] = installed
        for name, columns in rows.items():
            row = table[self.names.index(name)]
            parent = columns.get("parent")
            if parent is not None:
                row["parent"] = self.names.index(parent)
                table["is_group"][row["parent"]] = True
            row["tier"] = columns.get("tier", tree.LENT)
            row["weight"] = columns.get("weight", 1.0)
            row["gpus_guarantee"] = columns.get("guarantee", 0)
            row["gpus_ceiling"] = columns.get("ceiling", installed)
        for name, columns in rows.items():
            for row in self.path(name):
                table["gpus_deserved"][row] += columns.get("quota", 0)
                table["depth"][self.names.index(name)] += 1
        tree.renew_shares(table, installed)
        self.books = Books(
            table,
            unused_records(PART, installed + 10),
            np.zeros(1, JOB),
            np.zeros(1, TALLY),
            np.zeros(1, np.int32),
            np.zeros((self.root + 1, 2), np.int64),
        )

    def path(self, name):
        """Rows from a tenant up, without the root."""
        row, rows = self.names.index(name), []
        while row != self.root:
            rows.append(row)
            row = int(self.table["parent"][row])
        return rows

    def row(self, name):
        return self.root if name == "root" else self.names.index(name)

    def uses(self, name, gpus):
        """Let a tenant use GPUs of its own."""
        tree.book_own(self.table, self.row(name), gpus)

    def borrows(self, name, gpus=1):
        """Let a tenant borrow as the engine does, if it may (K1, L1); return whether it has."""
        row = self.row(name)
        if not tree.may_hold(self.table, row, gpus, True):
            return False
        job = self.books.jobs[:1]
        job["tenant"], job["gpus"], job["first_part"] = row, gpus, -1
        return bool(borrow(self.books, 0, gpus, -1, False))

    def takes(self, name, gpus=1):
        """Let a tenant have GPUs: of its own while it has some, else on loan."""
        if tree.has_share(self.table, self.row(name), gpus):
            self.uses(name, gpus)
            return True
        return self.borrows(name, gpus)

    def next_of(self, names, gpus=1, by_use=False):
        """Which of some tenants borrows first (P2)."""
        best = names[0]
        for name in names[1:]:
            if tree.borrows_before(self.table, self.row(name), self.row(best), gpus, gpus, by_use):
                best = name
        return best

    def held(self, name):
        row = self.table[self.row(name)]
        return int(row["own"] + row["on_loan"])

    def lent_by(self, name):
        return int(self.table["lent"][self.row(name)])
