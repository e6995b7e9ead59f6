"""What the OpenAI SDK makes of embeddings and images, and what a plain client makes of rankings."""

import math
from base64 import b64decode

import httpx2
import openai
import pytest

from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.e2e

EMBEDDER = "text-embedding-3-small"


async def test_embeddings_come_as_numbers(client: openai.AsyncOpenAI) -> None:
    """The SDK asks for base64 and makes floats of it; near texts are near each other."""
    answer = await client.embeddings.create(
        model=EMBEDDER, input=["the cat sat", "a cat sat down", "tax returns"], dimensions=64
    )
    first, near, far = (each.embedding for each in answer.data)
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert {len(first), len(near), len(far)} == {64}
    assert _likeness(first, near) > _likeness(first, far)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def _likeness(one: list[float], other: list[float]) -> float:
    return math.fsum([a * b for a, b in zip(one, other, strict=True)])


async def test_both_encodings_and_token_ids_say_the_same(client: openai.AsyncOpenAI) -> None:
    """Floats asked for are the floats that base64 holds; a list of token ids is one input."""
    base64 = await client.embeddings.create(model=EMBEDDER, input="hello")
    floats = await client.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(base64.data[0].embedding)
    ids = await client.embeddings.create(model=EMBEDDER, input=[[1, 2, 3], [4]])
    assert len(ids.data) == 2
    assert ids.usage.prompt_tokens == 4


async def test_images_come_as_pictures(client: openai.AsyncOpenAI) -> None:
    """As many PNGs as were asked for, with the tokens they took."""
    answer = await client.images.generate(model="gpt-image-1", prompt="a cat", n=2, size="256x256")
    pictures = [b64decode(image.b64_json or "") for image in answer.data or []]
    assert len(pictures) == 2
    assert all(picture.startswith(b"\x89PNG\r\n\x1a\n") for picture in pictures)
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


async def test_what_can_t_be_is_a_bad_request(client: openai.AsyncOpenAI) -> None:
    """The SDK raises what it raises at OpenAI, with the field at fault."""
    for wrong in ("", []):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.embeddings.create(model=EMBEDDER, input=wrong)
        assert refused.value.param == "input"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.images.generate(model="gpt-image-1", prompt="a cat", n=11)
    assert refused.value.param == "n"


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
async def test_documents_are_ranked(daemon: Daemon, key: str, path: str) -> None:
    """The best come first, as many as were asked for, and with their texts when these are asked for."""
    request = {
        "model": "rerank-v3.5",
        "query": "capital of France",
        "documents": ["Berlin is in Germany", {"text": "Paris is the capital of France"}, "cats"],
        "top_n": 2,
        "return_documents": True,
    }
    url = daemon.url.removesuffix("/v1") + path
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.post(url, json=request, headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200
    assert response.headers["x-tokligence-cost"] == "0.002"
    results = response.json()["results"]
    assert [each["index"] for each in results] == [1, 0]
    assert results[0]["document"] == {"text": "Paris is the capital of France"}
