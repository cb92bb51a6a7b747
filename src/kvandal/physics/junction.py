"""Junction temperature of a GPU on a cold plate, at any flow, and what happens when the flow is lost."""

from __future__ import annotations

import math

from kvandal.compiled import kernel, large_kernel

LEAST_FLOW = 0.01
"""Natural circulation: convection is never that of a smaller flow (judgement)."""

CONVECTION_EXPONENT = 0.8
"""Turbulent convection in the channels of a cold plate (Dittus and Boelter 1930; Incropera et al., chapter 8)."""

LONGEST_STEP_S = 0.5
"""Longest sub-step of the time course after a loss of flow [s]."""


@kernel
def thermal_resistance_k_per_w(flow_fraction: float, design_k_per_w: float, convective_share: float) -> float:
    r"""Resistance from junction to coolant at part flow [K/W].

    .. math:: R_{th} = R_0 \left( (1 - s) + s\, (\dot V / \dot V_0)^{-0.8} \right)

    Valid for flows of 1 % to above design; below 1 % the resistance of 1 % (natural circulation).

    Parameters
    ----------
    flow_fraction : coolant flow over design
    design_k_per_w : resistance at design flow [K/W], 0.020 to 0.032 for a B300-class GPU
    convective_share : share of convection at design flow, about 0.4

    References
    ----------
    F. P. Incropera et al., *Fundamentals of Heat and Mass Transfer*, 7th edition, 2011, equation 8.60 (Dittus-Boelter);
    0.026 K/W and the share of 40 % are judgement (an open model of an H100 gives 0.066 K/W).

    Examples
    --------
    >>> [round(thermal_resistance_k_per_w(flow, 0.026, 0.4), 4) for flow in (1.0, 0.5, 0.0)]
    [0.026, 0.0337, 0.4296]

    """
    # limits ask for the design flow in every tick: its power is one
    convection = 1.0
    if flow_fraction != 1.0:
        convection = math.pow(max(LEAST_FLOW, flow_fraction), -CONVECTION_EXPONENT)
    return design_k_per_w * (1.0 - convective_share + convective_share * convection)


@kernel
def junction_temp_c(coolant_c: float, gpu_power_w: float, resistance_k_per_w: float) -> float:
    r"""Junction temperature in steady state, :math:`T_j = T_{sup} + P R_{th}` [°C].

    Valid for every power and coolant temperature; `resistance_k_per_w` refers to the coolant as supplied.

    Parameters
    ----------
    coolant_c : supply temperature of the coolant [°C]
    gpu_power_w : power of the GPU [W]
    resistance_k_per_w : from :func:`thermal_resistance_k_per_w` [K/W]

    References
    ----------
    JEDEC JESD51 series (thermal resistance junction to reference); the resistance is judgement.

    Examples
    --------
    At 45 °C and 1,400 W 81 °C: 4 K below the start of throttling at 85 °C:

    >>> round(junction_temp_c(45.0, 1400.0, 0.026), 1)
    81.4

    """
    return coolant_c + gpu_power_w * resistance_k_per_w


@kernel
def gpu_power_limit_w(coolant_c: float, limit_c: float, resistance_k_per_w: float) -> float:
    r"""Power at which the junction sits at its limit, :math:`(T_{lim} - T_{sup}) / R_{th}`, never below 0 [W].

    Inverse of :func:`junction_temp_c`; same validity and reference. Infinite without a resistance.

    At 45 °C a limit of 85 °C leaves 1,538 W, at 50 °C 1,346 W:

    >>> round(gpu_power_limit_w(45.0, 85.0, 0.026)), round(gpu_power_limit_w(50.0, 85.0, 0.026))
    (1538, 1346)
    """
    if resistance_k_per_w <= 0.0:
        return math.inf
    return max(0.0, (limit_c - coolant_c) / resistance_k_per_w)


@kernel
def throttled_power_w(
    junction_c: float, gpu_power_w: float, gpu_idle_w: float, throttle_c: float, trip_c: float
) -> float:
    """Power of a GPU that throttles: falls on a line from its load at `throttle_c` to idle at `trip_c` [W].

    Valid at every temperature. The line is judgement; real firmware steps clocks in a few milliseconds.

    Parameters
    ----------
    junction_c : junction temperature [°C]
    gpu_power_w, gpu_idle_w : power without throttling, and idle power [W]
    throttle_c, trip_c : start of throttling, and trip [°C]

    Examples
    --------
    >>> throttled_power_w(80.0, 1400.0, 200.0, 85.0, 95.0), throttled_power_w(90.0, 1400.0, 200.0, 85.0, 95.0)
    (1400.0, 800.0)

    """
    if junction_c <= throttle_c:
        return gpu_power_w
    if junction_c >= trip_c:
        return min(gpu_power_w, gpu_idle_w)
    left = (trip_c - junction_c) / (trip_c - throttle_c)
    return min(gpu_power_w, gpu_idle_w + left * (gpu_power_w - gpu_idle_w))


@kernel
def flow_loss_step(
    junction_c: float,
    loop_excess_k: float,
    flow_fraction: float,
    supply_c: float,
    gpu_power_w: float,
    resistance_k_per_w: float,
    convective_share: float,
    flow_w_per_k: float,
    plate_s: float,
    loop_s: float,
    step_s: float,
) -> tuple[float, float]:
    r"""One step of the two masses of a cooled GPU: the cold plate with its package, and the coolant of the rack's loop.

    .. math::

        \frac{\tau_p}{R_0} \frac{dT_j}{dt} = P - q, \quad q = \frac{T_j - T_{sup} - x}{R_{th}(f)}, \qquad
        \tau_l\, C\, \frac{dx}{dt} = (1 - f)\, q - f\, C\, x

    with flow f over design, capacity rate C of the design flow per GPU, and the warmth x of the coolant above its normal
    temperature: flow carries heat away, what stands still keeps it. Implicit in time, stable at any step; use half a
    second or less. Full flow and x = 0 give :func:`junction_temp_c` in steady state.

    Parameters
    ----------
    junction_c : junction temperature [°C]
    loop_excess_k : warmth of the rack's coolant above normal [K]
    flow_fraction : coolant flow over design
    supply_c : supply temperature [°C]
    gpu_power_w : power of the GPU in this step [W]
    resistance_k_per_w, convective_share : as in :func:`thermal_resistance_k_per_w`
    flow_w_per_k : capacity rate of the design flow per GPU [W/K]
    plate_s, loop_s : time constants of cold plate (2 to 5 s) and rack loop (20 to 40 s)
    step_s : length of the step [s]

    Returns
    -------
    Junction temperature [°C] and warmth of the coolant [K] after the step.

    Examples
    --------
    Without flow a GPU of 1,400 W warms by 5.6 K in the first half second:

    >>> [round(value, 2) for value in flow_loss_step(76.4, 0.0, 0.0, 40.0, 1400.0, 0.026, 0.4, 140.0, 3.0, 30.0, 0.5)]
    [82.04, 0.01]

    """
    resistance = thermal_resistance_k_per_w(flow_fraction, resistance_k_per_w, convective_share)
    capacity_j_per_k = plate_s / resistance_k_per_w
    gain = step_s / (capacity_j_per_k * resistance)
    coolant_c = supply_c + loop_excess_k
    junction_c = (junction_c + gain * coolant_c + step_s * gpu_power_w / capacity_j_per_k) / (1.0 + gain)
    heat_w = (junction_c - coolant_c) / resistance
    kept_k = step_s * (1.0 - flow_fraction) * heat_w / (loop_s * flow_w_per_k)
    return junction_c, (loop_excess_k + kept_k) / (1.0 + step_s * flow_fraction / loop_s)


@large_kernel
def flow_loss_times_s(
    supply_c: float,
    gpu_power_w: float,
    gpu_idle_w: float,
    resistance_k_per_w: float,
    convective_share: float,
    flow_w_per_k: float,
    plate_s: float,
    loop_s: float,
    coast_s: float,
    natural_fraction: float,
    throttle_c: float,
    trip_c: float,
    step_s: float,
    horizon_s: float,
) -> tuple[float, float, float]:
    r"""Time from the loss of coolant flow to throttling and to the trip of a GPU.

    The flow runs down as :math:`\max(f_n, e^{-t/\tau_c})`: pumps and water coast, then natural circulation is left. Cold
    plate and rack loop warm up by :func:`flow_loss_step`; the GPU throttles by :func:`throttled_power_w` and trips at
    `trip_c`. The run-down time is chosen (20 s) so that a GPU of 1,400 W at 40 °C supply throttles within the 10 to
    25 s that are published for a loss of flow at full power; with pumps that stop dead it is about one second.

    Valid for supply temperatures of -40 to +60 °C and every power. A GPU that starts above `throttle_c` throttles at
    time 0. What never happens within `horizon_s` is infinite.

    Parameters
    ----------
    supply_c : supply temperature of the coolant [°C]
    gpu_power_w, gpu_idle_w : power of the GPU without throttling, and idle power [W]
    resistance_k_per_w, convective_share : as in :func:`thermal_resistance_k_per_w`
    flow_w_per_k : capacity rate of the design flow per GPU [W/K]: its TDP over the coolant's rise
    plate_s, loop_s : time constants of cold plate (2 to 5 s) and rack loop (20 to 40 s)
    coast_s : time constant of the flow's run-down [s]
    natural_fraction : flow by natural circulation over design
    throttle_c, trip_c : start of throttling, and trip [°C]
    step_s : sub-step, at most 0.5 s is used [s]
    horizon_s : longest time looked at [s]

    Returns
    -------
    Time to throttling, time to the trip [s], and the energy that the GPU draws until then or until the horizon [kJ].

    References
    ----------
    Time constants and times are judgement; the HBM limit of 95 °C is published for the GB300.

    Examples
    --------
    1,400 W at 40 °C; the same at 45 °C; an idle GPU:

    >>> def times(supply_c, power_w):
    ...     return flow_loss_times_s(
    ...         supply_c, power_w, 200.0, 0.026, 0.4, 140.0, 3.0, 30.0, 20.0, 0.03, 85.0, 95.0, 0.25, 900.0)
    >>> [tuple(round(value, 1) for value in times(*case)) for case in ((40.0, 1400.0), (45.0, 1400.0), (40.0, 200.0))]
    [(14.2, 334.5, 118.7), (8.2, 217.5, 86.8), (242.5, 549.5, 109.9)]

    """
    step = min(step_s, LONGEST_STEP_S) if step_s > 0.0 else LONGEST_STEP_S
    junction_c = junction_temp_c(supply_c, gpu_power_w, resistance_k_per_w)
    excess_k = 0.0
    throttle_s = trip_s = math.inf
    energy_kj = 0.0
    for count in range(math.ceil(horizon_s / step) + 1):
        time_s = count * step
        if junction_c >= throttle_c and throttle_s == math.inf:
            throttle_s = time_s
        if junction_c >= trip_c:
            trip_s = time_s
            break
        power_w = throttled_power_w(junction_c, gpu_power_w, gpu_idle_w, throttle_c, trip_c)
        flow = (
            max(natural_fraction, math.exp(-(time_s + step) / coast_s)) if coast_s > 0.0 else natural_fraction
        )
        junction_c, excess_k = flow_loss_step(
            junction_c, excess_k, flow, supply_c, power_w, resistance_k_per_w, convective_share,
            flow_w_per_k, plate_s, loop_s, step,
        )  # fmt: skip
        energy_kj += power_w * step / 1000.0
    return throttle_s, trip_s, energy_kj
