"""On whose GPUs a job runs: its tenant's own share or loans, how that changed while it ran, and what took it back."""

from __future__ import annotations

from kvandal.runs.phrases import Clock, gpus, listed
from kvandal.runs.story import Records, Row, Sentence

CHANGES = ("transferred", "promoted")
"""Why a loan ended though its job ran on."""


def holding(records: Records, run: Row) -> tuple[str, list[str]]:
    """Say on whose GPUs a run starts, and name the rules.

    Parameters
    ----------
    records : what the tables hold of the job
    run : its run

    """
    parts = [loan for loan in _loans(records, run) if loan["start_utc"] == run["start_utc"]]
    if parts:
        text, rules = f" on a loan of {_parts(parts)} (L1)", ["L1"]
    else:
        text, rules = f" on {gpus(run['gpus'])} of its tenant's own share (P1)", ["P1"]
    if run["start_rule"] == "B2":
        return f"{text}, past jobs that still waited (B2)", [*rules, "B2"]
    if run["start_rule"] == "A1":
        return f"{text}, before other borrowers because it had waited for long (A1)", [*rules, "A1"]
    return text, rules


def changes(records: Records, run: Row, clock: Clock) -> list[Sentence]:
    """Say how the holding of a run changed while it went on: moved to other lenders, promoted, or made a loan."""
    loans = _loans(records, run)
    instants = {loan["start_utc"] for loan in loans if loan["start_utc"] > run["start_utc"]}
    instants |= {loan["returned_utc"] for loan in loans if loan["reason"] in CHANGES}
    told = []
    for instant in sorted(instants):
        new = [loan for loan in loans if loan["start_utc"] == instant]
        old = [loan for loan in loans if loan["returned_utc"] == instant and loan["reason"] in CHANGES]
        at = clock.at(instant)
        if new and old:
            text, rule = f"Its loan moved {at}: {_parts(new)} instead of {_parts(old)} (L2).", "L2"
        elif old:
            text = f"Its loan of {_parts(old)} became its tenant's own use {at}, whose share had room again (L5)."
            rule = "L5"
        else:
            text = f"Its tenant's share fell {at}; it went on as a loan of {_parts(new)} (K3)."
            rule = "K3"
        told.append(Sentence(instant, text, (rule,)))
    return told


def purpose(records: Records, run: Row, rule: str) -> str:
    """Say what notice was given to a run for, and by which rule."""
    if rule == "E3":
        return " for power (E3)"
    if rule == "K3":
        return " because a limit was about to fall (K3)"
    noticed = [
        loan
        for loan in _loans(records, run)
        if loan["noticed_utc"] is not None and loan["returned_utc"] in {None, run["end_utc"]}
    ]
    claimant = records.claimants.get(noticed[0]["claimant"]) if noticed else None
    if claimant is not None:
        needed = f"job {claimant['job']} of {claimant['tenant']}, which needed {gpus(claimant['gpus'])}"
        where = " below the ceiling of a group" if rule == "R4" else ""
        return f" for {needed}{where} ({rule})"
    if noticed:
        lenders = listed(sorted({_lender(loan) for loan in noticed}))
        return f" because the share of {lenders} was needed back and no other lender had room ({rule})"
    return f" ({rule})"


def _loans(records: Records, run: Row) -> list[Row]:
    """Parts of loans that began during a run."""
    return [loan for loan in records.loans if run["start_utc"] <= loan["start_utc"] < run["end_utc"]]


def _lender(loan: Row) -> str:
    return "the pool" if loan["lender"] == "pool" else str(loan["lender"])


def _parts(loans: list[Row]) -> str:
    """Say who lends how many GPUs, the largest part first."""
    order = sorted(loans, key=lambda loan: (-loan["gpus"], loan["lender"]))
    return listed([f"{gpus(loan['gpus'])} from {_lender(loan)}" for loan in order])
