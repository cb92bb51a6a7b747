"""A service with identities as a process of its own, logging all that it can: what a test looks through for secrets."""

from __future__ import annotations

import json
import sys

import uvicorn

import kvandal as kv
from kvandal.control.api.application import create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.gate import Identity
from kvandal.control.operations.logs import configure_logs
from kvandal.control.operations.serving import bound_socket
from kvandal.control.settings import OidcSettings, Settings
from kvandal.control.store.database import open_store


def main() -> None:
    told = json.loads(sys.argv[1])
    configure_logs("debug", "json", sys.stdout)
    asked = Settings(port=0)
    listener = bound_socket(asked)
    port = listener.getsockname()[1]
    settings = Settings(port=port, oidc=OidcSettings(**told["oidc"]))
    with open_store(told["database"]) as store:
        identity = Identity(store, settings)
        app = create_app(ServiceParts(store=store, scenario=kv.load(told["scenario"]), identity=identity))
        print(json.dumps({"port": port}), flush=True)
        uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, log_level="debug", lifespan="on", ws="none"
            )
        ).run([listener])
        identity.close()


if __name__ == "__main__":
    main()
