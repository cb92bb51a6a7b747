"""Who gets the GPUs: placement, entitlements, loans and recall as compiled functions over arrays.

Nothing here reads a clock, a file or a random number: the time is an argument, and equal inputs give equal
decisions. The rules have ids (:mod:`kvandal.policy.rules`) that appear in the events of a run.
"""
