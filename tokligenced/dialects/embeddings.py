"""OpenAI's embeddings: requests read, answers checked and passed on, or written where an upstream is other.

https://platform.openai.com/docs/api-reference/embeddings
"""

import binascii
import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.conversation import Target
from tokligenced.dialects.tasks import Answer, Count, Name, Positive, check_name, size_of, told_tokens
from tokligenced.dialects.wire_error import UNREADABLE, ErrorInside, not_the_dialect
from tokligenced.domain import Call, Usage, tokens_in
from tokligenced.errors import InvalidRequest, UpstreamFailed

Encoding = Literal["float", "base64"]
Purpose = Literal["query", "document", "classification", "clustering", "similarity"]

_Token = Annotated[int, Meta(ge=0, lt=2**31)]
_MOST_INPUTS = 10_000


class Request(Struct, frozen=True, kw_only=True):
    """A text, several, a text's token ids, or several texts' token ids.

    `input_type` is what the texts are for, in any provider's words; `task` and `task_type` are other names
    for it.
    """

    model: Name
    input: str | list[str | _Token | list[_Token]]
    encoding_format: Encoding | None = None
    dimensions: Positive | None = None
    user: str | None = None
    input_type: str | None = None
    task: str | None = None
    task_type: str | None = None


_read_request = msgspec.json.Decoder(Request)


def parse(body: bytes, *, call_id: str = "", at: int = 0) -> Call:
    """Read a request, which came at a Unix millisecond. Raises `InvalidRequest` naming the field at fault."""
    members = json_body.members(body)
    request = json_body.decode(_read_request, body)
    check_name(request.model)
    texts, ids = _inputs(request)
    if not (texts or ids) or not all(texts) or not all(ids):
        raise _wrong_input("it must not be empty, nor hold what is empty")
    if len(texts) + len(ids) > _MOST_INPUTS:
        raise _wrong_input(f"it must not hold more than {_MOST_INPUTS} texts")
    return Call(
        dialect="embeddings",
        model=request.model,
        body=body,
        id=call_id,
        at=at,
        members=members,
        choices=0,
        inputs=len(texts) + len(ids),
        text_bytes=sum([size_of(text) for text in texts]),
        tokens=sum([len(each) for each in ids]),
    )


def _inputs(request: Request) -> tuple[list[str], list[list[int]]]:
    """The texts, or the token ids of texts: one of both is empty. Raises `InvalidRequest`."""
    if isinstance(request.input, str):
        return [request.input], []
    texts = [item for item in request.input if isinstance(item, str)]
    ids = [item for item in request.input if isinstance(item, list)]
    tokens = [item for item in request.input if isinstance(item, int)]
    if max(len(texts), len(ids), len(tokens)) < len(request.input):
        raise _wrong_input("it must be texts alone or token ids alone")
    return texts, [tokens] if tokens else ids


def _wrong_input(reason: str) -> InvalidRequest:
    return InvalidRequest("invalid_value", f"Invalid value for 'input': {reason}.", param="input")


def read(call: Call) -> Request:
    """The request of a call, which `parse` has read before."""
    return _read_request.decode(call.body)


def texts_of(request: Request, target: Target, most: int | None = None) -> list[str]:
    """The texts, `most` at most, for an upstream that takes no token ids. Raises `InvalidRequest`."""
    texts, ids = _inputs(request)
    if ids:
        raise target.cannot("input", "token ids are not supported as 'input', only texts")
    if most is not None and len(texts) > most:
        raise target.cannot("input", f"'input' must not hold more than {most} texts")
    return texts


_PURPOSES: dict[str, Purpose] = {
    **dict.fromkeys(("query", "search_query", "retrieval.query", "retrieval_query"), "query"),
    **dict.fromkeys(("document", "passage", "search_document", "retrieval_document"), "document"),
    "retrieval.passage": "document",
    "classification": "classification",
    "clustering": "clustering",
    "separation": "clustering",
    "semantic_similarity": "similarity",
    "similarity": "similarity",
    "text-matching": "similarity",
}


def purpose(request: Request, words: dict[Purpose, str | None]) -> str | None:
    """What the texts are for, in an upstream's `words`; a word that nobody else has stays as it is.

    None where the client did not say, or the upstream has no word for it and needs none.
    """
    said = request.input_type or request.task or request.task_type
    if said is None or (known := _PURPOSES.get(said.lower())) is None:
        return said
    return words.get(known)


class _Item(Struct):
    embedding: Raw
    index: int | None = None


class _List(Struct):
    data: list[_Item] | None = None
    model: str | None = None
    usage: Any = None
    error: Any = None


_read_list = msgspec.json.Decoder(_List)
_ASKED = "the embeddings that were asked for"


def read_answer(data: bytes, call: Call, upstream_model: str) -> Answer:
    """The answer of an upstream that speaks this dialect, or nearly so.

    It passes byte for byte when it is as the client expects it; else it is written anew: where vectors came
    in the other encoding or in another order, or the usage is not told in full. Raises `UpstreamFailed`.
    """
    try:
        answer = _read_list.decode(data)
    except UNREADABLE:
        raise not_the_dialect("a list of embeddings") from None
    if answer.error is not None:
        raise ErrorInside(read_error(data))
    items = answer.data or []
    indices = [item.index for item in items]
    if indices != [None] * len(items):
        if sorted(index if index is not None else -1 for index in indices) != list(range(len(items))):
            raise not_the_dialect(_ASKED)
        items = sorted(items, key=lambda item: item.index or 0)
    came = [item.embedding for item in items]
    vectors = encoded(came, call)
    told = told_tokens(answer.usage)
    if (
        indices == list(range(len(items)))
        and all(now is before for now, before in zip(vectors, came, strict=True))
        and isinstance(answer.usage, dict)
        and answer.usage.keys() >= {"prompt_tokens", "total_tokens"}
    ):
        return Answer(body=data, usage=_usage(told), disbelieved=told.disbelieved)
    return written(vectors, call, answer.model or upstream_model, told)


def written(vectors: Sequence[Raw], call: Call, model: str, told: Count) -> Answer:
    """The answer, written in this dialect; an upstream that counted nothing is counted for."""
    tokens = tokens_in(call.text_bytes) + call.tokens if told.number is None else told.number
    body = msgspec.json.encode(
        {
            "object": "list",
            "data": [
                # Google writes each number on a line of its own.
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": Raw(bytes(vector).translate(None, b" \t\r\n")),
                }
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
    return Answer(body=body, usage=_usage(told), disbelieved=told.disbelieved)


def _usage(told: Count) -> Usage | None:
    return None if told.number is None else Usage(input=told.number)


def encoded(vectors: Sequence[Raw], call: Call) -> list[Raw]:
    """One vector for each input, in the encoding the client wants; those that are so stay the same objects.

    Raises `UpstreamFailed` when there are more or fewer, or one is empty or not of finite numbers.
    """
    if len(vectors) != call.inputs:
        raise not_the_dialect(_ASKED)
    base64 = call.member("encoding_format") == b'"base64"'
    return [_as_base64(vector) if base64 else _as_floats(vector) for vector in vectors]


# What an array of numbers is made of, but for its brackets.
_OF_NUMBERS = b"0123456789+-.eE, \t\r\n"


def _as_floats(raw: Raw) -> Raw:
    data = bytes(raw)
    if data.startswith(b'"'):
        packed = _packed(data)
        return Raw(msgspec.json.encode(struct.unpack(f"<{len(packed) // 4}f", packed)))
    # JSON has no NaN: a server that computed one writes null.
    if data.translate(None, _OF_NUMBERS) != b"[]" or not data[1:-1].strip():
        raise _no_vector()
    return raw


def _as_base64(raw: Raw) -> Raw:
    data = bytes(raw)
    if data.startswith(b'"'):
        _packed(data)
        return raw
    try:
        numbers = msgspec.json.decode(data, type=Annotated[list[float], Meta(min_length=1)])
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
    except (msgspec.DecodeError, OverflowError):
        raise _no_vector() from None
    return Raw(b'"%b"' % b64encode(packed))


# The high byte of a float beyond 2**127 in size: among them are the infinite ones, and what is no number.
_HIGHEST = (0x7F, 0xFF)


def _packed(text: bytes) -> bytes:
    """The little-endian 32-bit floats in a JSON string of base64."""
    try:
        # Some encoders write a slash as `\/`; no other escape has a reason to be there.
        packed = binascii.a2b_base64(text[1:-1].replace(b"\\/", b"/"), strict_mode=True)
    except binascii.Error:
        raise _no_vector() from None
    high = packed[3::4]
    if not packed or len(packed) % 4 or _HIGHEST[0] in high or _HIGHEST[1] in high:
        raise _no_vector()
    return packed


def _no_vector() -> UpstreamFailed:
    return not_the_dialect("a vector of finite numbers")
