import base64
import math
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.providers.demo_client import whole


def embed(**members: Any) -> list[Any]:
    """The vectors, in order."""
    answer = whole({"model": "demo", **members}, "/embeddings")
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["embedding"] for item in answer["data"]]


def png_size(picture: bytes) -> tuple[int, int]:
    """Width and height of a PNG whose chunks and pixels are sound."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    place, chunks = 8, {}
    while place < len(picture):
        length, kind = struct.unpack_from(">I4s", picture, place)
        data = picture[place + 8 : place + 8 + length]
        assert struct.unpack_from(">I", picture, place + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        place += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + (width + 7) // 8)
    return width, height


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=60), st.integers(1, 300))
def test_an_embedding_is_a_unit_vector_in_both_encodings(text: str, dimensions: int) -> None:
    """`dimensions` numbers of length 1; base64 holds the same numbers as little-endian float32."""
    (vector,) = embed(input=text, dimensions=dimensions)
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5)
    (packed,) = embed(input=text, dimensions=dimensions, encoding_format="base64")
    assert list(struct.unpack(f"<{dimensions}f", base64.b64decode(packed))) == vector


def test_embeddings_take_texts_and_tokens() -> None:
    """A string, strings, token ids and arrays of them; 256 dimensions unless told; usage counts tokens."""
    assert len(embed(input="tea")[0]) == 256
    assert len(embed(input=["tea", "coffee"])) == 2
    assert embed(input=[5, 6, 7]) == embed(input=[[5, 6, 7]])
    assert len(embed(input=[[5], [6, 7]])) == 2
    answer = whole({"model": "demo", "input": [[5, 6], [7]]}, "/embeddings")
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_texts_that_share_words_are_near_each_other() -> None:
    """A search over demo embeddings finds the document that speaks of the same things."""
    query, near, far = embed(
        input=["green tea from Japan", "Japan grows green tea", "a steam engine on rails"]
    )

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(query, near) > likeness(query, far) + 0.3


@pytest.mark.parametrize(
    ("size", "expected"),
    [("auto", (256, 256)), ("1024x1792", (1024, 1792)), ("50x33", (50, 33)), ("9999x10", (2048, 16))],
)
def test_an_image_is_a_png_of_the_size_asked_for(size: str, expected: tuple[int, int]) -> None:
    """Sides within 16 and 2048 are kept; n pictures differ; usage counts them."""
    answer = whole({"model": "demo", "prompt": "a cat", "n": 2, "size": size}, "/images/generations")
    one, two = [base64.b64decode(item["b64_json"], validate=True) for item in answer["data"]]
    assert png_size(one) == png_size(two) == expected
    assert one != two
    assert answer["usage"]["output_tokens"] == 512


def test_an_image_comes_as_a_url_when_asked_for() -> None:
    """The URL holds the picture itself."""
    request = {"model": "demo", "prompt": "a cat", "response_format": "url"}
    (item,) = whole(request, "/images/generations")["data"]
    assert item["url"].startswith("data:image/png;base64,")


def test_rerank_puts_the_best_document_first() -> None:
    """Sorted by relevance, cut at top_n, documents only when asked for, equal ones in their order."""
    request = {
        "model": "demo",
        "query": "red fox",
        "documents": ["a dog", {"text": "The red fox"}, "fox", "cat"],
    }
    results = whole(request, "/rerank")["results"]
    assert [result["index"] for result in results] == [1, 2, 0, 3]
    assert all(set(result) == {"index", "relevance_score"} for result in results)
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) <= max(scores) <= 1
    best = whole({**request, "top_n": 1, "return_documents": True}, "/rerank")["results"]
    assert best == [{**results[0], "document": {"text": "The red fox"}}]
