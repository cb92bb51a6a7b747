"""Demand: the jobs that the twin schedules, from traces and from synthetic classes.

``jobs``
    the table of jobs (the contract with the twin);
``readers``, ``swf``, ``columns``, ``trace``
    traces from files;
``facts``
    statistics of a trace, before and after;
``bootstrap``
    scale a trace to the site;
``generators``
    synthetic classes: frontier training, online inference;
``build``
    all classes of a scenario, with a report for each.
"""
