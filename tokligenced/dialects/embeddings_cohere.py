"""Cohere's embeddings: requests written, answers read.

https://docs.cohere.com/reference/embed
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, field

from tokligenced.dialects import embeddings
from tokligenced.dialects.conversation import Target
from tokligenced.dialects.embeddings import Purpose
from tokligenced.dialects.tasks import Answer, Count, believed, given
from tokligenced.dialects.wire_error import UNREADABLE, not_the_dialect
from tokligenced.domain import Call

_MOST_TEXTS = 96
_INPUT_TYPES: dict[Purpose, str | None] = {
    "query": "search_query",
    "document": "search_document",
    "classification": "classification",
    "clustering": "clustering",
    "similarity": "clustering",
}
# Cohere's models of today must be told one; most texts that are embedded are there to be found.
_USUAL_TYPE = "search_document"


def request_for(call: Call, target: Target) -> bytes:
    """The request in Cohere's words. Raises `InvalidRequest` for token ids and for too many texts."""
    request = embeddings.read(call)
    body: dict[str, Any] = {
        "model": target.model,
        "texts": embeddings.texts_of(request, target, _MOST_TEXTS),
        "input_type": embeddings.purpose(request, _INPUT_TYPES) or _USUAL_TYPE,
        "embedding_types": ["float"],
        **given(call, "truncate", "max_tokens"),
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return msgspec.json.encode(body)


class _ByType(Struct):
    floats: list[Raw] = field(name="float")


class _Billed(Struct):
    input_tokens: float | None = None


class _Meta(Struct):
    billed_units: _Billed | None = None


class _Embedded(Struct):
    embeddings: _ByType | list[Raw]  # a list where only version 1 is spoken
    meta: Any = None


_read_embedded = msgspec.json.Decoder(_Embedded)


def read_answer(data: bytes, call: Call, upstream_model: str) -> Answer:
    """Cohere's answer, written as the client expects it. Raises `UpstreamFailed`."""
    try:
        answer = _read_embedded.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a list of embeddings") from None
    found = answer.embeddings if isinstance(answer.embeddings, list) else answer.embeddings.floats
    vectors = embeddings.encoded(found, call)
    try:
        meta = msgspec.convert(answer.meta, _Meta | None)
    except msgspec.ValidationError:
        told = Count(disbelieved=True)
    else:
        told = believed(meta.billed_units.input_tokens) if meta and meta.billed_units else Count()
    return embeddings.written(vectors, call, upstream_model, told)
