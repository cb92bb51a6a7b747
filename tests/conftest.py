"""What all tests share: the real data beside the checkout, Chromium, and one run of a small site."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
SMALL = Path(__file__).parent / "small.toml"

settings.register_profile(
    "kvandal", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "ci", settings.get_profile("kvandal"), derandomize=True
)  # the same examples on every push
settings.load_profile("ci" if os.environ.get("CI") else "kvandal")


def shared_folder() -> Path:
    """Real data that is not shipped: ``$KVANDAL_SHARED_DATA``, else ``shared/data`` beside the checkout."""
    return Path(os.environ.get("KVANDAL_SHARED_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    no_data = pytest.mark.skip(
        reason=f"not run: real data not found at {shared_folder()} (set KVANDAL_SHARED_DATA)"
    )
    no_browser = pytest.mark.skip(reason="not run: no Chromium on this machine (Debian package: chromium)")
    no_prometheus = pytest.mark.skip(
        reason="not run: no Prometheus on this machine (Debian package: prometheus)"
    )
    no_postgres = pytest.mark.skip(
        reason="not run: no PostgreSQL on this machine (Debian package: postgresql)"
    )
    for item in items:
        if "postgres" in item.keywords and not has_postgres():
            item.add_marker(no_postgres)
        if "shared_data" in item.keywords and not shared_folder().is_dir():
            item.add_marker(no_data)
        if "browser" in item.keywords and chromium() is None:
            item.add_marker(no_browser)
        if "prometheus" in item.keywords and shutil.which("prometheus") is None:
            item.add_marker(no_prometheus)


FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def has_postgres() -> bool:
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return any(debian) or shutil.which("initdb") is not None


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return shared_folder()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = chromium()
    assert path is not None
    return path


@pytest.fixture(scope="session")
def browser(chromium_path):
    """Return a headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium_path, headless=True, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(autouse=True)
def _browser_out_of_the_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the event loop of a browser from tests that do not use it.

    It stays the running loop of this thread for as long as the browser lives, and asyncio starts no other beside it.
    """
    loop = asyncio._get_running_loop()
    if loop is None or "browser" in request.fixturenames:
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture
def drawn(browser):
    """Open a page whose charts are all drawn, then see that there were no errors and requests, and that it fits its window."""

    @contextmanager
    def opened(target, width, scheme):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        troubles, requests = [], []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(target.as_uri())
        page.wait_for_selector("html[data-ready=true]", state="attached", timeout=60_000)
        yield (
            page,
            page.eval_on_selector_all(
                "[data-chart]",
                "all => all.map(e => [e.dataset.chart, e.dataset.drawn, e.querySelectorAll('canvas').length])",
            ),
        )
        assert troubles == []
        assert requests == [target.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.close()

    return opened


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of ten racks over three days."""
    import kvandal as kv

    folder = tmp_path_factory.mktemp("runs") / "small"
    kv.write_run(kv.simulate(kv.load(SMALL)), folder)
    return folder
