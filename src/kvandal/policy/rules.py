"""The rules of sharing, by id. Every event of a run names the rule that caused it."""

from __future__ import annotations

RULES: dict[int, tuple[str, str]] = {
    0: ("-", "nature or calendar, not a rule"),
    1: ("P1", "A firm or assured job within its tenant's deserved share starts before any borrower."),
    2: (
        "P2",
        "Borrowers start in order of tier (assured, lent, firm), then of the smallest share over weight, level by level.",
    ),
    3: ("P3", "A job that its tenant's share, any loan, the racks or the power could never hold is refused."),
    4: (
        "L1",
        "A borrower runs on a loan from the nearest group's lender with the most idle, lendable entitlement.",
    ),
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
    9: (
        "E1",
        "No job starts that would lift a node of the site above its envelope; GPUs are capped, lent work first.",
    ),
    10: (
        "E2",
        "What caps cannot hold is shed at once: lent work, cheapest first; assured work pro rata; firm work last.",
    ),
    11: (
        "L3",
        "A lent-tier job whose loan was recalled rests before it borrows again, longer after each recall.",
    ),
    12: ("K1", "A tenant, and every group above it, stays within its ceiling."),
    13: ("K2", "A job waits until its tenant's own share or some lender's idle share has room for it."),
    14: (
        "T1",
        "A job takes whole trays of one rack, or one segment of each of several racks, and waits until they are free.",
    ),
    15: ("Q1", "Jobs of one tenant and class start in order of submission."),
    16: (
        "B1",
        "A waiting job that no recall can help holds racks that fall free soonest; nobody may delay it there.",
    ),
    17: ("B2", "A later job may pass one that waits if it delays none that holds a reservation (backfill)."),
    18: (
        "A1",
        "A borrower that has waited for long goes first, holds a reservation, and is passed by nobody.",
    ),
    19: ("D1", "Of entitled jobs of a tier the one whose deadline is nearest goes first, then the oldest."),
    20: ("D2", "A job whose data must not be processed in the site's regions is refused."),
    21: ("M1", "An elastic job that does not fit starts on fewer GPUs, and works the longer."),
    22: ("K3", "A limit that falls is kept from its first instant: who is above it gets notice in time."),
    23: ("L4", "A loan is not called back before its minimum run."),
    24: ("T2", "A job that reaches its time limit is ended."),
    25: (
        "F1",
        "A job that lost its GPUs goes to the front of its queue and resumes; after a failure it goes before all of its tier.",
    ),
    26: ("R4", "An entitled job below a group's ceiling recalls loans that the group's tenants hold."),
    27: ("L5", "A loan to a tenant whose own share has room again becomes its own use."),
    28: (
        "E3",
        "Caps first, recalls later: loans are recalled for power, cheapest first, once lent and assured caps do not do.",
    ),
    29: ("E4", "After a trip racks return, and power rises, no faster than the ramp that the grid allows."),
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
    34: ("E5", "In hours in which the day-ahead plan says so, lent work is capped and works slower."),
    35: ("E6", "While nobody knows what the site draws, nothing new is lent, and no cap is lifted."),
    36: ("O1", "Who submitted a job, or runs the site, may end it."),
}
"""Number (as stored in arrays) to id and sentence."""

(
    ENTITLED, BORROWER_ORDER, NEVER, LOAN, TRANSFER, RECALL, PLACEABLE, RESTORE, ENVELOPE, SHED, REST_RULE, CEILING, NO_SHARE,
    NO_ROOM, IN_ORDER, RESERVED, BACKFILL, AGED, DEADLINE, RESIDENCY, ELASTIC, DRAWDOWN, MINIMUM_RUN, TIME_LIMIT, FAILED,
    GROUP_CEILING, PROMOTION, POWER_RECALL, START_RAMP, GRANT_DRAWN, GRANT_TOO_SMALL, GRANT_TOO_SHORT, GRANT_OVER, PLAN,
    BLIND, WITHDRAWN,
) = range(1, 37)  # fmt: skip

HOLDS = (IN_ORDER, CEILING, NO_SHARE, NO_ROOM, RESERVED, RECALL, ENVELOPE, REST_RULE, FAILED)
"""What a job can wait for; waits are counted in this order."""
