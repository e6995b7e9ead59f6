"""Recorded answers of real providers: embeddings, rankings and images as they come out of an exchange."""

import json
import math
import struct
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.providers.test_task_exchanges import exchange_of
from tokligenced.errors import InvalidRequest
from tokligenced.providers.base import Exchange

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"
OWN = ("cohere", "gemini", "voyage")


def recordings(kind: str, *, failed: bool = False) -> list[Any]:
    """The recorded exchanges of a kind, those that failed or those that did not."""
    cases = [json.loads(file.read_text()) for file in sorted(CORPUS.glob(f"*/*-{kind}-*.json"))]
    wanted = [case for case in cases if failed == (case["response"]["status"] >= 400)]
    return [pytest.param(case, id=case["id"]) for case in wanted]


def replayed(case: dict[str, Any], client: dict[str, Any]) -> Exchange:
    """An exchange at the recording's provider, which has been given what it answered."""
    kind = case["provider"] if case["provider"] in OWN else "openai"
    exchange = exchange_of(
        {
            "provider": {"type": kind, "base_url": "http://upstream"},
            "model": case["model"] or "m",
            "endpoint": case["kind"],
            "client": {"model": "m", **client},
        }
    )
    exchange.feed(case["response"]["body"].encode())
    return exchange


def floats(vector: Any) -> list[float]:
    """A vector, however it is written."""
    if isinstance(vector, str):
        return [number for (number,) in struct.iter_unpack("<f", b64decode(vector))]
    return [float(number) for number in vector]


def recorded_vectors(answer: dict[str, Any]) -> list[list[float]]:
    """The vectors in whichever shape the provider gives them."""
    if "data" in answer:
        return [floats(each["embedding"]) for each in answer["data"]]
    found = answer["embeddings"]
    return [floats(each["values"]) for each in found] if isinstance(found, list) else found["float"]


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("case", recordings("embeddings"))
def test_every_vector_reaches_the_client(case: dict[str, Any], encoding: str) -> None:
    """As many, as long and with the same numbers, in the encoding that was asked for."""
    expected = recorded_vectors(json.loads(case["response"]["body"]))
    client = {"input": ["text"] * len(expected), "encoding_format": encoding}
    answer = json.loads(replayed(case, client).finish())
    vectors = [each["embedding"] for each in answer["data"]]
    assert {type(vector) for vector in vectors} == {str if encoding == "base64" else list}
    for vector, wanted in zip(map(floats, vectors), expected, strict=True):
        assert len(vector) == len(wanted)
        assert all(
            math.isclose(*pair, rel_tol=1e-6, abs_tol=1e-9) for pair in zip(vector, wanted, strict=True)
        )
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("case", recordings("rerank"))
def test_every_rank_reaches_the_client(case: dict[str, Any]) -> None:
    """The same documents in the same order with the same scores, and the tokens or units that were told."""
    told = json.loads(case["response"]["body"])
    expected = [(each["index"], each["relevance_score"]) for each in told.get("results") or told["data"]]
    count = 1 + max(index for index, _ in expected)
    exchange = replayed(case, {"query": "q", "documents": ["d"] * count})
    answer = json.loads(exchange.finish())
    assert [(each["index"], each["relevance_score"]) for each in answer["results"]] == expected
    assert set().union(*answer["results"]) == {"index", "relevance_score"}
    assert exchange.usage is not None
    assert not exchange.usage.estimated
    assert exchange.usage.input == told.get("usage", {}).get("total_tokens", 0)
    assert exchange.usage.searches == 1


@pytest.mark.parametrize("case", recordings("images"))
def test_every_image_reaches_the_client(case: dict[str, Any]) -> None:
    """Byte for byte, and each is counted."""
    exchange = replayed(case, {"prompt": "a cat"})
    assert exchange.finish() == case["response"]["body"].encode()
    assert exchange.usage is not None
    assert exchange.usage.images == len(json.loads(case["response"]["body"])["data"])


@pytest.mark.parametrize("case", [*recordings("embeddings", failed=True), *recordings("images", failed=True)])
def test_every_complaint_reaches_the_client(case: dict[str, Any]) -> None:
    """The provider's own words, as a 400."""
    client = {"prompt": "a"} if case["kind"] == "images" else {"input": "a"}
    body = case["response"]["body"]
    error = replayed(case, client).reject(case["response"]["status"], {}, body.encode())
    assert isinstance(error, InvalidRequest)
    told = json.loads(body)
    assert error.message == (told.get("detail") or told["error"]["message"])
