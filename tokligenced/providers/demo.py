"""The demo upstream: a deterministic model inside the process that speaks OpenAI's wire format.

`respond` is a pure function from a request to a script, which the gateway plays instead of opening
a connection. The same request gets the same bytes. A fault is ordered by the upstream model's name:

    error-NNN       that status with an error body, for each request; 429 says Retry-After: 2
    cut-N           the connection is lost after N chunks
    eof-N           a clean end after N chunks, without finish reason or [DONE]
    stall-N         silence after N chunks
    garbage         after two chunks an event that is no JSON; a whole body that is no JSON
    late-error      after two chunks an error event; instead of a whole body an error with status 200
    empty-usage     never any usage
    slow, slow-MS   500, or MS, milliseconds before each chunk

A chunk is one event of a stream; a body that is not streamed comes in two halves and counts as two.
Every other name just serves: chat completions with tools, JSON schemas, reasoning and several
choices, embeddings, images and reranking. A token is a word's part of up to eight letters or a
single sign, for `usage` as for `max_tokens`.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from tokligenced.providers import demo_chat, demo_tasks

_CHAT = "/chat/completions"
_TASKS: Mapping[str, tuple[type[Any], Callable[..., bytes]]] = {
    _CHAT: (demo_chat.ChatRequest, demo_chat.whole),
    "/embeddings": (demo_tasks.EmbeddingsRequest, demo_tasks.embeddings),
    "/images/generations": (demo_tasks.ImagesRequest, demo_tasks.images),
    "/rerank": (demo_tasks.RerankRequest, demo_tasks.rerank),
}
_NUMBERED = re.compile(r"(error(?=-[1-9][0-9]{2}$)|cut|eof|stall|slow)-([0-9]{1,6})")
_ALONE = {"garbage": 2, "late-error": 2, "empty-usage": 0, "slow": 500}
_PLACE = re.compile(r" - at `\$\.?(?P<place>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<member>\w+)`")
_JSON = "application/json"
_STREAM = "text/event-stream; charset=utf-8"
_TORN = b'{"id":"chatcmpl-'
_RETRY_AFTER = "2"
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

Read = TypeVar("Read", bound=Struct)


class Step(Struct, frozen=True):
    """Wait `delay` seconds, send `data`, then perhaps fail.

    `cut`: the connection is lost here. `stall`: it stays open and nothing more ever comes.
    """

    delay: float = 0.0
    data: bytes = b""
    fault: Literal["", "cut", "stall"] = ""


class Script(Struct, frozen=True):
    """An answer to be played once: status and headers, then the steps, then a clean end."""

    status: int
    headers: Mapping[str, str]
    steps: Iterator[Step]


def respond(path: str, body: bytes, *, first_byte: float = 0.0, between_chunks: float = 0.0) -> Script:
    """Answer a request to `path`, which is what follows the base URL: `/chat/completions`.

    `first_byte` and `between_chunks` are delays in seconds. Never raises: a request that can't be
    served gets OpenAI's error body with its status.
    """
    digest = sha256(path.encode() + b"\0" + body).hexdigest()
    headers = {"x-request-id": f"req_{digest[:32]}"}
    try:
        content_type, chunks, fault = _answer(path, body, digest)
    except _Refused as refusal:
        headers["content-type"] = _JSON
        if refusal.status == 429:
            headers["retry-after"] = _RETRY_AFTER
        return Script(refusal.status, headers, iter([Step(first_byte, refusal.body)]))
    headers["content-type"] = content_type
    if fault.kind == "slow":
        first_byte = between_chunks = fault.number / 1000
    return Script(200, headers, _steps(content_type, chunks, fault, first_byte, between_chunks))


class _Fault(Struct, frozen=True):
    """What the model's name orders; `number` is a status, chunks or milliseconds, as the kind has it."""

    kind: str = ""
    number: int = 0

    @property
    def after(self) -> int | None:
        """How many chunks come before it; None when it cuts nothing short."""
        return self.number if self.kind in {"cut", "eof", "stall", "garbage", "late-error"} else None


class _Model(Struct, frozen=True):
    model: str


class _Refused(Exception):
    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = _error(status, message, param, code)


def _error(status: int, message: str, param: str | None, code: str | None) -> bytes:
    kind = "requests" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _answer(path: str, body: bytes, digest: str) -> tuple[str, Iterable[bytes], _Fault]:
    """Content type, chunks, and the fault that shall befall them."""
    if path == "/models":
        model = {"id": "demo", "object": "model", "created": demo_chat.created("0"), "owned_by": "demo"}
        return _JSON, [msgspec.json.encode({"object": "list", "data": [model]})], _Fault()
    if path not in _TASKS:
        raise _Refused(404, f"Invalid URL ({path})", code="unknown_url")
    fault = _fault(_read(body, _Model).model)
    if fault.kind == "error":
        message = f"The demo model was asked to fail with status {fault.number}."
        raise _Refused(fault.number, message, code=_CODES.get(fault.number))
    kind, task = _TASKS[path]
    request = _read(body, kind)
    usage = fault.kind != "empty-usage"
    if path == _CHAT and request.stream:
        return _STREAM, demo_chat.events(request, digest, usage=usage), fault
    return _JSON, _whole(task(request, digest, usage=usage), fault), fault


def _fault(model: str) -> _Fault:
    if numbered := _NUMBERED.fullmatch(model):
        return _Fault(numbered[1], int(numbered[2]))
    return _Fault(model, _ALONE[model]) if model in _ALONE else _Fault()


def _whole(body: bytes, fault: _Fault) -> list[bytes]:
    """The body as chunks, or what the fault puts in its place."""
    if fault.kind == "garbage":
        return [_TORN]
    if fault.kind == "late-error":
        return [_late_error()]
    half = len(body) // 2
    return [body] if fault.after is None else [body[:half], body[half:]]


def _late_error() -> bytes:
    return _error(500, "The server had an error while processing your request.", None, None)


def _steps(
    content_type: str, chunks: Iterable[bytes], fault: _Fault, first_byte: float, between_chunks: float
) -> Iterator[Step]:
    delay = first_byte
    for chunk in itertools.islice(chunks, fault.after):
        yield Step(delay, chunk)
        delay = between_chunks
    if fault.kind in {"cut", "stall"}:
        yield Step(delay, fault="cut" if fault.kind == "cut" else "stall")
    elif content_type == _STREAM and fault.kind in {"garbage", "late-error"}:
        event = _TORN if fault.kind == "garbage" else _late_error()
        yield Step(delay, b"data: " + event + b"\n\n")


def _read(body: bytes, kind: type[Read]) -> Read:
    """The body as `kind`; what does not fit is refused in OpenAI's words."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Refused(400, "We could not parse the JSON body of your request.") from None


def _invalid(complaint: str) -> _Refused:
    found = _PLACE.search(complaint)
    place = found["place"] if found else ""
    if missing := _MISSING.match(complaint):
        param = f"{place}.{missing['member']}" if place else missing["member"]
        return _Refused(
            400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    reason = _PLACE.sub("", complaint)
    subject = f"Invalid value for '{place}'" if place else "Invalid body"
    return _Refused(400, f"{subject}: {reason}.", param=place or None, code="invalid_value")
