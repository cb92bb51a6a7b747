"""The part of the page that says how sure the numbers are."""

import json
import re

import polars as pl
import pytest

from kvandal.report import render
from kvandal.runs.bands import statistics

NUMBERS = {
    "peak_site_mw": (1.0, 0.0),
    "pue": (0.0, -1.0),
    "recalls": (0.0, 0.0),
    "hours_at_envelope": (1.0, 0.0),
}
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture
def sampled(changed):
    """Return the hand-made run with twelve members of two parameters, one of them refused."""
    drawn = {
        "power.first": [float(i) for i in range(12)],
        "cooling.second": [float((5 * i) % 12) for i in range(12)],
    }
    outcomes = [
        {
            name: 10 + a * drawn["power.first"][i] + b * drawn["cooling.second"][i]
            for name, (a, b) in NUMBERS.items()
        }
        for i in range(12)
    ]
    outcomes[7] = None
    varied = [
        {
            "key": key,
            "name": HOSTILE,
            "unit": "1",
            "label": "judgement",
            "base": 1,
            "minimum": 0,
            "maximum": 12,
        }
        for key in drawn
    ]
    section = {
        "samples": 12, "seed": 7, "kept": 11, "refused": [{"reason": HOSTILE, "members": 1}], "quantiles": "", "confidence": 0.95,
        "varied": varied, "fixed": [{"key": "site.grid_mw", "value": 230, "reason": HOSTILE}],
        **statistics(drawn, outcomes, dict.fromkeys(NUMBERS, 10.0)),
    }  # fmt: skip
    folder = changed(lambda run: run.update(uncertainty=section))
    columns = {name: [None if one is None else one[name] for one in outcomes] for name in NUMBERS}
    pl.DataFrame({"member": range(12), **drawn, **columns}).write_parquet(folder / "samples.parquet")
    return folder


def section_of(page):
    found = re.search(r'<section id="uncertainty">.*?</section>', page, re.DOTALL)
    return None if found is None else found.group(0)


def test_a_run_without_members_has_no_such_section(made_run):
    assert section_of(render(made_run)) is None


def test_numbers_stand_in_their_rows(sampled):
    """As asked, P10, P50, P90, and what matters with its sign."""
    text = section_of(render(sampled))
    row = re.search(r"<tr><td>Peak site power.*?</tr>", text).group(0)
    assert re.findall(r'<td class="n">(.*?)</td>', row) == ["10", "11", "15", "20"]
    assert "<code>power.first</code>\u00a0+1.00" in row
    row = re.search(r"<tr><td>PUE.*?</tr>", text).group(0)
    assert "<code>cooling.second</code>\u00a0\u22121.00" in row
    assert "hours_at_envelope" in text
    assert "1 members were refused" in text


def test_the_chart_holds_every_pair(sampled):
    """Correlations reckoned again from samples.parquet; a number that does not change has no column."""
    page = render(sampled)
    found = re.search(r'<script type="application/json" id="kvandal-charts">(.*?)</script>', page, re.DOTALL)
    spec = json.loads(found.group(1))["ranks"]
    assert spec["rows"] == ["cooling.second", "power.first"]
    assert spec["columns"] == ["Peak site power", "PUE"]
    cells = {(spec["rows"][y], spec["columns"][x]): (rho, matters) for x, y, rho, matters in spec["cells"]}
    assert cells["power.first", "Peak site power"] == (1, True)
    assert cells["cooling.second", "PUE"] == (-1, True)
    assert cells["cooling.second", "Peak site power"][1] is False
    assert cells["cooling.second", "Peak site power"][0] == -cells["power.first", "PUE"][0]


def test_text_of_others_is_escaped(sampled):
    assert HOSTILE not in section_of(render(sampled))


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_chart_is_drawn(browser, sampled, tmp_path, width, scheme):
    """Without errors, requests or a page wider than its window."""
    target = tmp_path / "report.html"
    target.write_text(render(sampled), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    troubles = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached", timeout=60_000)
    assert page.eval_on_selector_all("#chart-ranks canvas", "all => all.length") >= 1
    assert "falls with it" in page.inner_text("#keys-ranks")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert troubles == []
    page.close()
