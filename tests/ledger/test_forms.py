"""Statutory forms: every figure follows from the run's tables, and what is not known is said to be missing."""

import csv
import io
import json

import polars as pl
import pytest
from typer.testing import CliRunner

import kvandal as kv
from kvandal.cli.main import app
from kvandal.errors import ScenarioError
from kvandal.ledger.forms.eed import cooling_degree_days
from kvandal.ledger.forms.heat_cba import Terms, Year, annuity, net_present_value_eur
from kvandal.runs.folder import write_run
from kvandal.scenario.heat import HeatCustomer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("forms") / "run"
    changes = {
        "run.days": 2, "run.tick_s": 600, "supply.generators_mw": 4.0, "registration.operator": "Kvandal <AS>",
        "registration.organisation_number": "974 760 673", "registration.potable_water_fraction": 0.5,
    }  # fmt: skip
    write_run(kv.simulate(kv.load("stargate-norway-phase-1", changes)), path)
    return path


def form(folder, name, kind="json", out=None):
    arguments = ["report", str(folder), "--form", name, "--format", kind, "--json"]
    result = CliRunner().invoke(app, [*arguments, *(["--out", str(out)] if out else [])])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def values(document):
    return {line["code"]: line["value"] for line in document["lines"]}


def test_the_eed_report_follows_from_the_tables(folder):
    """Data points from the meter's own table, indicators as the regulation defines them from those data points."""
    found = values(form(folder, "eed"))
    site = pl.read_parquet(folder / "site.parquet")
    assert found["E_DC"] == pytest.approx(site["site_power_mw"].sum() / 6 * 1000)
    assert found["E_IT"] == pytest.approx(site["it_power_mw"].sum() / 6 * 1000)
    assert found["E_DC-BG"] == pytest.approx(2000.0)
    assert found["W_IN-POT"] == found["W_IN"] / 2
    assert found["PUE"] == pytest.approx(found["E_DC"] / found["E_IT"])
    assert found["ERF"] == pytest.approx(found["E_REUSE"] / found["E_DC"])
    assert found["REF"] == pytest.approx(found["E_RES-TOT"] / found["E_DC"], rel=1e-3)
    assert found["E_RES-TOT"] == found["E_RES-GOO"] + found["E_RES-PPA"] + found["E_RES-OS"]
    assert 30 < found["T_WH"] < 60


def test_what_is_not_known_is_missing_and_never_zero(folder):
    """Floor areas, traffic and server capacity are nobody's guess; a short run says that it is short."""
    document = form(folder, "eed")
    assert {"S_DC", "S_CR", "C_SERV", "C_STOR", "B_IN, B_OUT", "operator"} - set(document["missing"]) == {
        "operator"
    }
    assert all(line["value"] is None for line in document["lines"] if line["status"] == "missing")
    assert all(line["how"] for line in document["lines"])
    assert "2 days" in document["note"]
    assert "not scaled up" in document["note"]


def test_categories_of_pue_lie_in_order(folder):
    """The nearer the measuring point to the rack, the higher the PUE."""
    found = values(form(folder, "en50600"))
    assert 1 < found["PUE1"] < found["PUE2"] <= found["PUE3"]
    assert found["ITEEsv"] is None
    assert found["ERE"] == pytest.approx(found["PUE3"] * (1 - found["ERF"]))


def test_the_registration_says_what_the_operator_said(folder):
    """Names as given, spaces of the number apart."""
    found = values(form(folder, "nkom"))
    assert found["operator"] == "Kvandal <AS>"
    assert found["organisation number"] == "974760673"
    assert found["representative"] is None


def test_a_connection_by_hand():
    """1 km at 1,000 EUR/m and 1 MW at 60 EUR/kW; 2,000 MWh a year instead of heat at 55 EUR: worked by hand."""
    customer = HeatCustomer(
        kind="flat", peak_mw=1.0, annual_gwh=2.0, supply_c=35.0, return_c=25.0, pipe_km=1.0
    )
    terms = Terms(1000, 500, 60, 0.02, 55, 20, 0.09)
    by_hand = -1_060_000 + 9.128546 * (2000 * 55 - 0.02 * 1_060_000)
    assert net_present_value_eur(customer, Year(2000, 0, 25), terms) == pytest.approx(by_hand, rel=1e-6)
    lifted = -1_560_000 + 9.128546 * (2000 * 55 - 400 * 25 - 0.02 * 1_560_000)
    assert net_present_value_eur(customer, Year(2000, 400, 25), terms) == pytest.approx(lifted, rel=1e-6)
    assert annuity(0.0, 20) == 20


def test_the_heat_analysis_names_every_customer(folder):
    """All customers and their sum, with the range of what matters."""
    document = form(folder, "heat-cba")
    customers = json.loads((folder / "run.json").read_text())["scenario"]["heat"]["customers"]
    npv = [line["value"] for line in document["lines"] if line["code"] == "NPV"]
    assert len(npv) == len(customers) + 1
    assert "other seasons are missing" in document["note"]
    assert npv[-1] == pytest.approx(sum(npv[:-1]))
    assert sum(line["code"].startswith("NPV /") for line in document["lines"]) == 3 * len(customers)


def test_cooling_degree_days_of_eurostat():
    """24 °C counts 3, 23.9 nothing."""
    assert cooling_degree_days(pl.Series([24.0, 23.9, 10.0])) == 3.0


def test_a_form_is_a_page_a_table_and_a_document(folder, tmp_path):
    """Text of others is escaped; CSV and JSON hold the same lines; nothing but what was asked for is written."""
    form(folder, "nkom", "html", tmp_path / "nkom.html")
    page = (tmp_path / "nkom.html").read_text(encoding="utf-8")
    assert "Kvandal &lt;AS&gt;" in page
    assert 'class="n missing">missing' in page
    form(folder, "nkom", "csv", tmp_path / "nkom.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "nkom.csv").read_text(encoding="utf-8"))))
    form(folder, "nkom", "json", tmp_path / "nkom.json")
    assert len(rows) == len(json.loads((tmp_path / "nkom.json").read_text(encoding="utf-8"))["lines"])
    assert rows[0]["value"] == "Kvandal <AS>"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--format", "csv"], "--form"),
        (["--form", "tax"], "tax"),
        (["--form", "eed", "--out", "/nowhere/x"], "/nowhere"),
    ],
)
def test_bad_questions_are_refused(folder, arguments, what):
    """Exit code 2 and one message."""
    result = CliRunner().invoke(app, ["report", str(folder), *arguments])
    assert result.exit_code != 0
    assert what in str(result.exception) + result.output


@pytest.mark.parametrize(
    ("number", "what"),
    [("974760674", "last digit would have to be 3"), ("12345", "nine digits"), ("97476067x", "nine digits")],
)
def test_a_wrong_organisation_number_is_refused(number, what):
    """The check digit is worked out (modulus 11)."""
    with pytest.raises(ScenarioError, match=what):
        kv.load("stargate-norway-phase-1", {"registration.organisation_number": number})
