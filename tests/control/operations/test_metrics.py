"""Figures: what the loop, requests, the store and the site tell Prometheus."""

from __future__ import annotations

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from site_in_store import write_commands, write_site


def figures(watch) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(watch.metrics.text().decode())
        for sample in family.samples
    }


def figure(watch, name: str, **labels: str) -> float | None:
    return figures(watch).get((name, frozenset(labels.items())))


def test_the_site_is_told_in_base_units(watch, store) -> None:
    write_site(store)

    assert figure(watch, "kvandal_site_power_watts") == 1_234_000
    assert figure(watch, "kvandal_envelope_watts") == 1_500_000
    assert figure(watch, "kvandal_gpus_used", tier="lent") == 24
    assert figure(watch, "kvandal_jobs", state="queued") == 6
    assert figure(watch, "kvandal_water_temperature_celsius", place="tcs_supply") == 35.1
    assert figure(watch, "kvandal_tenant_gpus", tenant="uk", kind="on_loan") == 24
    assert figure(watch, "kvandal_heat_customer_watts", customer="district") == 700_000
    assert figure(watch, "kvandal_nodes_down") == 1


def test_what_is_not_known_is_absent_and_never_zero(watch, store) -> None:
    write_site(store, site_power_mw=None, price_eur_per_mwh=None, heat=None, engine=None)
    names = {name for name, _ in figures(watch)}

    assert figure(watch, "kvandal_water_temperature_celsius", place="facility_return") is None
    assert not {"kvandal_site_power_watts", "kvandal_heat_wanted_watts", "kvandal_engine_reachable"} & names
    assert "kvandal_envelope_watts" in names


def test_fail_safe_shows(watch, store) -> None:
    write_site(store)
    assert figure(watch, "kvandal_fail_safe") == 0
    write_site(store, 2, fail_safe="no telemetry for 31 s", engine={"name": "twin", "reachable": False})
    assert figure(watch, "kvandal_fail_safe") == 1
    assert figure(watch, "kvandal_engine_reachable") == 0


def test_a_store_that_is_gone_shows_and_the_rest_is_still_told(watch, store) -> None:
    write_site(store)
    write_commands(store, asked=5, taken=3)
    assert figure(watch, "kvandal_store_up") == 1
    assert figure(watch, "kvandal_store_inbox_waiting") == 2
    store.engine.dispose()
    assert store.file is not None
    store.file.unlink()
    store.file.mkdir()

    assert figure(watch, "kvandal_store_up") == 0
    assert figure(watch, "kvandal_site_power_watts") is None
    assert figure(watch, "kvandal_loop_is_leader") == 0


def test_cycles_and_their_rules_are_counted(watch, clock) -> None:
    with watch.cycle(1) as turn:
        with turn.step("observe"):
            watch.metrics.telemetry_seen()
        turn.actions, turn.open_intentions = {"K3": 2, "S1": 1}, 7
    with watch.cycle(2) as turn:
        turn.actions = {"K3": 1}

    assert figure(watch, "kvandal_loop_cycle_seconds_count") == 2
    assert figure(watch, "kvandal_loop_actions_total", rule="K3") == 3
    assert figure(watch, "kvandal_loop_decisions_total") == 4
    assert figure(watch, "kvandal_loop_open_intentions") == 7


def test_ages_grow_while_the_loop_stands_still(watch, clock) -> None:
    watch.metrics.leads(True)
    with watch.cycle(1):
        watch.metrics.telemetry_seen()
    clock.seconds += 90

    assert figure(watch, "kvandal_loop_is_leader") == 1
    assert figure(watch, "kvandal_loop_cycle_age_seconds") == 90
    assert figure(watch, "kvandal_loop_telemetry_age_seconds") == 90


def test_a_cycle_that_fails_is_no_cycle(watch, clock) -> None:
    clock.seconds += 5
    with pytest.raises(RuntimeError, match="disk"), watch.cycle(1):
        raise RuntimeError("disk")
    watch.metrics.cycle_failed("store")

    assert figure(watch, "kvandal_loop_cycle_seconds_count") == 0
    assert figure(watch, "kvandal_loop_cycle_age_seconds") == 5
    assert figure(watch, "kvandal_loop_failures_total", cause="store") == 1


def test_statements_of_the_store_are_timed(watch, store) -> None:
    write_site(store)
    watch.metrics.text()

    assert (figure(watch, "kvandal_store_statement_seconds_count", kind="write") or 0) >= 2
    assert (figure(watch, "kvandal_store_statement_seconds_count", kind="read") or 0) >= 1


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_about(watch, store) -> None:
    """Names, units and help texts are as Prometheus wants them."""
    write_site(store)
    with watch.cycle(1) as turn:
        turn.actions = {"K3": 1}
    watch.metrics.request_done("GET", "/v1/jobs", 200, 0.01)

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=watch.metrics.text(), capture_output=True, check=False
    )
    assert (done.stdout.decode(), done.stderr.decode(), done.returncode) == ("", "", 0)
