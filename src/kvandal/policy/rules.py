"""The rules of sharing, by id. Every event of a run names the rule that caused it."""

from __future__ import annotations

RULES: dict[int, tuple[str, str]] = {
    0: ("-", "nature or calendar, not a rule"),
    1: ("P1", "A firm or assured job within its tenant's deserved share starts before any borrower."),
    2: (
        "P2",
        "Borrowers start in order of tier (assured, lent, firm), then of smallest share on loan over weight.",
    ),
    3: ("P3", "A job that its tenant's share, any loan, the racks or the power could never hold is refused."),
    4: ("L1", "A borrower runs on a loan from the lender with the most idle, lendable entitlement."),
    5: (
        "L2",
        "When a lender needs its share back and another lender has room, the loan moves; the job runs on.",
    ),
    6: ("R1", "An entitled job that finds no room recalls the fewest lent trays that make it placeable."),
    7: ("R2", "Nobody is recalled for a job that could not be placed even after the recall."),
    8: (
        "R3",
        "A lender above its share with no other lender at hand recalls the loans that fit the excess best.",
    ),
    9: ("E1", "No job starts that would lift the site above its envelope; GPUs are capped, lent work first."),
    10: ("E2", "When caps do not suffice, the newest lent, then assured, then firm jobs are shed."),
    11: (
        "L3",
        "A lent-tier job whose loan was recalled rests before it borrows again, longer after each recall.",
    ),
    30: (
        "G1",
        "A job draws on the grant of its tenant that expires first, of those that hold and outlast its run-time limit.",
    ),
    31: ("G2", "A job that needs more GPU-seconds than a grant of its tenant has left is refused."),
    32: ("G3", "A job that could not end before the end of its hard grant is refused."),
    33: (
        "G4",
        "When a grant ends, nothing more starts on it; what runs is stopped after notice if the end is hard.",
    ),
}
"""Number (as stored in arrays) to id and sentence."""

RECALL, RESTORE, ENVELOPE, SHED = 6, 8, 9, 10
"""The rules that events name."""
NEVER_FITS, GRANT_TOO_SMALL, GRANT_TOO_SHORT, GRANT_OVER = 3, 31, 32, 33
"""The rules that refuse or stop a job."""
