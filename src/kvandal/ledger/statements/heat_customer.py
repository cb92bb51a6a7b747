"""The bill of a heat customer."""

from __future__ import annotations

from kvandal.ledger.indicators import ratio
from kvandal.ledger.statements.item import Account, Item, of


def heat_items(account: Account, customer: str) -> list[Item]:
    """Lines of a customer's bill."""
    terms = account.scenario.heat.customers[customer]
    rows = of(account.table("heat"), customer, "customer")
    wanted, delivered, unmet, source, pump, lost = (
        float(rows[name].sum())
        for name in (
            "demand_mwh",
            "delivered_mwh",
            "unmet_mwh",
            "source_mwh",
            "heat_pump_mwh",
            "pipe_loss_mwh",
        )
    )
    payer = "the site" if account.scenario.heat.pumps_owned_by == "site" else "the customer"
    stored = float(rows["store_in_mwh"].sum()) - float(rows["store_out_mwh"].sum())
    return [
        Item("Heat", "wanted", wanted, "MWh"),
        Item("Heat", "handed over by the site", source, "MWh", "before heat pump and pipe: what is paid for"),
        Item("Heat", "delivered", delivered, "MWh", f"at {terms.supply_c:g} °C, at the customer's end of the pipe"),
        Item("Heat", "not delivered", unmet, "MWh"),
        Item("Heat", "share delivered", ratio(delivered, wanted), "1"),
        Item("Heat", "lost in the pipe", lost, "MWh"),
        Item("Heat", "into the store less out of it", stored, "MWh"),
        Item("Heat", "electricity of the heat pump", pump, "MWh", f"paid by {payer}"),
        Item("Heat", "heat over electricity", ratio(source + pump, pump), "1", "mean coefficient of performance of all heat"),
        Item("Money", "price of what is handed over", terms.price_eur_per_mwh, "EUR/MWh"),
        *account.owed_eur(f"receivable:heat:{customer}"),
    ]  # fmt: skip
