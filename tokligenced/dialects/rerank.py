"""Reranking: requests read, and the rankings of all vendors read and written in one shape.

Cohere, Jina, Voyage, Together, vLLM, llama.cpp and others ask for the same and answer nearly the same.
https://docs.cohere.com/reference/rerank, https://api.jina.ai/redoc, https://docs.voyageai.com/reference/reranker-api

A search unit is a query with up to 100 documents. Cohere cuts a document that is, with the query, longer
than 500 tokens into pieces which count each (https://cohere.com/pricing), and looks by default at no more
than 4,096 tokens of it.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.tasks import (
    Answer,
    Name,
    Positive,
    Text,
    believed,
    check_name,
    size_of,
    told_tokens,
)
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, not_the_dialect
from tokligenced.domain import Call, Usage, tokens_in

_DOCUMENTS_PER_UNIT = 100
# No tokenizer makes more tokens than bytes; the query takes its part of the 500.
_BYTES_PER_PIECE = 240
_TOKENS_PER_DOCUMENT = 4_096


class Document(Struct, frozen=True, kw_only=True):
    """A document given as an object."""

    text: str


class Request(Struct, frozen=True, kw_only=True):
    """A question, and the documents to put in the order in which they answer it."""

    model: Name
    query: Text
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=10_000)]
    top_n: Positive | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: Positive | None = None

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [each if isinstance(each, str) else each.text for each in self.documents]


_read_request = msgspec.json.Decoder(Request)


def parse(body: bytes, *, call_id: str = "", at: int = 0) -> Call:
    """Read a request, which came at a Unix millisecond. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    check_name(request.model)
    query = size_of(request.query)
    sizes = [size_of(text) for text in request.texts]
    longest = max(_TOKENS_PER_DOCUMENT, request.max_tokens_per_doc or 0)
    pieces = sum([-(-min(size, longest) // _BYTES_PER_PIECE) or 1 for size in sizes])
    return Call(
        dialect="rerank",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        choices=0,
        inputs=len(sizes),
        text_bytes=sum(sizes) + query * len(sizes),
        search_units=-(-pieces // _DOCUMENTS_PER_UNIT),
    )


def read(call: Call) -> Request:
    """The request of a call, which `parse` has read before."""
    return _read_request.decode(call.body)


def request_for(call: Call, upstream_model: str) -> bytes:
    """The same request for an upstream of this shape; documents go as texts, which all of them take."""
    changes: dict[str, bytes] = {}
    if upstream_model != call.model:
        changes["model"] = msgspec.json.encode(upstream_model)
    request = read(call)
    if any(isinstance(each, Document) for each in request.documents):
        changes["documents"] = msgspec.json.encode(request.texts)
    return json_body.changed(call.body, call.members, changes) if changes else call.body


class _Scored(Struct):
    index: Annotated[int, Meta(ge=0)]
    relevance_score: float | None = None
    score: float | None = None


class _Billed(Struct):
    search_units: float | None = None
    input_tokens: float | None = None


class _Tokens(Struct):
    input_tokens: float | None = None


class _Bill(Struct):
    billed_units: _Billed | None = None
    tokens: _Tokens | None = None


class _Ranking(Struct):
    id: Any = None
    results: list[_Scored] | None = None
    data: list[_Scored] | None = None
    usage: Any = None
    meta: Any = None
    model: str | None = None
    error: Any = None


_read_ranking = msgspec.json.Decoder(_Ranking | list[_Scored])


def read_answer(data: bytes, call: Call, upstream_model: str) -> Answer:
    """A ranking as any vendor gives it, written as the client expects it.

    Best first, no more than were asked for, and with documents only where these were asked for. Raises
    `UpstreamFailed` for none, and for documents that nobody sent, or ranked twice, or without a score.
    """
    try:
        answer = _read_ranking.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a ranking") from None
    if isinstance(answer, list):
        answer = _Ranking(results=answer)
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    found = answer.results or answer.data
    if not found:
        raise not_the_dialect("a ranking")
    scores: dict[int, float] = {}
    for each in found:
        score = each.relevance_score if each.relevance_score is not None else each.score
        if score is None or each.index >= call.inputs:
            raise not_the_dialect("a ranking of the documents that were sent")
        scores[each.index] = score
    if len(scores) < len(found):
        raise not_the_dialect("a ranking of the documents that were sent")
    usage, disbelieved = _usage(answer, call)
    request = read(call)
    # Equals stay in the upstream's own order.
    order = sorted(scores, key=lambda index: -scores[index])[: request.top_n]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": scores[index]} for index in order]
    if request.return_documents:
        texts = request.texts
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    tokens = tokens_in(call.text_bytes) if usage.estimated else usage.input
    body = msgspec.json.encode(
        {
            "id": answer.id if isinstance(answer.id, str) and answer.id else call.id,
            "model": answer.model or upstream_model,
            "results": results,
            "usage": {
                "prompt_tokens": tokens,
                "total_tokens": tokens,
                "search_units": usage.searches,
            },
        }
    )
    return Answer(body=body, usage=usage, disbelieved=disbelieved)


def _usage(answer: _Ranking, call: Call) -> tuple[Usage, bool]:
    """What was counted, and whether something told can't be; units that were not told are counted here.

    Whoever bills by units tells no tokens, and they are none then.
    """
    tokens = told_tokens(answer.usage)
    try:
        bill = msgspec.convert(answer.meta, _Bill | None) or _Bill()
        doubted = tokens.disbelieved
    except msgspec.ValidationError:
        bill, doubted = _Bill(), True
    billed = bill.billed_units or _Billed()
    units = believed(billed.search_units)
    if tokens.number is None and not tokens.disbelieved:
        counted = bill.tokens or _Tokens()
        tokens = believed(counted.input_tokens, billed.input_tokens)
    usage = Usage(
        input=tokens.number or 0,
        searches=-(-call.inputs // _DOCUMENTS_PER_UNIT) if units.number is None else units.number,
        estimated=tokens.number is None and (units.number is None or tokens.disbelieved),
    )
    return usage, doubted or tokens.disbelieved or units.disbelieved
