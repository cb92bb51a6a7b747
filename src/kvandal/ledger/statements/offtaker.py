"""The settlement of the off-taker: what was reserved, taken, owed in any case, available, and given back."""

from __future__ import annotations

import polars as pl

from kvandal.ledger.books.posting import (
    availability,
    months_of,
    parted,
    price_eur_per_gpu_h,
    taken_or_waited_h,
)
from kvandal.ledger.statements.item import Account, Item, of
from kvandal.ledger.statements.tenant import clean_energy_items


def offtaker_items(account: Account) -> list[Item]:
    """Lines of the settlement; none where the scenario names no off-taker."""
    terms, name = account.scenario.finance, account.scenario.finance.offtaker_tenant
    if name is None:
        return []
    hours = of(account.table("tenants"), name)
    reserved_h, used_h = float(hours["deserved_gpus"].sum()), float(hours["gpus_held"].sum())
    price = price_eur_per_gpu_h(account.scenario, name)
    posted = account.posted(f"receivable:{name}")
    short_h = round(posted.get("take or pay: hours not taken", 0) / 100 / price, 1) if price else 0.0
    return [
        Item("Take or pay", "reserved", reserved_h, "GPU-h", "its deserved share, hour by hour"),
        Item("Take or pay", "taken", used_h, "GPU-h", "GPUs held, on loan or not"),
        Item("Take or pay", "share taken", used_h / reserved_h if reserved_h else None, "1"),
        Item(
            "Take or pay",
            "waited for in vain",
            taken_or_waited_h(hours) - used_h,
            "GPU-h",
            "of its share, while its jobs queued: need not be paid",
        ),
        Item("Take or pay", "share paid for in any case", terms.take_or_pay_fraction, "1", "by the month"),
        Item(
            "Take or pay", "paid for and not taken", short_h, "GPU-h", "from the amount below, at the price"
        ),
        *_service(account),
        *clean_energy_items(account, name, of(account.table("tenant_energy"), name)),
        Item("Money", "price of a GPU-hour", price, "EUR/GPU-h"),
        *account.owed_eur(f"receivable:{name}"),
    ]


def _service(account: Account) -> list[Item]:
    """Availability by the month against what was promised."""
    terms = account.scenario.finance
    columns = ["time_utc", "gpu_s_installed", "gpu_s_broken"]
    items = [
        Item(
            "Availability",
            "promised",
            terms.availability_fraction,
            "1",
            "of the installed GPUs, by the month",
        ),
        Item("Availability", "credit below it", terms.credit_fraction, "1", "of the month's fee"),
    ]
    months = [account.month] if account.month is not None else months_of(account.tables)
    parts = parted(account.table("site").select(columns))
    for month in months:
        reached = availability(parts[month])
        kept = reached is None or reached >= terms.availability_fraction
        items.append(
            Item("Availability", f"reached in {month}", reached, "1", "kept" if kept else "not kept: credit")
        )
    held_back = float(account.table("site").select(pl.col("at_envelope").mean()).item())
    items.append(
        Item("Availability", "time in which power held work back", held_back, "1", "somebody's; not in the availability: hours lost are given back")
    )  # fmt: skip
    return items
