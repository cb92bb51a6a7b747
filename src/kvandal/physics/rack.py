"""Power and speed of a rack under load and power cap."""

from __future__ import annotations

import math

from kvandal.compiled import kernel


@kernel
def rack_power_kw(idle_kw: float, tdp_kw: float, load: float, gpu_power_kw: float, cap: float) -> float:
    r"""Power of a rack from the load of its GPUs and their power cap.

    .. math:: P = P_{idle} + (P_{TDP} - P_{GPU}(1 - p) - P_{idle}) \cdot u

    Linear in the load, after NVIDIA's power registry of GB200 trays (1,000 W idle, 6,667 W full).

    Parameters
    ----------
    idle_kw : power of the rack without a job [kW]
    tdp_kw : power of the rack at full load without a cap [kW]
    load : load of the rack, 0 to 1 (1 = every GPU at TDP)
    gpu_power_kw : power of all GPUs of the rack at TDP [kW]
    cap : GPU power cap over GPU TDP, 0.15 to 1

    Examples
    --------
    >>> round(rack_power_kw(27.0, 132.0, 0.5, 100.8, 1.0), 1)
    79.5
    >>> round(rack_power_kw(27.0, 132.0, 1.0, 100.8, 0.8), 2)
    111.84

    """
    return idle_kw + (tdp_kw - idle_kw) * cap_factor(idle_kw, tdp_kw, gpu_power_kw, cap) * load


@kernel
def load_for_power_fraction(idle_kw: float, tdp_kw: float, power_fraction: float) -> float:
    """Load at which a rack draws a given fraction of its TDP; 0 where that lies below idle.

    >>> round(load_for_power_fraction(27.0, 132.0, 0.85), 4)
    0.8114
    """
    return max(0.0, (power_fraction * tdp_kw - idle_kw) / (tdp_kw - idle_kw))


@kernel
def cap_factor(idle_kw: float, tdp_kw: float, gpu_power_kw: float, cap: float) -> float:
    """Power above idle under a cap, over power above idle without one.

    >>> cap_factor(27.0, 132.0, 100.8, 1.0)
    1.0
    >>> round(cap_factor(27.0, 132.0, 100.8, 0.43), 3)
    0.453
    """
    return max(0.0, tdp_kw - gpu_power_kw * (1.0 - cap) - idle_kw) / (tdp_kw - idle_kw)


@kernel
def capped_speed(cap: float, exponent: float, offset: float) -> float:
    r"""Speed of work under a power cap, over speed without one.

    .. math:: perf(p) = \left( \frac{p - p_0}{1 - p_0} \right)^\beta

    A judgement, anchored on NVIDIA's Max-Q profiles (3 % slower for 15 % less energy) and measured H100 caps.
    Valid for caps above the offset; 0 below it.

    Parameters
    ----------
    cap : GPU power cap over TDP
    exponent : 0.13 (tuned), 0.25 (memory-bound inference), 0.50 (mixed training), 0.65 (dense compute)
    offset : power fraction at which no work is done

    Examples
    --------
    >>> [round(capped_speed(p, 0.50, 0.15), 2) for p in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)]
    [1.0, 0.94, 0.87, 0.8, 0.73, 0.64]

    """
    if cap <= offset:
        return 0.0
    return math.pow((cap - offset) / (1.0 - offset), exponent)


@kernel
def gpu_power_w(
    rack_power_kw: float, idle_kw: float, tdp_kw: float, gpu_idle_w: float, gpu_tdp_w: float
) -> float:
    r"""Power of one GPU in a rack of given power [W].

    .. math:: P_{GPU} = P_{g,idle} + (P_{g,TDP} - P_{g,idle}) \frac{P - P_{idle}}{P_{TDP} - P_{idle}}

    GPU and rack rise together from idle to TDP; held at both ends, so always between idle and TDP.

    Parameters
    ----------
    rack_power_kw : power of the rack [kW]
    idle_kw, tdp_kw : power of the rack when idle and at TDP [kW]
    gpu_idle_w, gpu_tdp_w : power of a GPU when idle and at TDP [W]

    References
    ----------
    Linear in the load after NVIDIA's power registry of GB200 trays (docs.nvidia.com, device specifications of DPS).

    Examples
    --------
    A rack half-way between idle and TDP has GPUs half-way between 200 and 1,400 W:

    >>> gpu_power_w(79.5, 27.0, 132.0, 200.0, 1400.0)
    800.0

    """
    share = (rack_power_kw - idle_kw) / (tdp_kw - idle_kw) if tdp_kw > idle_kw else 0.0
    return gpu_idle_w + (gpu_tdp_w - gpu_idle_w) * min(1.0, max(0.0, share))


@kernel
def limited_speed(
    part: float, idle_kw: float, tdp_kw: float, gpu_power_kw: float, exponent: float, offset: float
) -> float:
    r"""Speed of work of a rack that gets a part of the power above idle that it wants, over its full speed.

    The power cap with that part of power above idle, :math:`p = 1 - (1 - f)(P_{TDP} - P_{idle}) / P_{GPU}` (inverse of
    :func:`cap_factor`), put into :func:`capped_speed`. Never below one thousandth. Valid for parts of 0 to 1.

    Parameters
    ----------
    part : power above idle over what is wanted, 0 to 1
    idle_kw, tdp_kw, gpu_power_kw : rack without a job, at full load, its GPUs at TDP [kW]
    exponent, offset : as in :func:`capped_speed`

    Examples
    --------
    Mixed training at 80 % of the power above idle (a cap of 0.79) runs at 87 % of its speed:

    >>> round(limited_speed(0.8, 27.0, 132.0, 100.8, 0.5, 0.15), 2), limited_speed(1.0, 27.0, 132.0, 100.8, 0.5, 0.15)
    (0.87, 1.0)

    """
    if part >= 1.0:
        return 1.0
    cap = 1.0 - (1.0 - part) * (tdp_kw - idle_kw) / gpu_power_kw
    return max(0.001, capped_speed(cap, exponent, offset))
