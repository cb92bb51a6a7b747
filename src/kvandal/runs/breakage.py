"""What broke under a job, who repaired it and until when, in words."""

from __future__ import annotations

from kvandal.runs.phrases import Clock
from kvandal.runs.story import Records, Row

BACK = {"failure": "repair", "rack_failure": "rack_repair", "trip": "power_on"}
"""Kind of event that brings back what an event took out of service; the others break nothing."""


def what_broke(records: Records, run: Row, clock: Clock) -> str:
    """Say what took the GPUs of a run that a failure ended, and when it was back in service.

    Parameters
    ----------
    records : what the tables hold of the job
    run : its run
    clock : writes the times

    """
    there = [one for one in records.failures if one["time_utc"] == run["end_utc"]]
    mine = [one for one in there if one["job"] == records.job["job"]]
    beside = [one for one in there if one["rack"] == run["rack"]]
    event = next(iter([*mine, *beside, *there]), None)
    if event is None:
        return "something that it ran on failed (F1)"
    return f"{_cause(records, event)} (F1){_repair(records, event, clock)}"


def _cause(records: Records, event: Row) -> str:
    rack = f"rack {event['rack']}"
    fault = records.places.get(event["fault"]) if event["fault"] is not None else None
    by_fault = (
        f" by fault {event['fault']} of the plant ({fault['kind']} at {fault['place']})".replace("_", " ")
        if fault is not None
        else ""
    )
    return {
        "failure": f"tray {event['tray']} in {rack} broke",
        "host_fault": f"the software or the host of tray {event['tray']} in {rack} failed",
        "network_fault": f"the network of tray {event['tray']} in {rack} failed",
        "rack_failure": f"the NVLink switches of {rack} failed",
        "trip": f"{rack} was switched off{by_fault}",
    }[event["kind"]]


def _repair(records: Records, event: Row, clock: Clock) -> str:
    """Say who repaired it, and until when; nothing where nothing was broken."""
    if event["kind"] not in BACK:
        return ""
    tray = event["tray"] if event["kind"] == "failure" else None
    later = [
        one
        for one in records.repairs
        if one["time_utc"] >= event["time_utc"] and one["rack"] == event["rack"] and one["tray"] == tray
    ]
    texts: list[str] = []
    for one in later:
        if one["kind"] == BACK[event["kind"]]:
            return "; " + ", ".join([*texts, f"it was back in service {clock.at(one['time_utc'])}"])
        if one["kind"] == "repair_begins":
            texts.append(f"a repair crew began {clock.at(one['time_utc'])}")
        elif one["kind"] == "tray_replaced" and one["time_utc"] == event["time_utc"]:
            texts.append("it had failed too often and was replaced")
    return "; " + ", ".join([*texts, "it stayed out of service until the run ended"])
