"""Gemini's embeddings: requests written, answers read.

https://ai.google.dev/api/embeddings
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import embeddings
from tokligenced.dialects.conversation import Target
from tokligenced.dialects.embeddings import Purpose
from tokligenced.dialects.gemini_errors import read_error
from tokligenced.dialects.tasks import Answer, Count, believed
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, not_the_dialect
from tokligenced.domain import Call

_TASK_TYPES: dict[Purpose, str | None] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "similarity": "SEMANTIC_SIMILARITY",
}


def request_for(call: Call, target: Target) -> bytes:
    """The request for `:batchEmbedContents`; a single text goes there too. Raises `InvalidRequest`."""
    request = embeddings.read(call)
    common: dict[str, Any] = {"model": f"models/{target.model.removeprefix('models/')}"}
    if task := embeddings.purpose(request, _TASK_TYPES):
        common["taskType"] = task
    if request.dimensions is not None:
        common["outputDimensionality"] = request.dimensions
    texts = embeddings.texts_of(request, target)
    return msgspec.json.encode(
        {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in texts]}
    )


class _Vector(Struct):
    values: Raw


class _Counted(Struct):
    prompt_token_count: float | None = msgspec.field(default=None, name="promptTokenCount")


class _Embedded(Struct, rename="camel"):
    embeddings: list[_Vector] | None = None
    embedding: _Vector | None = None  # of `:embedContent`, by which some stand-ins answer for one text
    usage_metadata: Any = None
    error: Any = None


_read_embedded = msgspec.json.Decoder(_Embedded)


def read_answer(data: bytes, call: Call, upstream_model: str) -> Answer:
    """Gemini's answer, written as the client expects it; most of its models count nothing.

    Raises `UpstreamFailed`.
    """
    try:
        answer = _read_embedded.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a list of embeddings") from None
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    found = [answer.embedding] if answer.embedding else answer.embeddings or ()
    vectors = embeddings.encoded([each.values for each in found], call)
    try:
        counted = msgspec.convert(answer.usage_metadata, _Counted | None)
    except msgspec.ValidationError:
        told = Count(disbelieved=True)
    else:
        told = believed(counted.prompt_token_count) if counted else Count()
    return embeddings.written(vectors, call, upstream_model, told)
