"""Make the pictures of the documentation from a run folder: ``python docs/picture.py RUN``.

Needs Chromium and the packages of the `test` extra. ``make picture`` simulates the year and calls this.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def main(run: Path) -> None:
    """Photograph the head of a report and its floor plan."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1240})
        page.goto((run / "report.html").resolve().as_uri())
        page.wait_for_selector("html[data-ready=true]")
        page.screenshot(path=IMAGES / "report.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
