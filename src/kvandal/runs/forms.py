"""Statutory forms from a run folder: read, filled in, written as a page, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from kvandal.report.listing import form_page

    return form_page(document)
