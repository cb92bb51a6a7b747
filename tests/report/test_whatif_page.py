"""The page of a what-if: drawn in a browser, from files alone, hostile names included."""

import json
import re
import shutil
from pathlib import Path

import pytest

import kvandal as kv
from kvandal.report.whatif import render_whatif
from kvandal.runs.whatif import write_whatif

SMALL = Path(__file__).parent.parent / "small.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a what-if of two seeds of the small site over a day."""
    base = kv.load(SMALL, {"run.days": 1})
    folder = tmp_path_factory.mktemp("whatif") / "less"
    write_whatif(kv.whatif(base, {"site.grid_mw": 1.0}, seeds=2, workers=1), folder)
    return folder


def charts(page):
    found = re.search(r'<script type="application/json" id="kvandal-charts">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def test_bars_are_the_differences_of_the_record(folder):
    """With their intervals; pale where chance is not ruled out; what is known to one seed is not sure."""
    record = json.loads((folder / "whatif.json").read_text(encoding="utf-8"))
    rows = {(row["tenant"], row["metric"]): row for row in record["rows"]}
    specs = charts(render_whatif(folder))
    names = [one["name"] for one in record["tenants"]]
    for key in ("wait_p95_s", "gpu_hours_useful"):
        for name, bar in zip(names, specs[f"delta-{key}"]["rows"], strict=True):
            row = rows[name, key]
            assert (bar["value"], bar["low"], bar["high"]) == (row["difference"], row["low"], row["high"])
            assert bar["sure"] == (row["low"] is not None and (row["low"] > 0 or row["high"] < 0))
            if row["difference"]:
                better = (row["difference"] > 0) == (key == "gpu_hours_useful")
                assert bar["role"] == ("useful" if better else "unmet")
    causes = {series["name"]: series["values"] for series in specs["losses"]["series"]}
    assert causes["shed"] == [rows[name, "gpu_hours_lost_shed"]["difference"] for name in names]
    peak = next(bar for bar in specs["site-deltas"]["rows"] if bar["name"] == "peak site power")
    assert peak["value"] == pytest.approx(100 * rows[None, "peak_site_mw"]["relative"])
    assert specs["waits"]["boxes"][0]["name"] == "offtaker, base"
    assert [line["name"] for line in specs["power"]["series"]] == ["base", "variant"]


def test_every_changed_number_stands_in_a_table(folder):
    """Also those that no chart draws; nothing of the record is markup."""
    page = render_whatif(folder)
    assert page.count("<summary>") > 10
    assert "site.grid_mw" in page
    assert "default-src 'none'" in page
    assert page.count("</script>") == 4


def test_names_are_escaped(folder, tmp_path):
    """A title, a text and a warning are text."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    record = json.loads((copy / "whatif.json").read_text(encoding="utf-8"))
    hostile = "<script>alert(1)</script>"
    for key in ("title", "base", "variant", "gains_text", "loses_text"):
        record[key] = hostile
    record["warnings"] = [hostile]
    record["shared"] |= {"demand_differs": [hostile], "demand_held": [hostile], "weather": False}
    record["changes"].append({"key": hostile, "base": hostile, "variant": None})
    (copy / "whatif.json").write_text(json.dumps(record), encoding="utf-8")
    page = render_whatif(copy)
    assert "<script>alert" not in page
    assert "Demand differs." in page
    assert "weather differ between the sides" in page


def test_a_change_of_nothing_is_said(tmp_path):
    """No chart of differences, and words instead."""
    base = kv.load(SMALL, {"run.days": 1})
    write_whatif(kv.whatif(base, {}), tmp_path / "null")
    page = (tmp_path / "null" / "whatif.html").read_text(encoding="utf-8")
    assert "Nothing is changed: both sides are the same scenario." in page
    assert "No number of any tenant changed." in page
    assert "No loss of any tenant changed." in page
    assert set(charts(page)) == {"waits", "power"}


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_page_is_drawn(drawn, folder, width, scheme):
    """Every chart, without errors, requests or a page wider than its window."""
    with drawn(folder / "whatif.html", width, scheme) as (page, found):
        assert {"delta-wait_p95_s", "delta-gpu_hours_useful", "waits", "losses", "site-deltas", "power"} <= {
            name for name, done, canvases in found if done == "true" and canvases
        }
        assert all(done == "true" and canvases for _, done, canvases in found)
        assert "recall" in page.inner_text("#keys-losses") or "shed" in page.inner_text("#keys-losses")
