"""Write docs/roles.md: who may do what, from the table of permissions and the endpoints of the service.

Run it after a change of either: python docs/roles.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import kvandal as kv
from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.matrix import permissions_page
from kvandal.control.store.database import open_store

PAGE = Path(__file__).parent / "roles.md"


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/kvandal.db") as store:
        app = create_app(ServiceParts(store=store, scenario=kv.load("stargate-norway")))
        try:
            return permissions_page(app)
        finally:
            close(app)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
