"""Where GPU-hours were lost: by tenant and cause, by size of job, and what interrupted jobs."""

from __future__ import annotations

from kvandal.report import goodput
from kvandal.report.chart import Figure
from kvandal.report.folder import RunFolder
from kvandal.report.text import DASH, NOT_KNOWN, escape, number, percent, table, words

CAUSES = (
    ("failure", "failures", "broken"),
    ("recall", "recalls", "lent"),
    ("shed", "load shedding and power caps", "unmet"),
    ("checkpoint", "checkpoints", "cdu-pump"),
    ("restart", "restarts", "fan-wall"),
    ("expiry", "expired grants", "misc"),
)
"""Cause, name and colour."""
FAILED = {
    "tray": "GPU or tray failed",
    "host": "software or host failed",
    "network": "network failed",
    "rack": "NVLink switches of a rack failed",
    "plant": "fault of the plant switched the rack off",
    "recall": "recalled",
    "shed": "shed",
}


def loss_parts(folder: RunFolder) -> list[str | Figure]:
    """Figure and tables of a run's losses; nothing where no job ran."""
    jobs = folder.scan("jobs", goodput.COLUMNS, texts=False)
    rows = {row["tenant"]: row for row in goodput.by_tenant(jobs).to_dicts()}
    order = [*(name for name in folder.scenario.get("tenants", {}) if name in rows)]
    order += sorted(set(rows) - set(order))
    order = [name for name in order if rows[name]["gpu_hours_allocated"] > 0]
    if not order:
        return []
    return [_by_tenant([rows[name] for name in order]), _by_size(jobs), _by_cause(jobs)]


def _by_tenant(rows: list[dict[str, float]]) -> Figure:
    names = [words(str(row["tenant"])) for row in rows]
    lost = [sum(row[f"gpu_hours_lost_{cause}"] for cause, _, _ in CAUSES) for row in rows]
    heads = [
        "tenant", "allocated [GPU-h]", *(f"{name} [GPU-h]" for _, name, _ in CAUSES), "restarts after recalls [GPU-h]", "goodput",
    ]  # fmt: skip
    cells = [
        [
            escape(name),
            number(row["gpu_hours_allocated"]),
            *(number(row[f"gpu_hours_lost_{cause}"]) for cause, _, _ in CAUSES),
            number(row["gpu_hours_restart_recall"]),
            percent(row["goodput"], 2),
        ]
        for name, row in zip(names, rows, strict=True)
    ]
    worst = max(range(len(rows)), key=lambda index: lost[index])
    after_recall = sum(row["gpu_hours_restart_recall"] for row in rows)
    caption = (
        f"{number(sum(lost))} GPU-hours were lost in all, most of them by {escape(names[worst])} ({number(lost[worst])}). "
        f"Of the restarts, {number(after_recall)} GPU-hours followed recalls, the others failures and load shedding."
    )
    spec = {
        "kind": "stacks",
        "unit": "GPU-hours",
        "names": names,
        "series": [
            {
                "name": name,
                "role": role,
                "style": "area",
                "values": [round(row[f"gpu_hours_lost_{cause}"], 1) for row in rows],
            }
            for cause, name, role in CAUSES
        ],
    }
    body = table(heads, cells, right=range(1, len(heads)))
    return Figure("losses", "Where GPU-hours were lost, by tenant and cause", caption, spec, body)


def _by_size(jobs: goodput.Jobs) -> str:
    heads = [
        "GPUs of the job", "jobs", "GPU-hours", "useful share of running time (ETTR)", "goodput", "failures", "GPU-hours per failure",
    ]  # fmt: skip
    rows = [
        [
            row["size"],
            number(row["jobs"]),
            number(row["gpu_hours_allocated"]),
            percent(row["ettr"], 2),
            percent(row["goodput"], 2),
            number(row["failures"]),
            NOT_KNOWN if row["gpu_hours_per_failure"] is None else number(row["gpu_hours_per_failure"]),
        ]
        for row in goodput.by_size(jobs).to_dicts()
    ]
    caption = '<p class="caption">Useful share of the time in which jobs ran, by their size.</p>'
    return caption + table(heads, rows, right=range(1, len(heads)))


def _by_cause(jobs: goodput.Jobs) -> str:
    counted = goodput.interruptions(jobs)
    rows = [[FAILED[cause], number(count) if count else DASH] for cause, count in counted.items()]
    return '<p class="caption">What interrupted jobs.</p>' + table(
        ["cause", "interruptions"], rows, right=(1,)
    )
