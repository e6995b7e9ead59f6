"""Embeddings, images and rankings at every provider: what is asked, and what the client gets of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects import embeddings, images, rerank
from tokligenced.domain import Call, Deployment, Model, Usage
from tokligenced.errors import InvalidRequest, UpstreamFailed
from tokligenced.providers import registry
from tokligenced.providers.base import Exchange

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tasks"
PARSE: dict[str, Callable[..., Call]] = {
    "embeddings": embeddings.parse,
    "images": images.parse,
    "rerank": rerank.parse,
}
CASES = sorted(GOLDEN.glob("*.json"))
COUNT = re.compile(
    rb'"(prompt_tokens|total_tokens|input_tokens|promptTokenCount|search_units)": ?[1-9][0-9]*(?:\.0)?'
)
PARTS = ("input", "cached_input", "image_in", "output", "image_out", "images", "searches", "estimated")


def stem(path: Path) -> str:
    """What a case is called."""
    return path.stem


def counts(path: Path) -> bool:
    """Whether the upstream counts something in this case."""
    answered = msgspec.json.decode(path.read_bytes())["answered"]
    return COUNT.search(msgspec.json.encode(answered)) is not None


def exchange_of(case: dict[str, Any]) -> Exchange:
    """An attempt at the provider that the case names."""
    settings = ProviderSettings(name="there", api_key=Secret("sk-upstream"), **case["provider"])
    provider = registry.build(settings)
    assert provider is not None
    deployment = Deployment(provider="there", model=case["model"])
    model = Model(
        id="m", name="m", context_window=8192, max_output_tokens=4096, free=True, deployments=(deployment,)
    )
    call = PARSE[case["endpoint"]](msgspec.json.encode(case["client"]), call_id="req_1", at=1_700_000_000_123)
    return provider.exchange(call, model, deployment)


def told(usage: Usage | None) -> dict[str, Any] | None:
    """The parts of usage that are not nothing."""
    if usage is None:
        return None
    return {part: value for part in PARTS if (value := getattr(usage, part))}


@pytest.mark.parametrize("path", CASES, ids=stem)
def test_requests_and_answers_are_as_written_down(path: Path) -> None:
    """Each provider is asked in its own words, and its answer comes in the client's."""
    case = msgspec.json.decode(path.read_bytes())
    exchange = exchange_of(case)
    assert exchange.request.url == case["url"]
    assert msgspec.json.decode(exchange.request.body) == case["sent"]
    answered = msgspec.json.encode(case["answered"])
    half = len(answered) // 2
    assert exchange.feed(answered[:half]) + exchange.feed(answered[half:]) == b""
    assert msgspec.json.decode(exchange.finish()) == case["got"]
    assert told(exchange.usage) == case["usage"]
    assert not exchange.disbelieved
    assert exchange.told_at == exchange.delivered


@pytest.mark.parametrize("name", ["openai-embeddings", "openai-images"])
def test_what_needs_no_change_passes_byte_for_byte(name: str) -> None:
    """White space, unknown members and the order of members stay as the upstream sent them."""
    case = msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes())
    exchange = exchange_of(case)
    answered = msgspec.json.format(msgspec.json.encode({"unheard": [1], **case["answered"]}), indent=3)
    exchange.feed(answered)
    assert exchange.finish() == answered


@pytest.mark.parametrize("path", CASES, ids=stem)
@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"null",
        b"[]x",
        b"[" * 100_000,
        b'{"data": null}',
        b'{"data": {}, "embeddings": {}, "results": {}, "predictions": {}, "candidates": {}}',
        b'{"data": [null], "embeddings": [null], "results": [null], "predictions": [1], "candidates": [1]}',
        b'{"data": [{}], "embeddings": [{}], "results": [{}], "predictions": 1, "candidates": [2]}',
        b'{"data": [{"index": 0}], "embeddings": {"float": null}, "results": [{"index": 0}]}',
        b'{"data": [{"index": 0, "embedding": null}], "predictions": null, "candidates": null}',
        b"\xff\xfe",
        b'{"error": {"message": "no", "code": 7}, "embeddings": "no", "predictions": "no"}',
    ],
)
def test_garbage_is_a_failed_attempt(path: Path, answered: bytes) -> None:
    """Whatever an upstream sends instead of an answer, it has failed, and nothing crashes."""
    exchange = exchange_of(msgspec.json.decode(path.read_bytes()))
    exchange.feed(answered)
    with pytest.raises(UpstreamFailed):
        exchange.finish()
    assert exchange.usage is None


@pytest.mark.parametrize("path", [path for path in CASES if counts(path)], ids=stem)
def test_an_unbelievable_count_is_not_believed(path: Path) -> None:
    """The answer passes, its tokens are left to be counted, and the operator can be told."""
    case = msgspec.json.decode(path.read_bytes())
    exchange = exchange_of(case)
    exchange.feed(COUNT.sub(rb'"\1":-1', msgspec.json.encode(case["answered"])))
    assert exchange.finish()
    assert exchange.disbelieved
    assert exchange.usage is None or exchange.usage.input == 0


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("openai", {"error": {"message": "too long", "type": "invalid_request_error"}}, "too long"),
        ("cohere", {"message": "invalid request: too long"}, "invalid request: too long"),
        ("voyage", {"detail": "too long"}, "too long"),
        ("jina", {"detail": [{"loc": ["body", "input", 0], "msg": "too long"}]}, "input.0: too long"),
    ],
)
def test_an_upstreams_complaint_reaches_the_client(kind: str, body: Any, message: str) -> None:
    """A 400 about the request is the client's, with what the provider said, in whichever words it says it."""
    case = {"provider": {"type": kind, "base_url": "http://x"}, "model": "m", "endpoint": "embeddings"}
    exchange = exchange_of(case | {"client": {"model": "m", "input": "a"}})
    error = exchange.reject(400, {}, msgspec.json.encode(body))
    assert isinstance(error, InvalidRequest)
    assert error.message == message


@pytest.mark.parametrize(
    ("kind", "endpoint", "client", "param"),
    [
        ("cohere", "embeddings", {"input": [1, 2]}, "input"),
        ("voyage", "embeddings", {"input": [[1], [2]]}, "input"),
        ("jina", "embeddings", {"input": [1]}, "input"),
        ("cohere", "embeddings", {"input": ["a"] * 97}, "input"),
        ("cohere", "images", {"prompt": "a"}, "model"),
        ("jina", "images", {"prompt": "a"}, "model"),
        ("azure", "rerank", {"query": "a", "documents": ["b"]}, "model"),
    ],
)
def test_what_a_provider_has_nothing_like_is_refused(
    kind: str, endpoint: str, client: dict[str, Any], param: str
) -> None:
    """The refusal names the field and the provider, and nothing is sent."""
    case = {"provider": {"type": kind, "base_url": "http://x"}, "model": "m", "endpoint": endpoint}
    with pytest.raises(InvalidRequest) as refused:
        exchange_of(case | {"client": {"model": "m", **client}})
    assert refused.value.param == param
    assert "there" in refused.value.message
