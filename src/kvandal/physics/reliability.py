"""Interruptions and checkpoints."""

from __future__ import annotations

import math

from kvandal.compiled import kernel


@kernel
def young_interval_s(checkpoint_s: float, mean_time_to_interrupt_s: float) -> float:
    r"""Young's interval between checkpoints, :math:`\tau = \sqrt{2 \delta M}` [s].

    J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17(9), 1974.

    >>> round(young_interval_s(300.0, 86400.0) / 60, 1)
    120.0
    """
    return math.sqrt(2.0 * checkpoint_s * mean_time_to_interrupt_s)


@kernel
def daly_interval_s(checkpoint_s: float, mean_time_to_interrupt_s: float) -> float:
    r"""Daly's interval of work between two checkpoints [s].

    .. math::

        \tau = \sqrt{2 \delta M} \left[ 1 + \tfrac13 \sqrt{\tfrac{\delta}{2M}} + \tfrac19 \tfrac{\delta}{2M} \right]
               - \delta \quad (\delta < 2M), \qquad \tau = M \quad (\delta \ge 2M)

    J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
    Computer Systems 22, 2006, doi:10.1016/j.future.2004.11.016.

    Parameters
    ----------
    checkpoint_s : time to write a checkpoint, delta [s]
    mean_time_to_interrupt_s : M [s]

    Examples
    --------
    Daly's own figures for five minutes a dump, in minutes for 24 h, 6 h and 15 min:

    >>> [round(daly_interval_s(300.0, m * 60) / 60, 1) for m in (1440.0, 360.0, 15.0)]
    [116.7, 56.7, 9.1]

    """
    ratio = checkpoint_s / (2.0 * mean_time_to_interrupt_s)
    if ratio >= 1.0:
        return mean_time_to_interrupt_s
    root = math.sqrt(2.0 * checkpoint_s * mean_time_to_interrupt_s)
    return root * (1.0 + math.sqrt(ratio) / 3.0 + ratio / 9.0) - checkpoint_s


@kernel
def expected_time_ratio(
    checkpoint_s: float, interval_s: float, restart_s: float, mean_time_to_interrupt_s: float
) -> float:
    r"""Effective training time ratio of a synchronous job, to first order.

    .. math:: ETTR \approx 1 - \frac{\delta}{\tau} - \frac{\tau / 2 + R}{M}

    >>> m = 50700 / 16384 * 3600
    >>> round(expected_time_ratio(30.0, young_interval_s(30.0, m), 300.0, m), 2)
    0.9
    """
    return 1.0 - checkpoint_s / interval_s - (interval_s / 2.0 + restart_s) / mean_time_to_interrupt_s


@kernel
def renewal_time_ratio(
    checkpoint_s: float, interval_s: float, restart_s: float, mean_time_to_interrupt_s: float
) -> float:
    r"""Effective training time ratio of a synchronous job, exactly, for interruptions without memory.

    Between two interruptions, which are exponentially distributed about :math:`M`, the job restarts and then saves
    :math:`\tau` of work at the end of every cycle of :math:`\tau + \delta`; restarts can be interrupted, too. By the
    renewal-reward theorem

    .. math:: ETTR = \frac{\tau}{M} \sum_{k \ge 1} e^{-(R + k (\tau + \delta)) / M}
                   = \frac{\tau}{M} \frac{e^{-R / M}}{e^{(\tau + \delta) / M} - 1},

    the inverse of Daly's complete model of the wall time (2006). :func:`expected_time_ratio` is its expansion to first
    order, which loses too much where :math:`M` is short: it lets every interruption cost half a cycle and a whole restart,
    although many come before that much was done.

    >>> m = 50700 / 100_000 * 3600
    >>> tau = young_interval_s(30.0, m)
    >>> round(expected_time_ratio(30.0, tau, 300.0, m), 3), round(renewal_time_ratio(30.0, tau, 300.0, m), 3)
    (0.654, 0.704)
    """
    cycle = (interval_s + checkpoint_s) / mean_time_to_interrupt_s
    saved = math.exp(-restart_s / mean_time_to_interrupt_s) / math.expm1(cycle)
    return interval_s / mean_time_to_interrupt_s * saved
