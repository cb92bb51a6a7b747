"""Statements from a run folder: written up, as a page, a table or a whole folder of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from kvandal.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from kvandal.ledger.statements.item import Account, Item

Kind = Literal["tenant", "offtaker", "owners", "heat", "transparency", "regional"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAMED: tuple[Kind, ...] = ("tenant", "heat")
"""Kinds of which there is one for everybody."""
WHOLE: tuple[Kind, ...] = ("regional",)
"""Kinds that tell of the whole run only."""
TITLES = {
    "tenant": "Statement of {name}",
    "offtaker": "Settlement of the off-taker, {name}",
    "owners": "Result of the owners",
    "heat": "Heat bill of {name}",
    "transparency": "Transparency report",
    "regional": "Effects on the region",
}


@dataclass(frozen=True)
class Statement:
    """A statement as it is shown.

    Attributes
    ----------
    kind, name : what it is and whose; the name is empty where there is one only
    period : month, or first and last month of the run
    title : heading
    site : title of the site
    items : lines

    """

    kind: Kind
    name: str
    period: str
    title: str
    site: str
    items: list[Item]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "items": [vars(item) for item in self.items]}

    def table(self) -> pl.DataFrame:
        """One row per line."""
        import polars as pl

        scope = "run" if " to " in self.period or self.kind in WHOLE else "month"
        head = {"kind": self.kind, "name": self.name, "period": self.period, "scope": scope}
        numbers = dict.fromkeys(("amount", "low", "high"), pl.Float64)
        return pl.DataFrame([{**head, **vars(item)} for item in self.items], schema_overrides=numbers)

    def page(self) -> str:
        """Return one page that opens offline."""
        from kvandal.report.listing import listing_page

        note = f"{self.site}, {self.period} (UTC). Simulated, not metered; recomputed from the run folder."
        return listing_page(self.title, note, [vars(item) for item in self.items])


def names_of(account: Account, kind: Kind) -> list[str]:
    """Return whose statements of a kind there are."""
    from kvandal.scenario.tree import groups_of

    scenario = account.scenario
    if kind == "tenant":
        groups = groups_of(scenario.tenants)
        return [name for name in scenario.tenants if name not in groups]
    if kind == "heat":
        return list(scenario.heat.customers)
    if kind == "offtaker":
        return [] if scenario.finance.offtaker_tenant is None else [scenario.finance.offtaker_tenant]
    return [""]


def statement(account: Account, kind: Kind, name: str = "", month: str | None = None) -> Statement:
    """Write up a statement.

    Parameters
    ----------
    account
        The run (:func:`kvandal.runs.books.opened`).
    kind, name
        Which, and whose.
    month
        Month of UTC; None: the whole run.

    """
    from kvandal.ledger.statements.heat_customer import heat_items
    from kvandal.ledger.statements.offtaker import offtaker_items
    from kvandal.ledger.statements.owners import owners_items
    from kvandal.ledger.statements.regional import regional_items
    from kvandal.ledger.statements.tenant import tenant_items
    from kvandal.ledger.statements.transparency import transparency_items

    told = replace(account, month=None if kind in WHOLE else month)
    makers: dict[str, Callable[[], list[Item]]] = {
        "tenant": lambda: tenant_items(told, name),
        "offtaker": lambda: offtaker_items(told),
        "owners": lambda: owners_items(told),
        "heat": lambda: heat_items(told, name),
        "transparency": lambda: transparency_items(told),
        "regional": lambda: regional_items(told),
    }
    title = TITLES[kind].format(name=name)
    return Statement(kind, name, told.period, title, account.scenario.site.title, makers[kind]())


def asked_statement(
    account: Account, folder: Path, kind: Kind, name: str | None, month: str | None
) -> Statement:
    """Write up what a user asks for.

    Raises
    ------
    InputError
        If there is no such tenant, customer or month.

    """
    from kvandal.ledger.books.posting import months_of

    names, months = names_of(account, kind), months_of(account.tables)
    if kind in NAMED:
        if name not in names:
            what = "tenants" if kind == "tenant" else "heat customers"
            shown = "needs a name" if name is None else f"no such name: {name!r}"
            raise InputError(f"{shown}; {what} are: {', '.join(names) or 'none'}", file=str(folder), key=kind)
    elif name is not None:
        raise InputError(f"takes no name, got {name!r}; there is one only", file=str(folder), key=kind)
    elif not names:
        raise InputError(
            "the scenario names no off-taker; set finance.offtaker_tenant", file=str(folder), key=kind
        )
    if month is not None and month not in months:
        raise InputError(
            f"the run has no {month!r}; its months are: {', '.join(months)}", file=str(folder), key="--month"
        )
    if month is not None and kind in WHOLE:
        raise InputError("tells of the whole run; leave --month out", file=str(folder), key=kind)
    return statement(account, kind, name or names[0], month)


def all_statements(account: Account) -> Iterator[Statement]:
    """Write up every statement of every month, and those that tell of the whole run."""
    from kvandal.ledger.books.posting import months_of

    months = months_of(account.tables)
    for kind in KINDS:
        if kind not in WHOLE:
            for month in months:
                for name in names_of(account, kind):
                    yield statement(account, kind, name, month)
        if kind in WHOLE or (kind == "owners" and len(months) > 1):
            yield statement(account, kind)


def packed(table: pl.DataFrame, suffix: str) -> bytes:
    """Return a table as the contents of a CSV or Parquet file."""
    file = io.BytesIO()
    if suffix == ".csv":
        table.write_csv(file)
    else:
        table.write_parquet(file, compression="zstd", statistics=False)
    return file.getvalue()


def statement_file(found: Statement, path: Path) -> bytes:
    """Return a statement as the contents of a file: `.html`, `.csv` or `.parquet` by its name.

    Raises
    ------
    InputError
        If the name ends otherwise.

    """
    suffix = path.suffix.lower()
    if suffix == ".html":
        return found.page().encode("utf-8")
    if suffix not in {".csv", ".parquet"}:
        raise InputError(f"must end with .html, .csv or .parquet, got {path.name!r}", key="--out")
    return packed(found.table(), suffix)


def write_all(account: Account, folder: Path) -> int:
    """Write every statement into a new folder: a page each, an index, and all lines as CSV and Parquet; return how many.

    Raises
    ------
    RunFolderError, OutputError
        If the folder is taken or cannot be written; nothing is left behind.

    """
    import polars as pl

    from kvandal.report.listing import index_page
    from kvandal.runs.folder import refuse_existing, whole_folder, write_durably

    refuse_existing(folder)
    found = list(all_statements(account))
    with whole_folder(folder) as draft:
        links = []
        for one in found:
            place = _place(one)
            (draft / place).parent.mkdir(parents=True, exist_ok=True)
            write_durably(one.page().encode("utf-8"), draft / place)
            links.append((one.period, one.title, place))
        lines = pl.concat([one.table() for one in found])
        for suffix in (".csv", ".parquet"):
            write_durably(packed(lines, suffix), draft / f"statements{suffix}")
        write_durably(index_page(account.scenario.site.title, links).encode("utf-8"), draft / "index.html")
    return len(found)


def _place(one: Statement) -> str:
    """Where the page of a statement stands in its folder."""
    stem = f"{one.kind}-{one.name}" if one.kind in NAMED else one.kind
    return f"{one.period.replace(' to ', '-to-')}/{stem}.html"
