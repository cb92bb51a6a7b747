"""The tree of tenants at one instant, in whole GPUs and under names that a scheduler takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from kvandal.errors import ScenarioError
from kvandal.scenario.model import Scenario
from kvandal.scenario.tenants import Tenant, Tier
from kvandal.scenario.tree import children_of, groups_of, limit_steps, path_text, refuse_unkeepable
from kvandal.twin.site import SiteArrays, build_site

LONGEST_NAME = 50
"""Letters of a name: a Kubernetes namespace holds 63, and Slurm's `loan-` and `own-` come before it."""
LETTERS: dict[str, str | int | None] = {"ø": "o", "æ": "ae", "ß": "ss", "ł": "l", "đ": "d"}
"""Letters that are not a plain letter with a mark."""
TAKEN = {"slurm": ("root", "loans", "normal"), "kueue": ("default", "kueue-system")}
"""Names that a target uses itself."""


@dataclass(frozen=True, slots=True)
class Party:
    """A tenant or a group at one instant; limits in GPUs of those that stand."""

    name: str
    """As the scenario says."""
    called: str
    """As the target says: small letters, digits and dashes."""
    path: str
    parent: str | None
    """Its group, as the scenario says."""
    group: bool
    tier: Tier
    guarantee: int
    deserved: int
    ceiling: int
    own: int
    """What it deserves itself: all of a tenant's; of a group's, what its children do not."""
    weight: float
    notice_s: int
    minimum_run_s: int
    price_usd_per_gpu_hour: float
    served: bool
    """Whether its data may be processed at this site (`residency`)."""

    @property
    def lendable(self) -> int:
        """GPUs that it lends while they are idle."""
        return self.deserved - self.guarantee


@dataclass(frozen=True, slots=True)
class Contract:
    """Who is entitled to what at one instant, and the racks that stand then."""

    scenario: Scenario
    at_utc: datetime
    site: SiteArrays
    standing: int
    """Racks that stand; they are the first of the site."""
    parties: dict[str, Party]
    """By the scenario's name; every group before its children."""
    called: str
    """The site's name in the target."""

    @property
    def installed(self) -> int:
        """GPUs that stand."""
        return self.standing * 72

    @property
    def tenants(self) -> list[Party]:
        """Those who submit jobs."""
        return [party for party in self.parties.values() if not party.group]

    @property
    def groups(self) -> list[Party]:
        """Those who do not."""
        return [party for party in self.parties.values() if party.group]

    def below(self, group: str | None) -> list[Party]:
        """Parties directly below a group; None: at the top."""
        return [party for party in self.parties.values() if party.parent == group]

    @property
    def pool(self) -> int:
        """GPUs that nobody deserves."""
        return self.installed - sum(party.deserved for party in self.below(None))

    @property
    def kinds(self) -> dict[str, int]:
        """GPUs of each kind of rack that stands."""
        counts = np.bincount(self.site.model[: self.standing], minlength=len(self.site.model_names))
        return {
            str(name): int(racks) * 72
            for name, racks in zip(self.site.model_names, counts, strict=True)
            if racks
        }


def contract_at(scenario: Scenario, target: str, at_utc: datetime | None = None) -> Contract:
    """Resolve the tree of tenants at one instant of the run.

    Parameters
    ----------
    scenario
        The scenario.
    target
        ``slurm`` or ``kueue``: says which names are taken.
    at_utc
        The instant; left out, the start of the run.

    Raises
    ------
    ScenarioError
        If there are no tenants, the instant lies outside the run, a name cannot be written, or the limits cannot be kept
        with the racks that stand then.

    """
    if not scenario.tenants:
        raise ScenarioError("the scenario has none, so there is no policy to write", key="tenants")
    run = scenario.run
    moment, end = at_utc or run.start_utc, run.start_utc + timedelta(days=run.days)
    if not run.start_utc <= moment < end:
        raise ScenarioError(
            f"must lie in the run, from {run.start_utc.isoformat()} until before {end.isoformat()}, got {moment.isoformat()}",
            key="--at",
        )
    after_s = (moment - run.start_utc).total_seconds()
    steps = limit_steps(scenario.tenants, run.start_utc, run.days, scenario.site.time_zone)
    limits = [limits for start_s, limits in steps if start_s <= after_s][-1]
    site = build_site(scenario)
    standing = int((site.delivered_s <= after_s).sum())
    when = f" at {moment.isoformat()}, when {standing:,} racks stand"
    if not standing:
        raise ScenarioError(f"no rack stands at {moment.isoformat()}; choose a later one", key="--at")
    try:
        refuse_unkeepable(scenario.tenants, limits, standing, when)
    except ValueError as error:
        raise ScenarioError(str(error)) from None
    names = _names(scenario.tenants, target)
    installed, tree = standing * 72, groups_of(scenario.tenants)
    parties: dict[str, Party] = {}
    for name in _downward(scenario.tenants):
        tenant, own = scenario.tenants[name], limits[name]
        deserved = own.deserved.of(installed)
        children = sum(limits[child].deserved.of(installed) for child in children_of(scenario.tenants, name))
        parties[name] = Party(
            name=name,
            called=names[name],
            path=path_text(scenario.tenants, name),
            parent=tenant.parent,
            group=name in tree,
            tier=tenant.tier,
            guarantee=own.guarantee.of(installed),
            deserved=deserved,
            ceiling=min(installed, own.ceiling.of(installed)),
            own=deserved - children,
            weight=tenant.weight,
            notice_s=tenant.notice_s,
            minimum_run_s=tenant.minimum_run_s,
            price_usd_per_gpu_hour=tenant.price_usd_per_gpu_hour,
            served=not tenant.residency or bool({*tenant.residency} & {*scenario.site.regions}),
        )
    called = plain_name(scenario.name)
    while called in names.values():
        called += "-site"
    return Contract(scenario, moment, site, standing, parties, called)


def _downward(tenants: Mapping[str, Tenant], group: str | None = None) -> list[str]:
    """Every group before its children."""
    return [name for child in children_of(tenants, group) for name in (child, *_downward(tenants, child))]


def plain_name(name: str) -> str:
    """Write a name in small letters, digits and single dashes (RFC 1123); empty if nothing is left.

    >>> plain_name("Norge, forskning"), plain_name("Tromsø/UiT"), plain_name("---")
    ('norge-forskning', 'tromso-uit', '')
    """
    text = (
        unicodedata.normalize("NFKD", name.lower().translate(str.maketrans(LETTERS)))
        .encode("ascii", "ignore")
        .decode()
    )
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def _names(tenants: Mapping[str, Tenant], target: str) -> dict[str, str]:
    """Names in the target by those of the scenario; no two are the same."""
    names: dict[str, str] = {}
    for name in tenants:
        called, key = plain_name(name), f"tenants.{name}"
        if not called:
            raise ScenarioError(
                f"no letter of this name can be written in {target}; give it one of a-z, 0-9 and dash",
                key=key,
            )
        if len(called) > LONGEST_NAME:
            raise ScenarioError(
                f"is too long a name for {target}: {len(called)} letters, at most {LONGEST_NAME} are allowed",
                key=key,
            )
        if called in TAKEN[target] or (target == "kueue" and called.startswith("kube-")):
            raise ScenarioError(f"{target} uses the name {called!r} itself; choose another", key=key)
        for other, taken in names.items():
            if taken == called:
                raise ScenarioError(
                    f"would be called {called!r} in {target}, as tenants.{other} is; rename one of the two",
                    key=key,
                )
        names[name] = called
    return names
