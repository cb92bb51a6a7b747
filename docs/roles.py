"""Write docs/roles.md: who may do what, from the table of permissions and the endpoints of the service.

Run it after a change of either: .venv/bin/python docs/roles.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from kvandal.control.api.application import close
from kvandal.control.identity.matrix import permissions_page
from kvandal.control.service import Service
from kvandal.control.settings import Settings

PAGE = Path(__file__).parent / "roles.md"


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Settings(data_dir=Path(folder)), demand=False)
        try:
            return permissions_page(service.app)
        finally:
            close(service.app)
            service.close()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
