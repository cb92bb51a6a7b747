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
    10: (
        "E2",
        "What caps cannot hold is shed at once: lent work, cheapest first; assured work pro rata; firm work last.",
    ),
    11: (
        "L3",
        "A lent-tier job whose loan was recalled rests before it borrows again, longer after each recall.",
    ),
    40: (
        "E3",
        "Caps first, recalls later: loans are recalled for power, cheapest first, once lent and assured caps do not do.",
    ),
    41: ("E4", "After a trip racks return, and power rises, no faster than the ramp that the grid allows."),
}
"""Number (as stored in arrays) to id and sentence."""

RECALL, RESTORE, ENVELOPE, SHED, POWER_RECALL, START_RAMP = 6, 8, 9, 10, 40, 41
"""The rules that events name."""
