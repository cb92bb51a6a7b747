"""`kvandal compare`: two runs side by side."""

from __future__ import annotations

from kvandal.cli.options import FolderArgument, JsonOption, note, number, print_json, print_table


def compare(one: FolderArgument, other: FolderArgument, as_json: JsonOption = False) -> None:
    """Put the summaries of two runs side by side, with the difference."""
    from kvandal.runs.compare import compare_summaries
    from kvandal.runs.folder import read_record

    records = read_record(one), read_record(other)
    for key in ("days", "start_utc", "seed"):
        if records[0][key] != records[1][key]:
            note(f"kvandal: warning: the runs differ in {key}: {records[0][key]} and {records[1][key]}")
    rows = compare_summaries(records[0]["summary"], records[1]["summary"])
    if as_json:
        print_json({"one": str(one), "other": str(other), "rows": rows})
        return
    print_table(
        f"{one}  against  {other}",
        [("", ""), ("one", "right"), ("other", "right"), ("difference", "right"), ("", "right")],
        [
            (
                str(row["name"]),
                number(row["one"]),
                number(row["other"]),
                number(row["difference"]),
                "" if row["relative"] is None else f"{row['relative']:+.1%}",
            )
            for row in rows
        ],
    )
