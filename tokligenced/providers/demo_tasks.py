"""The demo model's embeddings, images and rankings: small, and functions of the request alone."""

import math
import re
import struct
import zlib
from base64 import b64encode
from hashlib import sha256, shake_256
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokligenced.providers.demo_answers import count, pieces
from tokligenced.providers.demo_chat import Positive, created

_WORD = re.compile(r"\w+")
_FEATURES = 8
_GRAIN = 0.05 / 32_768
_CELLS = 8
_TOKENS_PER_IMAGE = 256

Text = Annotated[str, Meta(min_length=1)]
Token = Annotated[int, Meta(ge=0)]


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """One text, several, one text's token ids, or several texts' token ids."""

    model: str
    input: Text | Annotated[list[Text | Token | list[Token]], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1, le=4096)] = 256
    encoding_format: Literal["float", "base64"] = "float"


def embeddings(request: EmbeddingsRequest, _digest: str, *, usage: bool) -> bytes:
    """Unit vectors in which texts that share words are near each other."""
    texts = [_features(text) for text in _inputs(request.input)]
    tokens = sum(len(features) for features in texts)
    data: list[dict[str, Any]] = []
    for index, features in enumerate(texts):
        packed = _vector(features, request.dimensions)
        vector: Any = b64encode(packed).decode()
        if request.encoding_format == "float":
            vector = struct.unpack(f"<{request.dimensions}f", packed)
        data.append({"object": "embedding", "index": index, "embedding": vector})
    answer: dict[str, Any] = {"object": "list", "data": data, "model": request.model}
    if usage:
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode(answer)


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        return [given]
    texts: list[str | list[int]] = [item for item in given if not isinstance(item, int)]
    return texts if len(texts) == len(given) else [[item for item in given if isinstance(item, int)]]


def _features(text: str | list[int]) -> list[str]:
    if isinstance(text, str):
        return [piece.strip().lower() for piece in pieces(text)]
    return [str(token) for token in text]


def _vector(features: list[str], dimensions: int) -> bytes:
    """Each feature pushes eight dimensions up or down; a little grain keeps all of them alive."""
    grain = shake_256("\n".join(features).encode()).digest(2 * dimensions)
    vector = [value * _GRAIN for value in struct.unpack(f"<{dimensions}h", grain)]
    for feature in features:
        for (push,) in struct.iter_unpack("<i", sha256(feature.encode()).digest()[: 4 * _FEATURES]):
            vector[(push >> 1) % dimensions] += 1.0 if push & 1 else -1.0
    length = math.sqrt(math.fsum([value * value for value in vector])) or 1.0
    return struct.pack(f"<{dimensions}f", *[value / length for value in vector])


class ImagesRequest(Struct, frozen=True, kw_only=True):
    """A picture, or several; `size` is `auto` or WIDTHxHEIGHT of 16 to 2048 pixels a side."""

    model: str
    prompt: Text
    n: Annotated[int, Meta(ge=1, le=10)] | None = None
    size: Annotated[str, Meta(pattern=r"^(auto|[1-9]\d{1,3}x[1-9]\d{1,3})$")] = "auto"
    response_format: Literal["b64_json", "url"] = "b64_json"


def images(request: ImagesRequest, digest: str, *, usage: bool) -> bytes:
    """PNG pictures: a mirrored pattern of two colours which the prompt decides."""
    sides = (256, 256) if request.size == "auto" else tuple(map(int, request.size.split("x")))
    width, height = (min(max(side, 16), 2048) for side in sides)
    data = []
    for index in range(request.n or 1):
        picture = b64encode(
            _png(width, height, sha256(f"{index}/{request.prompt}".encode()).digest())
        ).decode()
        data.append(
            {"b64_json": picture}
            if request.response_format == "b64_json"
            else {"url": f"data:image/png;base64,{picture}"}
        )
    answer: dict[str, Any] = {"created": created(digest), "data": data}
    if usage:
        prompt, drawn = count(request.prompt), _TOKENS_PER_IMAGE * len(data)
        answer["usage"] = {
            "total_tokens": prompt + drawn,
            "input_tokens": prompt,
            "output_tokens": drawn,
            "input_tokens_details": {"text_tokens": prompt, "image_tokens": 0},
        }
    return msgspec.json.encode(answer)


def _png(width: int, height: int, seed: bytes) -> bytes:
    """An indexed PNG of eight by eight cells, one bit a pixel (https://www.w3.org/TR/png-3/)."""
    halves = [seed[row] & 0b1111 for row in range(_CELLS)]
    cells = [half << 4 | int(f"{half:04b}"[::-1], 2) for half in halves]
    lines = [_line(cell, width) for cell in cells]
    pixels = b"".join([lines[row * _CELLS // height] for row in range(height)])
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)),
            _png_chunk(b"PLTE", seed[8:14]),
            _png_chunk(b"IDAT", zlib.compress(pixels)),
            _png_chunk(b"IEND", b""),
        ]
    )


def _line(cell: int, width: int) -> bytes:
    """One row of pixels, after the byte that says it is not filtered."""
    bits = "".join([str(cell >> (7 - column * _CELLS // width) & 1) for column in range(width)])
    length = (width + 7) // 8
    return b"\0" + int(bits.ljust(8 * length, "0"), 2).to_bytes(length, "big")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class Document(Struct, frozen=True, kw_only=True):
    """A document given as an object."""

    text: str


class RerankRequest(Struct, frozen=True, kw_only=True):
    """A question, and the documents to put in the order in which they answer it."""

    model: str
    query: Text
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=10_000)]
    top_n: Positive | None = None
    return_documents: bool | None = None


def rerank(request: RerankRequest, digest: str, *, usage: bool) -> bytes:
    """The documents by the share of words they have in common with the query, best first."""
    texts = [document if isinstance(document, str) else document.text for document in request.documents]
    query = _words(request.query)
    scores = [_likeness(query, _words(text)) for text in texts]
    order = sorted(range(len(texts)), key=lambda index: (-scores[index], index))
    results: list[dict[str, Any]] = []
    for index in order[: request.top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": scores[index]}
        if request.return_documents:
            result["document"] = {"text": texts[index]}
        results.append(result)
    answer: dict[str, Any] = {"id": f"rerank-{digest[:24]}", "model": request.model, "results": results}
    if usage:
        tokens = sum(count(text) for text in (request.query, *texts))
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode(answer)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _likeness(query: set[str], document: set[str]) -> float:
    """Twice the common words over all words of both: 0 to 1."""
    return round(2 * len(query & document) / (len(query) + len(document) or 1), 6)
