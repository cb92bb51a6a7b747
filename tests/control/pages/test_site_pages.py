"""Pages as they are sent: who sees what, nothing that was typed in is markup, refusals are pages too."""

from __future__ import annotations

import doctest
import html
import re
from datetime import timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import pytest
from site_in_store import HOSTILE, NOW, job_row, write_site
from sqlalchemy import insert

from kvandal.control.identity.principal import Principal, RoleGrant
from kvandal.control.pages import day_chart, words
from kvandal.control.pages.day_chart import MOST_POINTS, Tick, charts, thinned
from kvandal.control.store.tables.loop import JOBS

PATHS = ("/", "/jobs", "/grants", "/loans", "/tenants/norway-startups")


def member(tenant: str, role: str = "member") -> Principal:
    return Principal(f"person_{tenant}", f"Somebody of {tenant}", (RoleGrant(role, tenant),))


class Markup(HTMLParser):
    """Elements and their attributes, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.mark.parametrize("path", [*PATHS, "/jobs/nobody", "/nothing"])
def test_pages_hold_no_inline_script_or_style_and_load_nothing_from_elsewhere(get, jobs, path) -> None:
    answer = get(path)
    if path == "/nothing":
        assert answer.status_code == 404
        return

    found = Markup(answer.text)

    assert found.open == []
    assert {tag for tag, _ in found.elements} & {"style", "iframe", "object"} == set()
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        address = attributes.get("src") if tag == "script" else attributes.get("href")
        assert address is not None or tag != "script"
        assert address is None or address.startswith(("/", "?", "data:,"))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/{hostile}", "/tenants/norway-startups"])
def test_what_people_typed_in_is_text_and_never_markup(get, jobs, path) -> None:
    page = get(path.format(hostile=jobs[HOSTILE])).text

    assert HOSTILE in html.unescape(page)
    assert "<script>document" not in page
    assert "<img" not in page
    assert "<b>now</b>" not in page
    assert "<i>still</i>" not in page


def test_hostile_words_in_the_view_are_text_too(get, store, jobs) -> None:
    write_site(
        store,
        2,
        fail_safe=HOSTILE,
        envelope_reason=HOSTILE,
        nodes_down=[{"node": HOSTILE, "state": HOSTILE, "reason": HOSTILE}],
    )

    page = get("/").text
    assert html.unescape(page).count(HOSTILE) >= 4
    assert "<img" not in page


def test_everybody_sees_the_site_and_only_his_own_tenants(get, door, jobs) -> None:
    door.visitor = member("norway-startups")
    page = text_of(get("/").text)

    assert "1.23 MW" in page
    assert "Norwegian startups" in page
    assert "no tray is free" in page
    for hidden in ("Norwegian research", "Off-taker", "secret-of-uk", "32 GPUs asked"):
        assert hidden not in page


def test_jobs_of_other_tenants_are_not_there(get, door, jobs) -> None:
    door.visitor = member("norway-startups")

    assert get(f"/jobs/{jobs['runs']}").status_code == 200
    hidden, unknown = get(f"/jobs/{jobs['secret-of-uk']}"), get("/jobs/job_unknown")
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert text_of(hidden.text).replace(jobs["secret-of-uk"], "X") == text_of(unknown.text).replace(
        "job_unknown", "X"
    )
    assert "secret-of-uk" not in get("/jobs?tenant=uk").text
    assert get("/tenants/uk").status_code == 404


def test_a_lender_is_not_told_whose_job_holds_its_gpus(get, door, jobs) -> None:
    door.visitor = member("norway-startups")
    page = get("/loans").text
    assert jobs["borrows"] not in page
    assert "data-loan" in page

    door.visitor = member("uk")
    assert jobs["borrows"] in get("/loans").text
    door.visitor = member("norway-research")
    assert "data-loan" not in get("/loans").text


def test_who_is_not_signed_in_is_sent_to_sign_in_and_comes_back(get, door) -> None:
    door.visitor, door.local = None, False
    answer = get("/jobs?state=waiting")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/v1/login?return_to=/jobs%3Fstate%3Dwaiting"
    assert get("/jobs", authorization="Bearer kvd_wrong").status_code == 401


def test_who_has_no_role_yet_is_told_so(get, door, jobs) -> None:
    door.visitor, door.local = Principal("person_new", "Nina"), False
    answer = get("/")

    assert answer.status_code == 403
    assert "Nina may not do this" in text_of(answer.text)
    assert "1.23 MW" not in answer.text


def test_before_the_first_cycle_there_is_a_page(get) -> None:
    answer = get("/")

    assert answer.status_code == 200
    assert "No cycle yet." in text_of(answer.text)


def test_a_view_with_nothing_known_is_a_page(get, store) -> None:
    """Whatever the loop does not know is said to be not known; nothing is zero."""
    nothing = dict.fromkeys(
        ("site_power_mw", "it_power_mw", "envelope_mw", "pue", "gpus", "jobs", "caps", "water", "heat", "ambient_c",
         "price_eur_per_mwh", "carbon_g_per_kwh", "engine", "cycle", "leader", "envelope_reason", "tenants", "nodes_down")
    )  # fmt: skip
    write_site(store, **nothing)
    page = get("/")

    assert page.status_code == 200
    assert page.text.count("not known") > 10
    assert " 0 MW" not in text_of(page.text)


def test_a_store_that_is_gone_is_a_page(get, store, jobs) -> None:
    get("/")
    store.engine.dispose()
    store.file.unlink()
    store.file.mkdir()

    answer = get("/")
    assert answer.status_code == 503
    assert "The database does not answer now." in text_of(answer.text)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/jobs?before=x", "query.before"),
        ("/jobs?state=asleep", "query.state"),
        ("/loans?before=-1", "query.before"),
    ],
)
def test_a_wrong_question_is_a_page_that_names_what_is_wrong(get, jobs, path, said) -> None:
    answer = get(path)

    assert answer.status_code == 422
    assert said in text_of(answer.text)


def test_a_job_tells_its_history_with_the_sentences_of_its_rules(get, jobs) -> None:
    page = text_of(get(f"/jobs/{jobs['waits']}").text)
    assert "Q1 32 GPUs asked, 8 free Jobs of one tenant and class start in order of submission." in page

    page = text_of(get(f"/jobs/{jobs['runs']}").text)
    assert "started: 8 GPUs on 2 trays" in page
    assert "r1n01: 4" in page


def test_pages_of_a_list_hold_every_job_once(get, store, jobs) -> None:
    with store.begin() as tx:
        for number in range(120):
            tx.execute(insert(JOBS).values(**job_row("uk", f"many-{number}", "queued")))
    for state in ("waiting", ""):
        seen, path = [], f"/jobs?tenant=uk&state={state}"
        while path:
            page = get(path).text
            seen += re.findall(r'<tr data-job="(job_\w+)"', page)
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = f"/jobs{html.unescape(following.group(1))}" if following else ""
        assert len(seen) == len(set(seen)) == (121 if state else 122)


def test_files_of_pages_may_be_kept_for_ever_under_their_address(get) -> None:
    for address in set(re.findall(r'(?:href|src)="(/assets/[^"]+)"', get("/").text)):
        answer = get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert get(address, if_none_match=answer.headers["etag"]).status_code == 304
    assert get("/assets/pages.py").status_code == 404
    assert get("/assets/..%2frouting.py").status_code == 404


def test_a_day_is_drawn_to_scale_and_thinned(get, jobs) -> None:
    """A point's height is its share of the scale; averages keep the energy."""
    ticks = [Tick(NOW + timedelta(minutes=i), 1.0 + i % 2, 1.0, 2.0, (10, 5, 1)) for i in range(1440)]
    few = thinned(ticks)
    assert len(few) <= MOST_POINTS
    assert sum(one.site_power_mw for one in few) / len(few) == pytest.approx(1.5)

    power, gpus = charts(ticks[:2], 20, ZoneInfo("Europe/Oslo"))
    assert power.top == 2.0
    assert '<polygon class="it" points="0.0,100.0 1000.0,100.0 1000.0,200.0 0.0,200.0"/>' in power.drawing
    assert '<polygon class="cooling" points="0.0,100.0 1000.0,0.0 1000.0,100.0 0.0,100.0"/>' in power.drawing
    assert gpus.top == 20.0
    assert charts(ticks[:1], 20, ZoneInfo("Europe/Oslo")) == ()
    hours = [name for _, name in charts(ticks, 20, ZoneInfo("Europe/Oslo"))[0].hours]
    assert hours == [
        "16:00",
        "20:00",
        "00:00",
        "04:00",
        "08:00",
        "12:00",
    ]  # of the site's clock: 12:00 UTC is 13:00 there


def test_examples() -> None:
    for module in (day_chart, words):
        assert doctest.testmod(module).failed == 0
