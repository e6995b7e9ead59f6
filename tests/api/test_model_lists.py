"""GET /v1/models in the shape of whoever asks: OpenAI's with prices, Anthropic's pages, Codex's catalog."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream

VERSION = {"anthropic-version": "2023-06-01"}
HEAD = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[providers.fake]
type = "openai"
base_url = "{url}/v1"
"""
MODEL = """
[models."{id}"]
name = "The {id}"
context_window = 128_000
max_output_tokens = 4096
price = {{ input = "2.50", cached_input = "0.25", output = "10.00" }}
deployments = [{{ provider = "fake", model = "m" }}]
"""
OTHERS = """
[models."claude-sonnet-4-5"]
context_window = 200_000
max_output_tokens = 64_000
free = true
input_modalities = ["text", "image", "audio"]
supported_parameters = ["reasoning_effort", "tools"]
deployments = [{ provider = "fake", model = "m" }]
[models."voyage-3.5"]
context_window = 32_000
max_output_tokens = 0
free = true
deployments = [{ provider = "fake", model = "m" }]
[models."imagen"]
context_window = 480
max_output_tokens = 4096
output_modalities = ["image"]
free = true
deployments = [{ provider = "fake", model = "m" }]
"""
MANY = [f"vendor/model-{number}" for number in range(300)]


@pytest.fixture
async def many(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with as many models as a large price list has."""
    settings = HEAD + "".join(MODEL.replace("{id}", name) for name in MANY)
    async with running(upstream, tmp_path, settings=settings.format(folder=tmp_path, url=upstream.url)) as it:
        yield it


@pytest.fixture
async def mixed(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with models of several makers, and some that don't talk."""
    own = ("gpt-5.5", "openai/gpt-6.1-sol", "codex-mini-latest", "gpt-4o", "a/b/gpt-5")
    models = "".join(MODEL.replace("{id}", name) for name in own)
    settings = (HEAD + models).format(folder=tmp_path, url=upstream.url) + OTHERS
    async with running(upstream, tmp_path, settings=settings) as it:
        yield it


async def told(gateway: Gateway, path: str, headers: dict[str, str] = VERSION) -> tuple[int, Any]:
    """(status, answer) of a GET with a key."""
    key = {"Authorization": f"Bearer {gateway.key}"}
    async with gateway.get(path, headers=key | headers) as response:
        return response.status, await response.json()


async def test_anthropic_s_sdk_lists_and_retrieves(many: Gateway) -> None:
    """With the key where that SDK puts it, and over as many pages as it takes."""
    async with anthropic.AsyncAnthropic(api_key=many.key, base_url=many.url, max_retries=0) as client:
        listed = [model async for model in client.models.list(limit=128)]
        one = await client.models.retrieve(MANY[7])
    assert [model.id for model in listed] == MANY
    assert listed[7] == one
    assert (one.type, one.display_name, one.lifecycle) == ("model", f"The {MANY[7]}", "active")
    assert (one.max_input_tokens, one.max_tokens, one.created_at.year) == (128_000, 4096, 1970)


@pytest.mark.parametrize(
    ("query", "first", "last", "more"),
    [
        ("", 0, 19, True),
        ("limit=1000", 0, 299, False),
        ("limit=1", 0, 0, True),
        (f"limit=2&after_id={MANY[9]}", 10, 11, True),
        (f"limit=20&after_id={MANY[279]}", 280, 299, False),
        (f"limit=20&after_id={MANY[289]}", 290, 299, False),
        (f"limit=2&before_id={MANY[9]}", 7, 8, True),
        (f"limit=9&before_id={MANY[9]}", 0, 8, False),
        (f"limit=20&before_id={MANY[9]}", 0, 8, False),
    ],
)
async def test_pages_begin_and_end_where_asked(
    many: Gateway, query: str, first: int, last: int, more: bool
) -> None:
    """A page says whether there is more in its direction, and names its ends."""
    status, page = await told(many, f"/v1/models?{query}")
    assert status == 200
    assert [model["id"] for model in page["data"]] == MANY[first : last + 1]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (MANY[first], MANY[last], more)


async def test_the_page_after_the_last_is_empty(many: Gateway) -> None:
    """It has no ends to name."""
    status, page = await told(many, f"/v1/models?after_id={MANY[-1]}")
    assert (status, page) == (200, {"data": [], "has_more": False, "first_id": None, "last_id": None})


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/models?limit=0", 400, "invalid_request_error"),
        ("/v1/models?limit=1001", 400, "invalid_request_error"),
        ("/v1/models?limit=99999999999999999999", 400, "invalid_request_error"),
        ("/v1/models?limit=ten", 400, "invalid_request_error"),
        ("/v1/models?limit=%C2%B2", 400, "invalid_request_error"),
        ("/v1/models?after_id=nope", 400, "invalid_request_error"),
        ("/v1/models?before_id=nope", 400, "invalid_request_error"),
        (f"/v1/models?before_id={MANY[1]}&after_id={MANY[2]}", 400, "invalid_request_error"),
        ("/v1/models/nope", 404, "not_found_error"),
    ],
)
async def test_refusals_are_in_anthropic_s_form(many: Gateway, path: str, status: int, kind: str) -> None:
    """Whoever speaks that dialect is told of errors in it."""
    refused, answer = await told(many, path)
    assert (refused, answer["type"], answer["error"]["type"]) == (status, "error", kind)


async def test_a_wrong_key_is_told_in_the_asker_s_form(many: Gateway) -> None:
    """401 in either shape; `x-api-key` counts only where Anthropic's clients ask."""
    async with many.get("/v1/models", headers=VERSION | {"x-api-key": "tk-nobody"}) as response:
        assert (response.status, (await response.json())["type"]) == (401, "error")
    async with many.get("/v1/models", headers={"x-api-key": many.key}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "missing_api_key")


async def test_the_anthropic_prefix_needs_no_version(mixed: Gateway) -> None:
    """Below /anthropic there is one shape."""
    for headers in (VERSION, {}):
        _, page = await told(mixed, "/anthropic/v1/models", headers)
        assert page["data"][0]["type"] == "model"
        _, one = await told(mixed, "/anthropic/v1/models/openai/gpt-6.1-sol", headers)
        assert one == page["data"][1]


async def test_a_key_for_some_models_sees_no_others(mixed: Gateway) -> None:
    """In every shape."""
    limited = {"Authorization": f"Bearer {await mixed.new_key(models=frozenset({'gpt-4o'}))}"}
    _, page = await told(mixed, "/v1/models", VERSION | limited)
    assert [model["id"] for model in page["data"]] == ["gpt-4o"]
    _, catalog = await told(mixed, "/v1/models?client_version=0.169.0", limited)
    assert [model["slug"] for model in catalog["models"]] == ["gpt-4o"]
    status, _ = await told(mixed, "/v1/models/gpt-5.5", VERSION | limited)
    assert status == 404


async def test_codex_keeps_what_it_knows(mixed: Gateway) -> None:
    """Its catalog has the models that talk, without those whose instructions Codex brings along."""
    status, catalog = await told(mixed, "/v1/models?client_version=0.169.0", {})
    assert status == 200
    assert [model["slug"] for model in catalog["models"]] == ["gpt-4o", "a/b/gpt-5", "claude-sonnet-4-5"]


async def test_codex_s_entries_are_whole(mixed: Gateway) -> None:
    """Each field that Codex 0.169 can't do without is there, with words that it can read."""
    _, catalog = await told(mixed, "/v1/models?client_version=0.169.0", {})
    plain, thinking = catalog["models"][0], catalog["models"][-1]
    needed = "slug display_name default_reasoning_level supported_reasoning_levels shell_type visibility"
    needed += " supported_in_api priority base_instructions support_verbosity default_verbosity"
    needed += " truncation_policy supports_parallel_tool_calls experimental_supported_tools"
    assert set(needed.split()) <= set(plain)
    assert len(plain["base_instructions"]) > 1000
    assert plain["supported_reasoning_levels"] == []
    assert thinking["context_window"] == 200_000
    assert [level["effort"] for level in thinking["supported_reasoning_levels"]] == ["low", "medium", "high"]
    assert thinking["input_modalities"] == ["text", "image"]
    assert plain["priority"] < thinking["priority"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/v1/models", {}), ("/v1/models?limit=1000", VERSION), ("/v1/models?client_version=0.169.0", {})],
)
async def test_300_models_are_listed_in_no_time(
    many: Gateway, upstream: FakeUpstream, path: str, headers: dict[str, str]
) -> None:
    """Within 50 ms, and no upstream hears of it."""
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        status, _ = await told(many, path, headers)
        took.append(time.perf_counter() - begun)
        assert status == 200
    assert min(took) < 0.05
    assert upstream.received == []
