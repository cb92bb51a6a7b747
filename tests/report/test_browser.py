"""The page in a real browser: from a file, without a network, on a screen, a phone and paper."""

import pytest

from kvandal.report import render

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(made_run, tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "report.html"
    target.write_text(render(made_run), encoding="utf-8")
    return target


def opened(browser, target, width=1280, scheme="light"):
    """Open the page; return it with everything that went wrong and everything that it asked for."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    troubles, requests = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(target.as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached", timeout=60_000)
    return page, troubles, requests


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_every_chart_is_drawn_without_errors_or_requests(browser, report, width, scheme):
    page, troubles, requests = opened(browser, report, width, scheme)

    states = page.eval_on_selector_all(
        "[data-chart]",
        "all => all.map(e => [e.dataset.chart, e.dataset.drawn, e.querySelectorAll('canvas').length])",
    )
    assert len(states) >= 14
    assert [state for state in states if state[1] != "true" or not state[2]] == []
    assert troubles == []
    assert requests == [report.as_uri()]
    assert page.is_hidden("#trouble")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


def test_buttons_zoom_all_charts_and_colour_the_floor(browser, report, made_run):
    page, troubles, _ = opened(browser, report)

    page.click("button[data-metric=failures]")
    page.click("#keys-power button:first-child")

    assert page.get_attribute("button[data-metric=failures]", "aria-pressed") == "true"
    assert "failures" in page.inner_text("#keys-floor")
    assert page.get_attribute("#keys-power button:first-child", "aria-pressed") == "false"
    assert troubles == []
    page.close()


def test_a_short_run_offers_its_peak(browser, changed, tmp_path):
    """Zooming one chart to the peak moves the others along."""
    folder = changed(lambda run: run.update(end_utc="2027-04-02T00:00:00+00:00"))
    target = tmp_path / "report.html"
    target.write_text(render(folder), encoding="utf-8")
    page, troubles, _ = opened(browser, target)

    page.click("text=Day of the peak")

    spans = page.evaluate(
        "['power', 'tiers', 'heat'].map(k => { const z = echarts.getInstanceByDom(document.getElementById('chart-' + k)).getOption().dataZoom[0];"
        " return Math.round((z.endValue - z.startValue) / 3600000); })"
    )
    assert spans == [24, 24, 24]
    assert troubles == []
    page.close()


def test_paper_shows_every_chart(browser, report, tmp_path):
    """Printing redraws all charts at the width of the paper, then the screen comes back."""
    page, troubles, _ = opened(browser, report)

    inked = page.evaluate(
        "() => { window.dispatchEvent(new Event('beforeprint'));"
        " return [...document.querySelectorAll('[data-chart] canvas')].map(c => [c.parentElement.parentElement.dataset.chart, c.style.width,"
        " c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)]); }"
    )
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    document = page.pdf(format="A4", prefer_css_page_size=True)

    assert [entry for entry in inked if entry[1] != "680px" or not entry[2]] == []
    assert len(inked) >= 14  # one canvas per chart: paper drops the lower ones of a stack
    assert document.startswith(b"%PDF")
    assert troubles == []
    page.close()


def test_a_script_error_is_visible(browser, report, tmp_path):
    """A page that cannot be drawn says so at its top."""
    broken = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8")
    broken.write_text(text.replace('"steps":[', '"lost":[', 1), encoding="utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())

    page.wait_for_selector("#trouble:visible", timeout=30_000)

    assert "could not be drawn in full" in page.inner_text("#trouble")
    page.wait_for_selector(
        "#chart-floor[data-drawn=true]", state="attached"
    )  # the others are drawn all the same
    page.close()


def test_hostile_text_runs_nothing(browser, changed, tmp_path):
    """Markup in names reaches the page, the legends and the tips as text."""
    hostile = "<img src=x onerror=\"document.title='owned'\">"

    def edit(run):
        run["scenario"]["description"] = hostile
        run["scenario"]["tenants"][hostile] = run["scenario"]["tenants"].pop("uk")
        run["warnings"] = [hostile, "</script><script>document.title='owned'</script>"]

    target = tmp_path / "report.html"
    target.write_text(render(changed(edit)), encoding="utf-8")
    page, troubles, requests = opened(browser, target)

    assert "owned" not in page.title()
    assert hostile in page.inner_text(".description")
    assert troubles == []
    assert len(requests) == 1
    page.close()


def test_a_real_run_has_a_report(browser, small_run, tmp_path):
    """What the simulator writes is what the page reads."""
    target = tmp_path / "report.html"
    target.write_text(render(small_run), encoding="utf-8")

    page, troubles, requests = opened(browser, target)

    assert page.eval_on_selector_all("[data-chart]:not([data-drawn=true])", "all => all.length") == 0
    assert troubles == []
    assert requests == [target.as_uri()]
    assert "differs by" not in page.content()
    page.close()
