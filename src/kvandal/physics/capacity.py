"""Do so many GPUs fit behind so many megawatts? The arithmetic of a site's power budget."""

from __future__ import annotations

import math
from dataclasses import dataclass


def racks_for(gpus: int, gpus_per_rack: int = 72) -> int:
    """Racks that hold `gpus` GPUs; a part of a rack counts as a rack.

    >>> racks_for(100_000)
    1389
    """
    return math.ceil(gpus / gpus_per_rack)


@dataclass(frozen=True, slots=True)
class PowerBudget:
    """Nameplate power of a fleet behind a grid connection.

    Attributes
    ----------
    it_power_mw : racks at `rack_kw` and network at `net_kw_per_gpu` [MW]
    site_power_mw : IT power times the design-day PUE [MW]
    grid_mw : grid connection [MW]
    maximum_pue : highest PUE at which the fleet still fits
    maximum_gpus : GPUs that would fit at this rack power, network power and PUE

    """

    it_power_mw: float
    site_power_mw: float
    grid_mw: float
    maximum_pue: float
    maximum_gpus: int

    @property
    def fits(self) -> bool:
        """Whether the fleet at this rack power fits the connection."""
        return self.site_power_mw <= self.grid_mw

    @property
    def headroom_mw(self) -> float:
        """Connection less site power; negative when the fleet does not fit [MW]."""
        return self.grid_mw - self.site_power_mw


def power_budget(
    gpus: int, rack_kw: float, net_kw_per_gpu: float, pue: float, grid_mw: float, gpus_per_rack: int = 72
) -> PowerBudget:
    r"""Power of a fleet with every rack at one power.

    .. math:: P_{IT} = n_{rack} P_{rack} + N p_{net}, \qquad P_{site} = P_{IT} \cdot PUE

    Parameters
    ----------
    gpus : GPUs asked for
    rack_kw : power of a rack [kW]
    net_kw_per_gpu : network, storage and management [kW per GPU]
    pue : power usage effectiveness of the design day
    grid_mw : grid connection [MW]
    gpus_per_rack : GPUs in a rack

    Examples
    --------
    100,000 GB300 in racks of 132 kW need 218 MW at a PUE of 1.10:

    >>> budget = power_budget(100_000, 132, 0.15, 1.10, 230)
    >>> round(budget.it_power_mw, 1), round(budget.site_power_mw, 1), round(budget.maximum_pue, 2), budget.fits
    (198.3, 218.2, 1.16, True)

    """
    it_power_mw = (racks_for(gpus, gpus_per_rack) * rack_kw + gpus * net_kw_per_gpu) / 1000
    kw_per_gpu = (rack_kw / gpus_per_rack + net_kw_per_gpu) * pue
    return PowerBudget(
        it_power_mw=it_power_mw,
        site_power_mw=it_power_mw * pue,
        grid_mw=grid_mw,
        maximum_pue=grid_mw / it_power_mw,
        maximum_gpus=int(grid_mw * 1000 / kw_per_gpu),
    )
