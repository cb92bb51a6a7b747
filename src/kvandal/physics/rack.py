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
