"""What the office must know of the site: who each tenant is for, what it pays, how much it could use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvandal.client.resources.organisations import Kind
from kvandal.scenario.model import Scenario
from kvandal.scenario.parameters import value
from kvandal.scenario.tree import groups_of, limits_of

HOURS_PER_YEAR = 8760
EEA = frozenset(
    [
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IS",
        "IT",
        "LI",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
        "NO",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    ]
)
REGIONS: dict[str, frozenset[str] | None] = {
    "Norway": frozenset({"NO"}),
    "Nordics": frozenset({"DK", "FI", "IS", "NO", "SE"}),
    "United Kingdom": frozenset({"GB"}),
    "Northern Europe": frozenset(
        {"DK", "EE", "FI", "GB", "IE", "IS", "LT", "LV", "NO", "SE", "DE", "NL", "BE", "PL"}
    ),
    "EEA": EEA,
    "Global": None,
}
"""Countries of the regions that tenants name; None: any."""
SANCTIONED = {
    "BY": "Regulation (EC) 765/2006",
    "IR": "Regulation (EU) 267/2012",
    "KP": "Regulation (EU) 2017/1509",
    "RU": "Regulation (EU) 833/2014",
    "SY": "Regulation (EU) 36/2012",
}
"""Countries to whose organisations no computing is provided, and the measure that Norway has taken over."""
RESEARCH: frozenset[Kind] = frozenset({"university", "institute", "hospital"})
YOUNG: frozenset[Kind] = frozenset({"startup", "sme"})
BY_NAME: dict[str, frozenset[Kind]] = {
    "norway-research": RESEARCH,
    "norway-startups": YOUNG,
    "norway-public": frozenset({"public", "hospital"}),
    "offtaker": frozenset({"offtaker"}),
    "sovereign": frozenset({"enterprise", "public", "sme"}),
}
"""Kinds of organisations that tenants of the presets are for."""
BY_TIER: dict[str, frozenset[Kind]] = {
    "firm": frozenset({"enterprise", "public", "offtaker"}),
    "assured": RESEARCH | YOUNG | {"public"},
    "lent": RESEARCH | YOUNG | {"public", "enterprise"},
}
"""The same for tenants with other names."""


@dataclass(frozen=True, slots=True)
class TenantTerms:
    """What holds for a tenant of the site.

    Attributes
    ----------
    kinds, countries : of organisations that it is for; countries None: any
    price_eur, list_price_eur : of a GPU-hour [EUR]
    ceiling_gpus, deserved_gpus : most that it may hold, and what it can always have back
    residency : regions in which its data may be processed; empty means anywhere
    classes : of work that it may submit

    """

    name: str
    tier: str
    kinds: frozenset[Kind]
    countries: frozenset[str] | None
    region: str
    price_eur: float
    list_price_eur: float
    ceiling_gpus: int
    deserved_gpus: int
    residency: tuple[str, ...]
    classes: tuple[str, ...] = ()

    @property
    def aid_ueur_per_gpu_hour(self) -> int:
        """What a GPU-hour costs less than the list price, in whole millionths of a euro.

        Work on loans is bought at a market's price: no aid.
        """
        return 0 if self.tier == "lent" else max(round((self.list_price_eur - self.price_eur) * 1_000_000), 0)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the office must know of the site.

    Attributes
    ----------
    tenants : those that submit jobs
    regions : that the site lies in
    reserve_gpu_hours : director's reserve of a year: a share of what the national (assured) tenants deserve

    """

    tenants: Mapping[str, TenantTerms]
    regions: tuple[str, ...]
    reserve_gpu_hours: int


def terms_of(scenario: Scenario) -> Terms:
    """Read the terms from a scenario."""
    groups, limits = groups_of(scenario.tenants), limits_of(scenario.tenants, {})
    installed = scenario.site.racks * 72
    eur_per_usd = value("econ.nok_per_usd") / scenario.market.nok_per_eur
    tenants = {
        name: TenantTerms(
            name=name,
            tier=tenant.tier,
            kinds=BY_NAME.get(name, BY_TIER[tenant.tier]),
            countries=REGIONS.get(tenant.region),
            region=tenant.region,
            price_eur=tenant.price_usd_per_gpu_hour * eur_per_usd,
            list_price_eur=value("econ.price_list") * eur_per_usd,
            ceiling_gpus=limits[name].ceiling.of(installed),
            deserved_gpus=limits[name].deserved.of(installed),
            residency=tenant.residency,
            classes=tuple(key for key, demand in scenario.demand.items() if name in demand.tenants),
        )
        for name, tenant in scenario.tenants.items()
        if name not in groups
    }
    national = sum(tenant.deserved_gpus for tenant in tenants.values() if tenant.tier == "assured")
    return Terms(
        tenants, scenario.site.regions, int(value("office.reserve_share") * national * HOURS_PER_YEAR)
    )
