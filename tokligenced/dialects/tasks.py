"""What embeddings, images and reranking have in common: one request, one whole answer, no conversation."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.openai_usage import ABSURD
from tokligenced.domain import Call, Usage
from tokligenced.errors import InvalidRequest

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(min_length=1)]
Positive = Annotated[int, Meta(ge=1, le=2**31)]


class Answer(Struct, frozen=True, kw_only=True):
    """What the client gets, and what the upstream counted.

    `usage` is None where it told nothing; one that is `estimated` holds units alone, and its tokens are still
    to be counted. `disbelieved` and `delivered` are as in an exchange.
    """

    body: bytes
    usage: Usage | None = None
    disbelieved: bool = False
    delivered: int = 0


class Count(Struct, frozen=True):
    """A number an upstream told; None where it told none, or one that can't be."""

    number: int | None = None
    disbelieved: bool = False


class _Tokens(Struct):
    prompt_tokens: float | None = None
    total_tokens: float | None = None


def check_name(model: str) -> None:
    """Refuse a model's name that is not fit for logs and terminals. Raises `InvalidRequest`."""
    if not model.isprintable():
        raise InvalidRequest("invalid_value", "Invalid value for 'model': not printable.", param="model")


def size_of(text: str) -> int:
    """The UTF-8 bytes of `text`."""
    return len(text) if text.isascii() else len(text.encode())


def renamed(call: Call, upstream_model: str, changes: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """The client's own request with the upstream's name for the model and these members, else untouched."""
    if upstream_model != call.model:
        changes = {**changes, "model": msgspec.json.encode(upstream_model)}
    return json_body.changed(call.body, call.members, changes) if changes else call.body


def given(call: Call, *names: str) -> dict[str, Raw]:
    """Those of the request's members that an upstream knows by the same name, as the client wrote them."""
    return {name: Raw(value) for name in names if (value := call.member(name))}


def believed(*numbers: float | None) -> Count:
    """The first number that was told, unless it can't be a count."""
    for number in numbers:
        if number is not None:
            return Count(int(number)) if 0 <= number <= ABSURD else Count(disbelieved=True)
    return Count()


def told_tokens(usage: object) -> Count:
    """The tokens that went in by a `usage` in OpenAI's words, which some vendors only give as a total."""
    try:
        told = msgspec.convert(usage, _Tokens | None)
    except msgspec.ValidationError:
        return Count(disbelieved=True)
    return believed(told.prompt_tokens, told.total_tokens) if told else Count()
