"""Chat Completions: requests as they are read, recorded answers as they pass."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ValidationError

from tokligenced.dialects import chat, chat_answers
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.wire_error import ErrorInside
from tokligenced.domain import Usage
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"
SPEAKERS = {"openai", "azure", "deepseek", "groq", "together", "openrouter", "xai", "mistral", "perplexity"}


def recorded(*, streams_only: bool = False, with_error: bool = False) -> Iterator[Any]:
    """Answers with status 200 in this dialect out of the recorded corpus, with or without an error inside."""
    for file in sorted(CORPUS.glob("*/*-chat-*.json")):
        case = json.loads(file.read_text())
        if case["provider"] not in SPEAKERS or case["response"]["status"] != 200:
            continue
        body, stream = case["response"]["body"].encode(), case["response"]["sse"]
        wanted = stream or (b'"choices"' in body and not streams_only)
        if wanted and with_error == (b'"error":{' in body):
            yield pytest.param(body, stream, id=case["id"])


def watch_for(**what: Any) -> chat_answers.Watch:
    """A fresh watch over an answer."""
    mender = Mender(call_id="req_7", created=1_700_000_000, model="the-model")
    return chat_answers.Watch(mender, **{"stream": True, **what})


def readable(event: bytes, kind: type[BaseModel]) -> bool:
    """Whether OpenAI's own client finds every member of the type that it declares."""
    data = event.removeprefix(b"data: ")
    if not data.startswith(b"{"):
        return True
    try:
        kind.model_validate_json(data)
    except ValidationError:
        return False
    return True


def through(watch: chat_answers.Watch, chunks: list[bytes]) -> bytes:
    return b"".join([watch.feed(chunk) for chunk in chunks]) + watch.finish()


@pytest.mark.parametrize(("body", "stream"), [*recorded()])
def test_a_recorded_answer_leaves_as_it_came(body: bytes, stream: bool) -> None:
    """Every event that clients can read leaves byte for byte, and the usage is read on the way."""
    watch = watch_for(stream=stream)
    events = body.split(b"\n\n")
    passed = through(watch, [body]).split(b"\n\n")
    assert len(passed) == len(events)
    kind = ChatCompletionChunk if stream else ChatCompletion
    for event, left in zip(events, passed, strict=True):
        assert (left == event) == readable(event, kind)
        assert readable(left, kind)
    assert (watch.usage is not None) == (b'"prompt_tokens"' in body)


@pytest.mark.parametrize(("body", "stream"), [*recorded(streams_only=True)])
def test_any_cut_gives_the_same(body: bytes, stream: bool) -> None:
    """A recorded stream cut at any byte gives the same output, usage and delivered size."""
    whole = watch_for(stream=stream, hide_usage=True)
    expected = through(whole, [body])
    # Every byte of a short stream, and at most about 400 places of a long one.
    for cut in range(0, len(body), max(1, len(body) // 400)):
        watch = watch_for(hide_usage=True)
        assert through(watch, [body[:cut], body[cut:]]) == expected
        assert (watch.usage, watch.delivered) == (whole.usage, whole.delivered)


@pytest.mark.parametrize(("body", "stream"), [*recorded(with_error=True)])
def test_a_recorded_error_inside_an_answer_is_one(body: bytes, stream: bool) -> None:
    """A status of 200 does not make an answer of what the provider calls an error."""
    with pytest.raises(ErrorInside) as inside:
        through(watch_for(stream=stream), [body])
    assert inside.value.error.message


HEAD = b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
USAGE_EVENT = HEAD + b'],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
FINISH = HEAD + b'{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
STREAM = (
    HEAD + b'{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}\n\n'
    + HEAD + b'{"index":0,"delta":{"content":"h\xc3\xa9"}}],"usage":null}\n\n'
    + FINISH
    + USAGE_EVENT
    + b"data: [DONE]\n\n"
)  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_usage_that_nobody_asked_for_is_withheld(size: int) -> None:
    """Only the event that carries usage alone is missing, and it is counted all the same."""
    watch = watch_for(hide_usage=True)
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert through(watch, chunks) == STREAM.replace(USAGE_EVENT, b"")
    assert watch.usage == Usage(input=9, output=3)
    assert watch.delivered == len("hé".encode())


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(STREAM.split(FINISH)[0], id="no end"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"error":{"message":"no"}}', id="a body, no stream"),
        pytest.param(b"data: {\n\n", id="no JSON"),
        pytest.param(b"data: 7\n\n", id="another shape"),
        pytest.param(b'data: {"error":{"message":"overloaded"}}\n\n', id="an error event"),
    ],
)
def test_a_broken_stream_is_never_whole(stream: bytes) -> None:
    """A stream that ends early, errs or is no stream raises, at the latest at its end."""
    with pytest.raises(UpstreamFailed):
        through(watch_for(), [stream])


def test_every_choice_must_finish() -> None:
    """With two choices and no [DONE], one finish reason is not enough."""
    one = b'data: {"choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}\n\n'
    with pytest.raises(UpstreamFailed):
        through(watch_for(choices=2), [one % 0])
    through(watch_for(choices=2), [one % 0, one % 1])


@pytest.mark.parametrize(
    "delta",
    [
        {"function_call": {"name": "f", "arguments": "x" * 900}},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "x" * 900}}]},
        {"tool_calls": [{"index": 0, "custom": {"name": "f", "input": "x" * 900}}]},
        {"reasoning_content": "x" * 900},
        {"content": "", "refusal": "x" * 900},
        {"audio": {"data": "A" * 300_000}},
        {"images": [{"image_url": {"url": "data:image/png;base64," + "A" * 300_000}}]},
    ],
)
def test_all_that_is_delivered_is_counted(delta: dict[str, Any]) -> None:
    """Output of every kind counts, so that who leaves before the usage pays for it."""
    watch = watch_for()
    watch.feed(b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n")
    assert watch.delivered >= 900


def test_usage_told_early_is_known_to_be_early() -> None:
    """Output after a usage in mid-stream is not covered by it."""
    watch = watch_for()
    early = {
        "choices": [{"index": 0, "delta": {"content": "ab"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 0},
    }
    late = {"choices": [{"index": 0, "delta": {"content": "x" * 600}}]}
    for event in (early, late):
        watch.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert (watch.told_at, watch.delivered) == (2, 602)


def test_what_is_not_passed_on_is_not_counted() -> None:
    """Of a piece with an error in it nothing reaches the client, so nothing of it counts as delivered."""
    watch = watch_for()
    good = b'data: {"choices":[{"index":0,"delta":{"content":"abc"}}]}\n\n'
    with pytest.raises(ErrorInside):
        watch.feed(good + b'data: {"error":{"message":"no"}}\n\n')
    assert watch.delivered == 0


REQUEST = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'


def test_the_request_goes_out_with_only_the_model_changed() -> None:
    """A request that is not streamed differs upstream by the model's name alone."""
    call = chat.parse(REQUEST)
    assert chat.request_for(call, "gpt-4o") == REQUEST.replace(b'"m"', b'"gpt-4o"')
    assert chat.request_for(call, "m") is REQUEST


@pytest.mark.parametrize("options", [None, "null", "{}", '{"include_usage":false}', '{"x":1}'])
def test_usage_is_asked_for_in_every_stream(options: str | None) -> None:
    """A streamed request asks the upstream for usage, keeping the client's other options."""
    extra = f',"stream":true,"stream_options":{options}}}' if options else ',"stream":true}'
    call = chat.parse(REQUEST[:-1] + extra.encode())
    sent = json.loads(chat.request_for(call, "m"))
    given = json.loads(options or "null") or {}
    assert not call.include_usage
    assert sent["stream_options"] == {**given, "include_usage": True}


def test_a_client_that_asks_for_usage_is_left_alone() -> None:
    """A request that already asks for usage goes out byte for byte."""
    body = REQUEST[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'
    call = chat.parse(body)
    assert call.include_usage
    assert chat.request_for(call, "m") is body


def assert_refused(body: bytes, code: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chat.parse(body)
    error: CallError = refused.value
    assert (error.status, error.code, error.param) == (400, code, param)
    assert set(json.loads(chat.render_error(error))["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_parameter_is_named(name: str) -> None:
    """What is missing is named in `param`."""
    body = {"model": "m", "messages": [{}]}
    del body[name]
    assert_refused(json.dumps(body).encode(), "missing_required_parameter", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", 1),
        ("model", ""),
        ("model", None),
        ("messages", "hi"),
        ("messages", []),
        ("messages", None),
        ("stream", "yes"),
        ("stream_options", []),
        ("n", 0),
        ("n", 1.5),
        *[
            (name, value)
            for name in ("max_tokens", "max_completion_tokens")
            for value in (-1, 0, 1.5, True, "10", 2**63, int("9" * 4000))
        ],
    ],
)
def test_a_wrong_value_is_named(name: str, value: object) -> None:
    """A parameter of the wrong type or out of range is refused by its name."""
    body = json.dumps({"model": "m", "messages": [{}], name: value}).encode()
    assert_refused(body, "invalid_value", name)


def test_a_whole_call_of_a_custom_tool_is_counted_as_delivered() -> None:
    """Free text counts as arguments do where it fits OpenAI's types, too."""
    custom = {"name": "f", "input": "x" * 900}
    delta = {"tool_calls": [{"index": 0, "id": "c", "type": "custom", "custom": custom}]}
    chunk = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    watch = watch_for()
    watch.feed(b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n")
    assert watch.delivered == 901


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_utf8_is_not_passed_on(stream: bool) -> None:
    """Bytes that no client could decode are an upstream's failure, wherever they stand."""
    answer = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"x":"\xff"}'
    sent = b"data: %b\n\ndata: [DONE]\n\n" % answer if stream else answer
    with pytest.raises(UpstreamFailed, match="UTF-8"):
        through(watch_for(stream=stream), [sent])
