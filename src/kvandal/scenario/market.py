"""Electricity, heat and carbon as bought and sold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kvandal.scenario.base import Part
from kvandal.scenario.parameters import parameter


class Market(Part):
    """How electricity is bought and what it costs beside its price."""

    prices: str = "synthetic-no4"
    """``synthetic-no4`` (seeded generator on published statistics) or a path to a CSV or Parquet file."""
    spot_mean_eur_per_mwh: float = parameter("market.spot_mean_no4", ge=-100, le=2000)
    at_end: Literal["refuse", "repeat"] = "refuse"
    """What to do when the run is longer than the price series: refuse it, or repeat by calendar."""
    ppa_mw: float = parameter("market.ppa_mw", ge=0, le=100_000)
    """Base load bought under contract; left out, no more than the connection [MW]."""
    ppa_eur_per_mwh: float = parameter("market.ppa_price", ge=0, le=1000)
    goo_fraction: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the energy beyond the PPA for which guarantees of origin are cancelled."""
    goo_by_hour: bool = False
    """Whether the guarantees carry the hour of their production and are cancelled for it: then they match by the hour too."""
    goo_eur_per_mwh: float = parameter("market.goo_price", ge=0, le=1000)
    tariff_nok_per_kw_year: float = parameter("market.tariff_large_nok_kw", ge=0, le=10_000)
    tax_regime: Literal["reduced", "full"] = "reduced"
    """Electricity tax: the data-centre rate, or the general one."""
    tax_reduced_ore_per_kwh: float = parameter("market.tax_reduced_ore", ge=0, le=1000)
    tax_full_ore_per_kwh: float = parameter("market.tax_full_ore", ge=0, le=1000)
    nok_per_eur: float = parameter("market.nok_per_eur", gt=0, le=1000)


class Carbon(Part):
    """Emission factors, each with its accounting basis in its name."""

    location_direct_g_per_kwh: float = parameter("carbon.ef_location", ge=0, le=2000)
    residual_direct_g_per_kwh: float = parameter("carbon.ef_residual", ge=0, le=2000)
    location_lifecycle_g_per_kwh: float = parameter("carbon.ef_location_lifecycle", ge=0, le=2000)
    residual_lifecycle_g_per_kwh: float = parameter("carbon.ef_residual_lifecycle", ge=0, le=2000)
    contract_lifecycle_g_per_kwh: float = parameter("carbon.ef_contract_lifecycle", ge=0, le=2000)
    grid_carbon_free_share: float = parameter("carbon.res_share_delivered", ge=0, le=1)
