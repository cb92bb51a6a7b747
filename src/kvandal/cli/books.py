"""`kvandal books` and `kvandal statement`: who owes what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, number, print_json, print_table

LEFT, RIGHT = "left", "right"


def books(
    run: FolderArgument,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write the journal to.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the books of a run: trial balance in every unit, result of the owners, cash flow and rate of return."""
    from kvandal.runs.books import books_document
    from kvandal.runs.folder import refuse_unwritable_file, write_whole_bytes

    signals.hold()
    if out is not None:
        refuse_unwritable_file(out)
    document, journal = books_document(run)
    if out is not None:
        import io

        packed = io.BytesIO()
        journal.write_parquet(packed, compression="zstd", statistics=False)
        write_whole_bytes(packed.getvalue(), out)
    if as_json:
        print_json(document)
        return
    print_table(
        f"{run}: {document['entries']:,} entries, {', '.join(document['months'])}",
        [("account", LEFT), ("unit", LEFT), ("debit", RIGHT), ("credit", RIGHT)],
        [
            (
                row["account"],
                row["unit"],
                f"{row['amount']:,}" if row["amount"] > 0 else "",
                f"{-row['amount']:,}" if row["amount"] < 0 else "",
            )
            for row in document["balances"]
            if row["amount"]
        ],
    )
    found = document["mistakes"]
    emit(f"\nbooks: {'balanced, chain whole' if not found else '; '.join(found)}")
    for name, eur in document["owners"].items():
        emit(f"result to {name}: {eur:,.2f} EUR")
    plan = document["investment"]
    rate = plan["rate_of_return"]
    emit(
        f"a year like this, before depreciation: {plan['yearly_before_depreciation_eur'] / 1e6:,.1f} million EUR on "
        f"{sum(plan['capital_eur'].values()) / 1e6:,.0f} million; over the site's life: internal rate of return "
        f"{'none' if rate is None else f'{rate:.1%}'}, net present value {plan['net_present_value_eur'] / 1e6:,.0f} million EUR "
        f"at {plan['discount_rate']:.0%}"
    )


def statement(
    run: FolderArgument,
    tenant: Annotated[str, typer.Option(help="Tenant.")],
    month: Annotated[str | None, typer.Option(help="Month of UTC, e.g. 2027-01. Default: the first.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .html, .csv or .parquet.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write up a tenant's month: use, waits, loans, losses, energy, carbon, money."""
    from kvandal.runs.books import statement_document
    from kvandal.runs.folder import refuse_unwritable_file, write_whole_bytes
    from kvandal.runs.forms import statement_file

    signals.hold()
    if out is not None:
        refuse_unwritable_file(out)
    document = statement_document(run, tenant, month)
    if out is not None:
        write_whole_bytes(statement_file(document, out), out)
    if as_json:
        print_json(document)
        return
    print_table(
        f"{document['title']}: {tenant}, {document['month']}",
        [("", LEFT), ("", LEFT), ("amount", RIGHT), ("unit", LEFT), ("", LEFT)],
        [
            (item["chapter"], item["what"], number(item["amount"]), item["unit"], item["note"])
            for item in document["items"]
        ],
    )
