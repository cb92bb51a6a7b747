"""Pages in a real browser: they follow the site without being loaded again, and ask nobody else for anything."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from site_in_store import HOSTILE, view_of, write_site

from kvandal.control.identity.guard import Guard
from kvandal.control.operations.watch import RequestWatch, Watch

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser_pages")]


@pytest.fixture
def address(app, jobs) -> Iterator[str]:
    """Address of the service, served as it is in earnest."""
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    watch = Watch()
    guarded = RequestWatch(Guard(app, local=True, base_url=base), watch)
    server = uvicorn.Server(
        uvicorn.Config(guarded, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield base
    server.should_exit = True
    thread.join()


@contextmanager
def opened(browser, address, path="/", width=1280, scheme="light", javascript=True, troubles_expected=0):
    """Open a page; nothing may go wrong in it, and nothing be asked from elsewhere."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=javascript
    )
    page = context.new_page()
    troubles, asked = [], []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address + path)
    if javascript:
        page.wait_for_selector("#live[data-state=live]", timeout=60_000)
    yield page
    assert len(troubles) == troubles_expected, troubles
    assert [url for url in asked if not url.startswith((f"{address}/", "data:,"))] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_numbers_are_those_of_the_interface(browser, address, width, scheme) -> None:
    with opened(browser, address, width=width, scheme=scheme) as page:
        site = page.evaluate("fetch('/v1/site').then(answer => answer.json())")

        assert page.inner_text("#site-power") == f"{site['site_power_mw']:.2f}\u00a0MW"
        assert page.inner_text("#envelope") == f"{site['envelope_mw']:.2f}\u00a0MW"
        assert page.inner_text("#pue") == f"{site['pue']:.3f}"
        assert page.inner_text("#queued-jobs") == str(site["jobs"]["queued"])
        assert page.inner_text("#tcs_supply_c") == f"{site['water']['tcs_supply_c']:.1f}\u00a0°C"
        for kind in ("firm", "assured", "lent", "broken", "free"):
            assert page.inner_text(f"#gpus-{kind}") == str(site["gpus"][kind])
        for tenant in site["tenants"]:
            row = page.locator(f"tr[data-tenant={tenant['name']}]")
            for key in ("guarantee", "deserved", "ceiling", "own", "on_loan", "lent_out"):
                assert row.locator(f"td[data-key={key}]").text_content() == str(tenant[key])
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)")


def test_a_tenant_a_job_and_its_why_are_a_click_away(browser, address, jobs) -> None:
    with opened(browser, address) as page:
        page.click("tr[data-tenant=norway-startups] a")
        page.wait_for_selector("h1:has-text('Norwegian startups')")
        page.click("#waiting a:has-text('<script>')")
        page.wait_for_selector("#why")

        assert page.inner_text("h1") == HOSTILE
        assert "no tray is free for 8 GPUs <b>now</b>" in page.inner_text("#why")
        assert "Jobs of one tenant and class start in order of submission." in page.inner_text("#why")
        assert page.title() == f"{HOSTILE} \u2013 Kvandal"
        page.click("nav a:has-text('Jobs')")
        page.select_option("select[name=tenant]", "uk")
        page.select_option("select[name=state]", "waiting")
        page.click("button:has-text('Show')")
        page.wait_for_url("**/jobs?tenant=uk&state=waiting")
        assert [row.inner_text() for row in page.locator("table.jobs td:first-child a").all()] == [
            "secret-of-uk"
        ]


def test_a_new_version_shows_without_loading_the_page_again(browser, address, store) -> None:
    """What the loop writes appears by itself; the page that was opened stays, and so does what has the focus."""
    with opened(browser, address) as page:
        page.evaluate("window.opened = 'once'")
        page.focus("tr[data-tenant=uk] a")
        tenants = [
            {**one, "own": 97} if one["name"] == "norway-startups" else one for one in view_of()["tenants"]
        ]

        write_site(store, 2, site_power_mw=1.301, fail_safe="no telemetry for 31 s", tenants=tenants)

        page.wait_for_selector("#site-power:has-text('1.30')")
        assert "no telemetry for 31 s" in page.inner_text("#fail-safe")
        assert page.text_content("tr[data-tenant=norway-startups] td[data-key=own]") == "97"
        assert page.evaluate("window.opened") == "once"
        assert page.evaluate("document.activeElement.getAttribute('href')") == "/tenants/uk"

        write_site(store, 3)
        page.wait_for_selector("#fail-safe", state="detached")
        assert page.evaluate("window.opened") == "once"


def test_without_scripts_the_page_is_whole_and_asks_again_by_itself(browser, address) -> None:
    with opened(browser, address, javascript=False) as page:
        assert page.inner_text("#site-power") == "1.23\u00a0MW"
        assert page.locator("svg.plot").count() == 2
        assert page.get_attribute("meta[http-equiv=refresh]", "content") == "15"


def test_the_policy_of_contents_stops_what_is_smuggled_in(browser, address) -> None:
    """Should something be marked up after all, the browser refuses to run it."""
    with opened(browser, address, troubles_expected=1) as page:
        page.evaluate(
            "() => { const one = document.createElement('script'); one.textContent = 'window.owned = true'; "
            "const seen = []; document.addEventListener('securitypolicyviolation', e => seen.push(e.violatedDirective)); "
            "window.seen = seen; document.body.append(one); }"
        )
        page.wait_for_function("window.seen.length > 0")
        assert json.loads(page.evaluate("JSON.stringify([window.owned ?? null, window.seen])")) == [
            None,
            ["script-src-elem"],
        ]
        page.evaluate("window.seen")
