"""Whatever is asked, the API answers as its own description says, and never with a fault of the server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from living_site import populate
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from starlette.requests import Request

import kvandal as kv
from kvandal.control.api.application import close, create_app
from kvandal.control.api.parts import ServiceParts
from kvandal.control.identity.principal import LOCAL, Principal
from kvandal.control.store.database import open_store

EXAMPLES = 5
KEY = "Bearer the-key-of-this-test"
JUDGED = {
    ("/v1/organisations", "post"),
    ("/v1/projects", "post"),
    ("/v1/applications", "post"),
    ("/v1/calls", "post"),
    ("/v1/jobs", "post"),
    ("/v1/ledger/statements/{tenant}", "get"),
    ("/v1/policy-changes", "post"),
    ("/v1/policy-changes/{change_id}/apply", "post"),
    ("/v1/roles", "post"),
    ("/v1/set-points/{name}", "delete"),
    ("/v1/set-points/{name}", "put"),
    ("/v1/tokens", "post"),
    ("/v1/whatif", "post"),
}
"""Here the scenario in force judges what is well formed, so well-formed requests may be refused."""
OPERATIONS = sorted(
    (path, method, mode)
    for path, methods in create_app(ServiceParts(store=None)).openapi()["paths"].items()
    for method, operation in methods.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "parameters" in operation or "requestBody" in operation
)


class Lock:
    """Lets in who has the key, as somebody who may do everything."""

    async def principal_of(self, request: Request) -> Principal | None:
        return LOCAL if request.headers.get("authorization") == KEY else None


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory, scenario: kv.Scenario) -> Iterator[Any]:
    """Return the API as its own document describes it, over a site that has lived a little."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'kvandal.db'}") as store:
        populate(store)
        parts = ServiceParts(
            store=store,
            scenario=scenario,
            identity=Lock(),
            longest_wait_s=0.01,
            longest_stream_s=0.01,
            whatif=lambda **question: {"tenants": [], "days": question["days"]},
        )
        app = create_app(parts)
        config = SchemathesisConfig.from_dict(
            {"generation": {"allow-x00": False}}
        )  # refused, as no schema can say
        yield schemathesis.openapi.from_asgi("/v1/openapi.json", app, config=config)
        close(app)


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_every_answer_is_as_described(described: Any, path: str, method: str, mode: GenerationMode) -> None:
    """No 5xx, only statuses, media types and bodies that the OpenAPI document names; bad input is refused."""
    judged = CHECKS.get_by_names(["positive_data_acceptance"]) if (path, method) in JUDGED else []

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None)
    def asked(case: Any) -> None:
        headers = {"Authorization": KEY}
        if mode is GenerationMode.POSITIVE and "Idempotency-Key" in (case.headers or {}):
            headers["Idempotency-Key"] = uuid.uuid4().hex  # one that was used before is refused
        answer = case.call(headers=headers)
        # 413 refuses a body too, but is not among those that this check knows
        too_large = CHECKS.get_by_names(["negative_data_rejection"]) if answer.status_code == 413 else []
        case.validate_response(answer, headers=headers, excluded_checks=[*judged, *too_large])

    asked()
