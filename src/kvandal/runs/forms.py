"""Statutory forms from a run folder: read, filled in, written as a page, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvandal.errors import InputError
from kvandal.runs.folder import read_run
from kvandal.runs.restart import scenario_document

if TYPE_CHECKING:
    from kvandal.ledger.forms.lines import Line, Source

TITLES = {
    "eed": "Data points and indicators of Delegated Regulation (EU) 2024/1364",
    "en50600": "Indicators of ISO/IEC 30134 and EN 50600-4",
    "heat-cba": "Cost-benefit analysis of the use of surplus heat",
    "nkom": "Registration data for Nkom",
}
COLUMNS = ("part", "point", "code", "name", "value", "unit", "status", "measured_at", "how")
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1c2733;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin:0 0 2rem}td,th{border-bottom:1px solid #d5dce3;padding:.35rem .6rem;"
    "text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}.missing{color:#a33}"
    "@media(prefers-color-scheme:dark){body{background:#11161c;color:#dde5ec}td,th{border-color:#2c3742}.missing{color:#f08a8a}}"
)


def form_document(folder: Path, form: str) -> dict[str, Any]:
    """Fill a form from a run folder.

    Returns
    -------
    `form`, `title`, `note` (period, and that it is simulated), `lines` (dictionaries with COLUMNS) and `missing` (their codes).

    """
    from kvandal.ledger.forms.eed import eed_lines
    from kvandal.ledger.forms.en50600 import en50600_lines
    from kvandal.ledger.forms.heat_cba import heat_cba_lines
    from kvandal.ledger.forms.lines import Source, period_note
    from kvandal.ledger.forms.nkom import nkom_lines

    makers: dict[str, Callable[[Source], list[Line]]] = {
        "eed": eed_lines,
        "en50600": en50600_lines,
        "heat-cba": heat_cba_lines,
        "nkom": nkom_lines,
    }
    run = read_run(folder)
    _, scenario = scenario_document(run.record, folder)
    source = Source(run.record, scenario, run.tables)
    lines = [line.as_dict() for line in makers[form](source)]
    return {
        "form": form,
        "title": TITLES[form],
        "note": period_note(source, scaled=form == "heat-cba"),
        "lines": lines,
        "missing": [line["code"] for line in lines if line["status"] == "missing"],
    }


def rendered(document: dict[str, Any], kind: str) -> str:
    """Return a form as `json`, `csv` or `html` (one page that opens offline)."""
    if kind == "json":
        return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if kind == "csv":
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(document["lines"])
        return file.getvalue()
    return _page(document)


def shown(value: Any) -> str:
    """Write a value for a person; what is missing is said so."""
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"


def _page(document: dict[str, Any]) -> str:
    parts: dict[str, list[dict[str, Any]]] = {}
    for line in document["lines"]:
        parts.setdefault(line["part"], []).append(line)
    body = []
    for part, lines in parts.items():
        rows = "".join(
            f"<tr><td>{escape(line['point'])}</td><td>{escape(line['code'])}</td><td>{escape(line['name'])}</td>"
            f'<td class="n {line["status"]}">{escape(shown(line["value"]))}</td><td>{escape(line["unit"])}</td>'
            f"<td>{escape(line['status'])}</td><td>{escape(line['measured_at'])}</td><td>{escape(line['how'])}</td></tr>"
            for line in lines
        )
        heads = "".join(
            f"<th>{head}</th>"
            for head in ("point", "code", "what", "value", "unit", "status", "measured at", "how")
        )
        body.append(
            f"<h2>{escape(part)}</h2><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )
    title = escape(document["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1><p>{escape(document['note'])}</p>"
        f"<p>{len(document['missing'])} of {len(document['lines'])} lines are missing: they are not known to the scenario, "
        f"and nothing was put in their place.</p>{''.join(body)}</body></html>\n"
    )


def statement_file(document: dict[str, Any], path: Path) -> bytes:
    """Return a statement as the contents of a file: `.html`, `.csv` or `.parquet` by its name.

    Raises
    ------
    InputError
        If the name ends otherwise.

    """
    import polars as pl

    kind = path.suffix.lower()
    if kind == ".html":
        lines = [
            {"part": item["chapter"], "code": "", "name": item["what"], "value": item["amount"], "unit": item["unit"],
             "status": "" if item["amount"] is not None else "missing", "measured_at": "", "how": item["note"], "point": ""}
            for item in document["items"]
        ]  # fmt: skip
        note = f"{document['title']}, {document['month']} (UTC). Simulated; recomputed from the run folder."
        missing = [line["name"] for line in lines if line["status"] == "missing"]
        title = f"Statement of {document['tenant']}"
        return _page({"title": title, "note": note, "lines": lines, "missing": missing}).encode("utf-8")
    table = pl.DataFrame(
        [{"tenant": document["tenant"], "month": document["month"], **item} for item in document["items"]],
        schema_overrides={"amount": pl.Float64},
    )
    file = io.BytesIO()
    if kind == ".csv":
        table.write_csv(file)
    elif kind == ".parquet":
        table.write_parquet(file, compression="zstd", statistics=False)
    else:
        raise InputError(f"must end with .html, .csv or .parquet, got {path.name!r}", key="--out")
    return file.getvalue()
