"""The picture of the live page in the README: a site that lives for a while, as Chromium shows it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent / "images" / "live.png"
SPEED = 600
SECONDS = 90
"""Real time that the site lives before the picture is taken [s]."""


def main() -> None:
    """Start a site, wait, take the picture, end the site."""
    kvandal = str(Path(sys.executable).with_name("kvandal"))
    with tempfile.TemporaryDirectory() as folder:
        command = [
            kvandal,
            "serve",
            "stargate-norway",
            "--speed",
            str(SPEED),
            "--port",
            "0",
            "--data-dir",
            folder,
        ]
        environment = {**os.environ, "KVANDAL_SERVE_LOG_LEVEL": "error"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:  # noqa: S603
            try:
                line = server.stdout.readline() if server.stdout is not None else ""
                found = re.search(r"http://\S+", line)
                if found is None:
                    sys.exit(f"the site does not say where it is: {line}")
                time.sleep(SECONDS)
                take(found.group())
            finally:
                server.send_signal(signal.SIGTERM)


def take(address: str) -> None:
    """Take the picture of the page at an address."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page(viewport={"width": 1200, "height": 1500}, device_scale_factor=1)
        page.goto(address)
        page.wait_for_timeout(2000)
        page.screenshot(path=str(OUT))
        browser.close()


if __name__ == "__main__":
    main()
