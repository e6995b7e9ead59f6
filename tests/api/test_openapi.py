"""The API's description is true: of every route, and of what each answers."""

import asyncio
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.whole_gateway import Gateway

# What everyone reaches without the description: the dashboard's pages, and where nothing is.
MACHINES = ("/v1/", "/v2/", "/anthropic/", "/api/", "/healthz", "/readyz", "/metrics")
EXAMPLES = 8


async def description(gateway: Gateway) -> Any:
    """What is told at /api/openapi.json."""
    async with gateway.http.get(f"{gateway.url}/api/openapi.json") as response:
        assert response.status == 200
        return await response.json()


async def test_every_route_is_described(gateway: Gateway) -> None:
    """What the router serves for machines and what the description has are the same."""
    from tokligenced.api import app  # noqa: PLC0415

    served = {
        (resource.canonical, route.method)
        for resource in app.build(gateway.assembly.front).router.resources()
        if resource.canonical.startswith(MACHINES)
        for route in resource
        if route.method not in {"*", "HEAD"}
    }
    told = {
        (path, method.upper())
        for path, methods in (await description(gateway))["paths"].items()
        for method in methods
    }
    assert told == served


async def test_it_tells_no_secret_and_needs_no_key(gateway: Gateway) -> None:
    """Anybody may read it; nothing of this gateway's own is in it."""
    text = str(await description(gateway))
    assert "sk-secret" not in text
    assert "fake" not in text


@pytest.mark.filterwarnings("ignore")
async def test_administrators_endpoints_keep_their_word(gateway: Gateway) -> None:
    """Whatever is sent to an administrators' endpoint, its answer is one that the description knows."""
    document = await description(gateway)
    document["paths"] = {
        path: methods for path, methods in document["paths"].items() if path.startswith("/api/admin/")
    }
    await asyncio.to_thread(examine, document, gateway.url)


def examine(document: Any, url: str) -> None:
    """Send what fits the description and what does not, and hold the answers to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that are only in the tests
        import schemathesis  # noqa: PLC0415

        schema = schemathesis.openapi.from_dict(document)
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in schemathesis.GenerationMode:
                keep_word(operation, operation.as_strategy(generation_mode=mode), url)


def keep_word(operation: Any, strategy: st.SearchStrategy[Any], url: str) -> None:
    """Try one endpoint with a few cases."""
    from schemathesis.checks import not_a_server_error  # noqa: PLC0415
    from schemathesis.specs.openapi import checks  # noqa: PLC0415

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def examples(case: Any) -> None:
        case.call_and_validate(
            base_url=url,
            checks=[
                not_a_server_error,
                checks.status_code_conformance,
                checks.content_type_conformance,
                checks.response_schema_conformance,
            ],
        )

    assert operation.label
    examples()
