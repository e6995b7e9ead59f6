"""POST /v1/completions: passed through to upstreams that still have it."""

from typing import Any

import pytest

from tests.api.whole_gateway import Gateway
from tests.fakes import FakeUpstream, body, error, events, stream

USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "instruct"}


def chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"text": text, "index": 0, "finish_reason": finish, "logprobs": None}]}


async def test_a_whole_answer_passes_and_is_charged(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The upstream's bytes are the client's, and its usage is booked."""
    answer = {**chunk("there", "stop"), "usage": USAGE}
    upstream.serve(body(answer))
    async with gateway.call("/v1/completions", json={"model": "gpt-4o", "prompt": "hi"}) as response:
        assert (response.status, await response.json()) == (200, answer)
    received = await upstream.arrived()
    assert received.path == "/v1/completions"
    assert received.json == {"model": "gpt-4o-2024-08-06", "prompt": "hi"}
    ((status, failure, _, _, prompt, completion, cost),) = await gateway.rows()
    assert (status, failure, prompt, completion) == (200, None, 5, 3)
    assert cost == 5 * 2_500 + 3 * 10_000


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_passes_with_the_usage_that_was_asked_for(
    gateway: Gateway, upstream: FakeUpstream, asked: bool
) -> None:
    """Usage is always asked of the upstream and always booked; the client sees it if it asked."""
    usage = {**HEAD, "choices": [], "usage": USAGE}
    sent = events(chunk("the"), chunk("re", "stop"), usage)
    upstream.serve(stream(*sent))
    request: dict[str, Any] = {"model": "gpt-4o", "prompt": ["hi"], "stream": True}
    if asked:
        request["stream_options"] = {"include_usage": True}
    async with gateway.call("/v1/completions", json=request) as response:
        got = await response.read()
    assert got.count(b'"usage"') == asked
    assert b'"the"' in got
    assert got.endswith(b"data: [DONE]\n\n")
    assert (await gateway.rows())[0][4:6] == (5, 3)
    assert (await upstream.arrived()).json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("request_body", "param"),
    [
        ({"model": "gpt-4o"}, "prompt"),
        ({"model": "gpt-4o", "prompt": []}, "prompt"),
        ({"model": "gpt-4o", "prompt": 7}, "prompt"),
        ({"model": "gpt-4o", "prompt": "x", "n": 0}, "n"),
    ],
)
async def test_what_makes_no_sense_is_400(gateway: Gateway, request_body: dict[str, Any], param: str) -> None:
    """A wrong request names the field at fault and reaches no upstream."""
    async with gateway.call("/v1/completions", json=request_body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param


@pytest.mark.parametrize(
    "reply",
    [body({"nothing": 1}), body(7), stream(*events(chunk("a"), done=False)), error(500)],
)
async def test_a_broken_answer_is_never_whole(gateway: Gateway, upstream: FakeUpstream, reply: Any) -> None:
    """What is no completion is 503, and costs nothing."""
    upstream.serve(reply)
    async with gateway.call("/v1/completions", json={"model": "gpt-4o", "prompt": "hi"}) as response:
        assert response.status == 503
    assert (await gateway.rows())[0][-1] == 0
