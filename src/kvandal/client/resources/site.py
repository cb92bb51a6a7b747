"""The site now and lately: power, water, GPUs, heat, prices, nodes, set-points."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from kvandal.client.resources.base import Asked, Instant, Reason, Told


class EngineNow(Told):
    """The engine that runs the jobs, and whether it answers."""

    name: str = ""
    reachable: bool | None = None
    observed_utc: datetime | None = None


class Gpus(Told):
    """GPUs by what they do now; *firm*, *assured* and *lent* are tiers of use."""

    installed: int | None = None
    broken: int | None = None
    free: int | None = None
    firm: int | None = None
    assured: int | None = None
    lent: int | None = None


class JobsNow(Told):
    """Jobs of all tenants together."""

    running: int | None = None
    queued: int | None = None
    queued_gpus: int | None = None
    recalled: int | None = None


class Caps(Told):
    """Power caps of the GPUs by tier of use, over their TDP."""

    firm: float | None = None
    assured: float | None = None
    lent: float | None = None


class WaterNow(Told):
    """Temperatures of the loops [°C]."""

    tcs_supply_c: float | None = None
    tcs_return_c: float | None = None
    facility_supply_c: float | None = None
    facility_return_c: float | None = None


class HeatCustomer(Told):
    """What a customer wants of heat, and gets [MW]."""

    name: str
    wanted_mw: float | None = None
    delivered_mw: float | None = None


class HeatNow(Told):
    """Heat that is wanted and delivered [MW]."""

    wanted_mw: float | None = None
    delivered_mw: float | None = None
    customers: list[HeatCustomer] = Field(default_factory=list)


class TenantNow(Told):
    """What a tenant holds and waits for, in GPUs; limits may differ from its contract where GPUs are broken."""

    name: str
    title: str | None = None
    group: str | bool | None = None
    tier: str | None = None
    guarantee: int | None = None
    deserved: int | None = None
    ceiling: int | None = None
    own: int | None = None
    on_loan: int | None = None
    lent_out: int | None = None
    queued_jobs: int | None = None
    queued_gpus: int | None = None
    running_jobs: int | None = None


class NodeDown(Told):
    """A node that takes no new jobs."""

    node: str
    state: str
    reason: str | None = None


class Site(Told):
    """The site as the loop last saw it; what is not known is null.

    Attributes
    ----------
    version : grows with every change
    at_utc, cycle : the turn of the loop
    fail_safe : why no new lent work is taken, e.g. that the meter is silent; None: all is well
    site_power_mw, it_power_mw, envelope_mw : drawn and allowed [MW]
    envelope_reason : what bounds it
    tenants : those that the caller may see

    """

    version: int
    at_utc: datetime | None = None
    cycle: int | None = None
    engine: EngineNow | None = None
    fail_safe: str | None = None
    leader: str | None = None
    site_power_mw: float | None = None
    it_power_mw: float | None = None
    envelope_mw: float | None = None
    envelope_reason: str | None = None
    pue: float | None = None
    gpus: Gpus | None = None
    jobs: JobsNow | None = None
    caps: Caps | None = None
    water: WaterNow | None = None
    ambient_c: float | None = None
    heat: HeatNow | None = None
    price_eur_per_mwh: float | None = None
    carbon_g_per_kwh: float | None = None
    tenants: list[TenantNow] = Field(default_factory=list)
    nodes_down: list[NodeDown] = Field(default_factory=list)


class SiteTick(Told):
    """The site in one tick of the recent past."""

    time_s: int
    at_utc: datetime
    site_power_mw: float
    it_power_mw: float
    envelope_mw: float
    heat_export_mw: float
    facility_supply_c: float | None = None
    price_eur_per_mwh: float | None = None
    carbon_g_per_kwh: float | None = None
    gpus_firm: int
    gpus_assured: int
    gpus_lent: int
    queued_gpus: int


class Drain(Asked):
    """Why a node is taken out of use, or put back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "leak at the manifold"}]})

    reason: Reason


class Asking(Told):
    """A request that the loop takes up in its next turn.

    Attributes
    ----------
    inbox : its number in the inbox; done once a cycle's `inbox_to` has reached it

    """

    inbox: int


class SetPoint(Told):
    """Something that may be set from outside.

    Attributes
    ----------
    name : of the allow-list
    unit : of its value
    minimum, maximum : what may be set, from the scenario in force
    value : what is set; None: what the scenario says holds
    until_utc : when that ends by itself
    reason, by, at_utc : why, who and when
    version : number of the last change; 0: never changed

    """

    name: str
    unit: str
    minimum: float
    maximum: float
    value: float | None = None
    until_utc: datetime | None = None
    reason: str | None = None
    by: str | None = None
    at_utc: datetime | None = None
    version: int = 0


class NewSetPoint(Asked):
    """A value for a set-point, why, and until when.

    Attributes
    ----------
    value : within the range of the set-point
    until_utc : when it ends by itself; None: once it is cleared
    reason : for the audit trail

    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "value": 180.0,
                    "until_utc": "2027-01-12T06:00:00Z",
                    "reason": "Statnett asks for less until six",
                }
            ]
        }
    )

    value: Annotated[float, Field(allow_inf_nan=False)]
    until_utc: Instant | None = None
    reason: Reason


class Cycle(Told):
    """A turn of the loop that changed or decided something.

    Attributes
    ----------
    number, at_utc, time_s : which, and when since the epoch of the site
    inbox_to : last row of the inbox that it has taken
    state_digest : SHA-256 of the state after it, "" where it was not taken

    """

    number: int
    at_utc: datetime
    time_s: int
    inbox_to: int
    state_digest: str = ""


class CycleInFull(Cycle):
    """A turn of the loop with all that it was told and all that it decided, each with its rule."""

    cursor: str = ""
    inputs: Any = None
    actions: Any = None


LoanState = Literal["lent", "noticed", "returned"]


class Loan(Told):
    """GPUs of a lender that a job of a borrower holds.

    Attributes
    ----------
    id, job, lender, borrower, gpus : what is lent, by whom, to whom
    state : lent, noticed (it ends at the deadline), returned
    reason : why it ended
    started_utc, noticed_utc, deadline_utc, returned_utc : its life

    """

    id: int
    job: str
    lender: str
    borrower: str
    gpus: int
    state: LoanState
    reason: str = ""
    started_utc: datetime
    noticed_utc: datetime | None = None
    deadline_utc: datetime | None = None
    returned_utc: datetime | None = None
