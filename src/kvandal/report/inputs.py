"""What the run was fed: demand, weather, prices, parameters, and whom to credit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from kvandal.report.chart import Section
from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, NOT_KNOWN, escape, fold, number, plain, table, words

NAMED = (
    "refused",
    "repaired",
    "rows",
    "source",
    "licence",
    "credit",
    "synthetic",
    "kind",
    "statistics",
    "notes",
    "name",
    "demand",
    "sha256",
)


def synthetic_inputs(folder: RunFolder) -> list[str]:
    """Names of the inputs that were made up."""
    return [str(entry.get("name", "input")) for entry in _inputs(folder) if entry.get("synthetic")]


def _inputs(folder: RunFolder) -> list[dict[str, Any]]:
    found = folder.run.get("inputs")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _origin(synthetic: Any) -> str:
    if synthetic is None:
        return NOT_KNOWN
    return '<span class="tag made">synthetic</span>' if synthetic else '<span class="tag">real</span>'


def _classes(folder: RunFolder) -> list[tuple[str, dict[str, Any]]]:
    found = folder.run.get("demand")
    if isinstance(found, dict):
        return [(str(name), entry) for name, entry in found.items() if isinstance(entry, dict)]
    if isinstance(found, list):
        return [
            (str(e.get("demand") or e.get("name") or i + 1), e)
            for i, e in enumerate(found)
            if isinstance(e, dict)
        ]
    return []


def demand_section(folder: RunFolder) -> Section:
    """Tabulate each class of demand: where from, what was refused and repaired, how scaling changed it."""
    asked = folder.scenario.get("demand", {})
    folds: list[str] = []
    overview: list[list[str]] = []
    for name, entry in _classes(folder):
        contract = asked.get(name, {})
        facts = [
            ["source", plain(entry.get("source", contract.get("source")))],
            [
                "real or synthetic",
                _origin(
                    entry.get(
                        "synthetic", contract.get("source") in {"frontier", "diurnal"} if contract else None
                    )
                ),
            ],
            ["kind of work", plain(entry.get("kind", contract.get("kind")))],
            ["tenants", plain(contract.get("tenants"))],
            ["GPUs busy on average, asked for", plain(contract.get("mean_gpus"))],
        ]
        facts += [[words(key), plain(entry[key])] for key in ("licence", "credit", "notes") if entry.get(key)]
        rows = {key: value for key, value in entry.items() if key.startswith("rows")}
        facts += [[words(key), plain(value)] for key, value in rows.items()]
        facts += [
            [f"{key}, by reason", _reasons(entry[key])] for key in ("refused", "repaired") if key in entry
        ]
        rest = {k: v for k, v in entry.items() if k not in NAMED and k not in rows}
        facts += [[escape(words(key)), plain(value)] for key, value in rest.items()]
        body = table(["", ""], facts, kind="facts")
        compared = _statistics(entry)
        if compared:
            body += table(
                ["statistic", "as in the source", "as submitted to the site"],
                compared,
                right=(1, 2),
                kind="narrow",
            )
        tag = _origin(
            entry.get("synthetic", contract.get("source") in {"frontier", "diurnal"} if contract else None)
        )
        folds.append(fold(f"{escape(words(name))} {tag}", body, kind="class"))
        overview.append(
            [
                f"<b>{escape(words(name))}</b>",
                tag,
                plain(entry.get("source", contract.get("source"))),
                plain(contract.get("mean_gpus")),
                plain(entry.get("jobs")),
                plain(entry.get("rows_read")) if not entry.get("synthetic") else DASH,
                _count(entry.get("refused")),
                _count(entry.get("repaired")),
            ]
        )
    if not folds:
        return Section("demand", "Demand", lead="run.json says nothing of the demand.")
    lead = "One entry per class of demand: where its jobs come from, which rows were refused or repaired, and how scaling to the site changed it."
    heads = ["class", "origin", "source", "GPUs asked for", "jobs", "rows read", "refused", "repaired"]
    return Section(
        "demand", "Demand", lead=lead, parts=[table(heads, overview, right=(3, 4, 5, 6, 7)), *folds]
    )


def _count(found: Any) -> str:
    """Sum the rows over all reasons."""
    if isinstance(found, Mapping) and all(isinstance(count, int) for count in found.values()):
        return number(sum(found.values()))
    return DASH if found is None else plain(found)


def _reasons(found: Any) -> str:
    if isinstance(found, Mapping):
        listed = [f"{escape(words(str(reason)))}: {plain(count)}" for reason, count in found.items()]
        return "<br>".join(listed) or "none"
    return plain(found)


def _statistics(entry: Mapping[str, Any]) -> list[list[str]]:
    """Read the rows of statistics: what the source was like, and what was submitted."""
    rows = []
    found = entry.get("statistics")
    for row in found if isinstance(found, list) else []:
        if isinstance(row, dict):
            unit = "" if row.get("unit") in {"1", None} else f" [{escape(str(row['unit']))}]"
            rows.append(
                [
                    f"{escape(str(row.get('statistic', '')))}{unit}",
                    plain(row.get("trace")),
                    plain(row.get("scaled")),
                ]
            )
    return rows


def input_section(folder: RunFolder) -> Section:
    """Tabulate the inputs, the parameters and the credits."""
    inputs = _inputs(folder)
    rows = []
    for entry in inputs:
        checksum = str(entry.get("sha256") or "")
        rows.append(
            [
                f"<b>{escape(str(entry.get('name', '')))}</b><br><small>{plain(entry.get('kind'))}</small>",
                _origin(entry.get("synthetic")),
                plain(entry.get("source") or None),
                plain(entry.get("licence")),
                plain(entry.get("rule"))
                + (f"<br><small>{plain(entry['notes'])}</small>" if entry.get("notes") else ""),
                f'<code class="sum">{escape(checksum)}</code>' if checksum else NOT_KNOWN,
            ]
        )
    body = table(
        ["input", "origin", "source", "licence", "alignment", "SHA-256"],
        rows,
        kind="inputs",
    )
    parts: list[str] = [
        f'<div class="block"><h3>Inputs</h3>{body}</div>',
        _parameters(folder),
        _tables(folder),
        _credits(folder, inputs),
    ]
    return Section("inputs", "Inputs and provenance", parts=list(parts))


def tied_parameters(scenario: Mapping[str, Any]) -> list[tuple[str, float, Any]]:
    """List the scenario's values that have an entry in the registry of parameters, in order of the scenario.

    Keys are matched one by one, so a scenario that another version wrote still finds its sources.
    """
    from kvandal.scenario.model import Scenario

    fleet = scenario.get("site", {}).get("fleet", {})
    used = {block.get("model") for block in fleet.values() if isinstance(block, dict)}
    return [item for item in _tied(Scenario, scenario, "") if not _unused_rack(item[0], used)]


def _unused_rack(key: str, used: set[Any]) -> bool:
    head, _, rest = key.partition(".")
    return head == "rack_models" and rest.split(".")[0] not in used


def _tied(model: Any, content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float, Any]]:
    from kvandal.scenario.base import model_in
    from kvandal.scenario.parameters import parameters

    registry = parameters()
    for name, field in model.model_fields.items():
        if name not in content:
            continue
        key, below = f"{prefix}{name}", content[name]
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "parameter" in extra:
            entry = registry.get(str(extra["parameter"]))
            if entry is not None and isinstance(below, int | float):
                yield key, float(below), entry
        elif isinstance(below, dict):
            part = model_in(field.annotation)
            if part is not None and get_origin(field.annotation) is dict:
                for inner, table_below in below.items():
                    if isinstance(table_below, dict):
                        yield from _tied(part, table_below, f"{key}.{inner}.")
            elif part is not None:
                yield from _tied(part, below, f"{key}.")


def _parameters(folder: RunFolder) -> str:
    found = tied_parameters(folder.scenario)
    rows, changed, judged = [], 0, 0
    for key, value, entry in found:
        unit = "" if entry.unit == "1" else f" {escape(entry.unit)}"
        outside = not entry.minimum <= value <= entry.maximum
        differs = value != entry.value
        changed += differs
        judged += entry.label == "judgement"
        mark = ' <span class="tag made">changed</span>' if differs else ""
        mark += ' <span class="tag bad">outside its range</span>' if outside else ""
        rows.append(
            [
                f"<code>{escape(key)}</code><br><small>{escape(entry.name)}</small>",
                f"{value:g}{unit}{mark}",
                f"{entry.minimum:g} to {entry.maximum:g}",
                f'<span class="tag {escape(entry.label)}">{escape(entry.label)}</span>',
                escape(entry.reference),
            ]
        )
    body = table(
        ["parameter", "value", "plausible range", "kind", "source"], rows, right=(1, 2), kind="parameters"
    )
    title = f"Parameters with their sources: {number(len(rows))}, of which {number(judged)} are judgement and {number(changed)} differ from their default"
    text = escape(json.dumps(folder.scenario, indent=1, ensure_ascii=False))
    return fold(title, body) + fold("The scenario in full", f"<pre>{text}</pre>")


def _tables(folder: RunFolder) -> str:
    tables = folder.run.get("tables")
    if not isinstance(tables, dict):
        return ""
    rows = [
        [
            f"<code>{escape(str(name))}</code>",
            plain(entry.get("rows")),
            f'<code class="sum">{escape(str(entry.get("sha256") or ""))}</code>',
        ]
        for name, entry in tables.items()
        if isinstance(entry, dict)
    ]
    return fold(
        "Files of the run folder and their checksums", table(["file", "rows", "SHA-256"], rows, right=(1,))
    )


def _credits(folder: RunFolder, inputs: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for entry in [*inputs, *(entry for _, entry in _classes(folder))]:
        text = entry.get("credit")
        if (
            not text
            and not entry.get("synthetic")
            and entry.get("source")
            and entry.get("kind", "jobs") != "jobs"
        ):
            licence = f" ({entry['licence']})" if entry.get("licence") else ""
            text = f"{entry.get('name')}: {entry['source']}{licence}"
        if text and str(text) not in lines:
            lines.append(str(text))
    lines.append(
        "Charts: Apache ECharts, Copyright 2017\u20132026 The Apache Software Foundation (Apache-2.0)"
    )
    return (
        '<div class="block"><h3>Credits</h3><ul class="credits">'
        + "".join(f"<li>{escape(line)}</li>" for line in lines)
        + "</ul></div>"
    )
