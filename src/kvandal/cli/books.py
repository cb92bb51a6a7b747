"""`kvandal books`: double entry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kvandal.cli import signals
from kvandal.cli.options import FolderArgument, JsonOption, emit, print_json, print_table

LEFT, RIGHT = "left", "right"


def books(
    run: FolderArgument,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write the journal to.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Journal written before: say whether it is still that of the run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the books of a run: trial balance in every unit, result of the owners, cash flow and rate of return."""
    from kvandal.errors import InputError
    from kvandal.runs.books import books_document, checked
    from kvandal.runs.folder import refuse_unwritable_file, write_whole_bytes

    signals.hold()
    if out is not None:
        if out.suffix.lower() != ".parquet":
            raise InputError(f"must end with .parquet, got {out.name!r}", key="--out")
        refuse_unwritable_file(out)
    document, journal = books_document(run)
    if check is not None:
        document["check"] = checked(check, journal)
        if not as_json:
            emit(
                f"{check}: {'; '.join(document['check']) or 'the journal of this run, nothing changed, added or missing'}"
            )
            if document["check"]:
                raise typer.Exit(1)
            return
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
    emit(f"\nbooks: {'balanced' if not found else '; '.join(found)}; chain {document['chain']}")
    for name, eur in document["owners"].items():
        emit(f"result to {name}: {eur:,.2f} EUR")
    life = document["investment"]
    rate = life["rate_of_return"]
    emit(
        f"a year like this, before depreciation: {life['yearly_eur'] / 1e6:,.1f} million EUR on "
        f"{sum(life['capital_eur'].values()) / 1e6:,.0f} million; over the site's life: internal rate of return "
        f"{'none' if rate is None else f'{rate:.1%}'}, net present value {life['net_present_value_eur'] / 1e6:,.0f} million EUR "
        f"at {life['discount_rate']:.0%}"
    )
