"""Responses answers as they pass from an upstream of the same dialect."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import sse
from tokligenced.dialects.responses_watch import Watch
from tokligenced.dialects.wire_error import ErrorInside
from tokligenced.domain import Usage
from tokligenced.errors import Unavailable, UpstreamFailed

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 17,
}
COUNTED = Usage(input=6, cached_input=4, output=5, reasoning=2)


def recorded() -> Iterator[Any]:
    """Answers with status 200, whole and streamed, that tell of no error."""
    for file in sorted(CORPUS.glob("*/*-responses-*.json")):
        case = json.loads(file.read_text())
        body, stream = case["response"]["body"], case["response"]["sse"]
        if case["response"]["status"] == 200 and '"type":"error"' not in body:
            yield pytest.param(body.encode(), stream, id=case["id"])


def final(body: bytes, *, stream: bool) -> dict[str, Any]:
    """The response that the recorded answer ends with."""
    last = sse.data_of(sse.events(body)[-1]) if stream else body
    assert last is not None
    read: dict[str, Any] = json.loads(last)
    return read["response"] if stream else read


def event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


def ended(kind: str = "completed", **members: Any) -> bytes:
    return event(f"response.{kind}", response={"id": "resp_1", "status": kind, "output": [], **members})


@pytest.mark.parametrize(("body", "stream"), list(recorded()))
@pytest.mark.parametrize("size", [1, 7, 4096, 10**9])
def test_recorded_answers_pass_byte_for_byte(body: bytes, stream: bool, size: int) -> None:
    """However they are cut; what the upstream counted is read, and output is seen to be delivered."""
    watch = Watch(stream=stream)
    out = b"".join([watch.feed(body[at : at + size]) for at in range(0, len(body), size)])
    assert out + watch.finish() == body
    told = final(body, stream=stream)["usage"]
    assert watch.usage is not None
    assert watch.usage.prompt_tokens == told["input_tokens"]
    assert watch.usage.completion_tokens == told["output_tokens"]
    assert watch.usage.cached_input == told["input_tokens_details"]["cached_tokens"]
    assert watch.usage.reasoning == told["output_tokens_details"]["reasoning_tokens"]
    assert watch.told_at == watch.delivered > 0
    assert not watch.disbelieved


@pytest.mark.parametrize(("body", "stream"), list(recorded()))
def test_an_answer_that_ends_early_is_noticed(body: bytes, stream: bool) -> None:
    """A stream without its last event, and half a body, are no answers."""
    short = b"".join(sse.events(body)[:-1]) if stream else body[: len(body) // 2]
    watch = Watch(stream=stream)
    watch.feed(short)
    with pytest.raises(UpstreamFailed):
        watch.finish()


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_each_of_the_last_events_ends_a_stream(kind: str) -> None:
    """An answer that failed is an answer of this dialect: it passes, and what it counted is paid for."""
    watch = Watch(stream=True)
    sent = event("response.output_text.delta", delta="hällo") + ended(kind, usage=USAGE)
    assert watch.feed(sent) + watch.finish() == sent
    assert (watch.usage, watch.delivered, watch.told_at) == (COUNTED, 6, 6)


def test_a_whole_answer_that_failed_passes() -> None:
    """Its error is the client's to read."""
    body = json.dumps({"status": "failed", "output": [], "error": {"message": "no"}, "usage": USAGE}).encode()
    watch = Watch(stream=False)
    assert watch.feed(body) == b""
    assert watch.finish() == body
    assert watch.usage == COUNTED


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        (
            event("error", error={"code": "insufficient_quota", "message": "none left"}),
            "insufficient_quota",
            "none left",
        ),
        (event("error", code="server_error", message="broke", param=None), "server_error", "broke"),
        (event("error", error="broke"), None, "broke"),
        (b'data: {"error":{"message":"broke"}}\n\n', None, "broke"),
    ],
)
def test_an_error_event_is_no_answer(wrong: bytes, code: str | None, message: str) -> None:
    """In every spelling; the piece that holds it does not go on, and counts for nothing."""
    watch = Watch(stream=True)
    watch.feed(event("response.output_text.delta", delta="abc"))
    with pytest.raises(ErrorInside) as caught:
        watch.feed(event("response.output_text.delta", delta="def") + wrong)
    assert (caught.value.error.code, caught.value.error.message) == (code, message)
    assert watch.delivered == 3


def test_an_error_instead_of_a_whole_answer_is_told() -> None:
    """A body that is an error is no answer, whatever its status said."""
    watch = Watch(stream=False)
    watch.feed(b'{"error":{"message":"broke","type":"server_error"}}')
    with pytest.raises(ErrorInside) as caught:
        watch.finish()
    assert caught.value.error.message == "broke"


def test_events_that_are_not_known_pass() -> None:
    """Comments, `[DONE]`, events of tools to come and deltas that are no text harm nobody."""
    sent = (
        b": hello\n\n"
        + event("response.shell_call_command.delta", delta={"x": 1})
        + event("response.hologram.added", anything=[1])
        + event("keepalive", sequence_number=3)
        + b"event: ping\n\n"
        + ended()
        + b"data: [DONE]\n\n"
    )
    watch = Watch(stream=True)
    assert watch.feed(sent) + watch.finish() == sent
    assert (watch.usage, watch.delivered) == (None, 0)


def test_a_last_event_without_its_empty_line_counts() -> None:
    """Some upstreams close the connection right after the data."""
    sent = ended(usage=USAGE)[:-2]
    watch = Watch(stream=True)
    assert watch.feed(sent) + watch.finish() == sent
    assert watch.usage == COUNTED


@pytest.mark.parametrize(
    "usage", [{"input_tokens": -1}, {"input_tokens": 10**12}, {"input_tokens": "many"}, "x"]
)
def test_a_usage_that_can_not_be_is_not_believed(usage: Any) -> None:
    """The answer passes; what it says it cost does not count."""
    watch = Watch(stream=True)
    watch.feed(ended(usage=usage))
    watch.finish()
    assert watch.usage is None
    assert watch.disbelieved


@pytest.mark.parametrize(
    ("members", "searches"),
    [
        ({"tool_usage": {"web_search": {"num_requests": 3}}}, 3),
        ({"output": [{"type": "web_search_call"}, {"type": "message"}, {"type": "web_search_call"}]}, 2),
        ({}, 0),
    ],
)
def test_searches_are_counted(members: dict[str, Any], searches: int) -> None:
    """By the upstream's own number, else by the calls in the output."""
    watch = Watch(stream=True)
    watch.feed(ended(usage=USAGE, **members))
    assert watch.usage is not None
    assert watch.usage.searches == searches


def test_a_failure_of_the_gateways_own_goes_on_from_the_stream() -> None:
    """It bears the upstream's id for the response and the numbers that are next."""
    watch = Watch(stream=True)
    watch.feed(
        event("response.created", sequence_number=0, response={"id": "resp_9", "status": "in_progress"})
    )
    watch.feed(event("response.output_text.delta", sequence_number=1, delta="x"))
    told, failed = (
        json.loads(sse.data_of(each) or b"")
        for each in sse.events(watch.fail(Unavailable("upstream_error", "broke")))
    )
    assert (told["type"], told["sequence_number"], told["error"]["message"]) == ("error", 2, "broke")
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 3)
    assert failed["response"] == {
        "id": "resp_9",
        "status": "failed",
        "error": {"code": "server_error", "message": "broke"},
    }


def test_a_failure_before_any_response_is_one_error() -> None:
    """There is no response yet that could have failed."""
    (only,) = sse.events(Watch(stream=True).fail(Unavailable("upstream_error", "broke")))
    assert only.startswith(b"event: error\n")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "response", "output", "usage", "error", "delta"]), inner)
    ),
    max_leaves=6,
)


@given(st.lists(JSON.map(json.dumps).map(str.encode) | st.binary(max_size=20), max_size=4), st.booleans())
def test_nothing_an_upstream_sends_breaks_the_watch(pieces: list[bytes], stream: bool) -> None:
    """Whatever comes passes as it is, or is a failure of the upstream."""
    watch = Watch(stream=stream)
    sent = b"".join([b"data: %b\n\n" % piece for piece in pieces] if stream else pieces)
    with suppress(UpstreamFailed):
        assert watch.feed(sent) + watch.finish() == sent
