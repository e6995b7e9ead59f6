"""/v1/responses: OpenAI's bytes pass, others are translated; what is kept is its key's alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream, Trouble, body, chat_chunks, chat_completion, events, stream

SETTINGS = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[responses]
store = {store}
retention = "1h"
[providers.open]
type = "openai"
base_url = "{url}/v1"
api_key = {{ env = "FAKE_KEY" }}
responses = true
[providers.vendor]
type = "openai"
base_url = "{url}/vendor"
[models.gpt]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", cached_input = "1", output = "15" }}
deployments = [{{ provider = "open", model = "gpt-5" }}]
[models.other]
context_window = 200_000
max_output_tokens = 8192
price = {{ input = "3", output = "15" }}
deployments = [{{ provider = "vendor", model = "llama" }}]
"""
USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 15,
}
OUTPUT = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Hé", "annotations": []}],
    },
]
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5",
    "status": "completed",
    "output": OUTPUT,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": USAGE,
}
REQUEST = {"model": "gpt", "input": "hi"}


def response_events(*, end: bool = True) -> list[bytes]:
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    item = {**OUTPUT[0], "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    said: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": "Hé", "logprobs": []},
        {"type": "response.completed", "response": RESPONSE},
    ]
    said = [{**each, "sequence_number": number} for number, each in enumerate(said)]
    return [
        f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()
        for each in (said if end else said[:-1])
    ]


Start = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def start(upstream: FakeUpstream, tmp_path: Path) -> Start:
    """Starts a gateway that keeps responses, or does not."""

    def started(*, store: bool = False) -> AbstractAsyncContextManager[Gateway]:
        settings = SETTINGS.format(folder=tmp_path, url=upstream.url, store=json.dumps(store))
        return running(upstream, tmp_path, settings=settings)

    return started


@pytest.fixture
async def gateway(start: Start) -> AsyncIterator[Gateway]:
    """A gateway that keeps nothing."""
    async with start() as gateway:
        yield gateway


@pytest.fixture
async def keeping(start: Start) -> AsyncIterator[Gateway]:
    """A gateway that keeps responses."""
    async with start(store=True) as gateway:
        yield gateway


async def booked(gateway: Gateway) -> tuple[Any, ...]:
    """Status, error, provider and what was counted of the only call there was."""
    await gateway.assembly.database.flush()
    (row,) = await gateway.assembly.database.read(
        "SELECT status, error, provider, input, cached_input, output, reasoning FROM calls"
    )
    return tuple(row)


COUNTED = (200, None, "open", 6, 4, 3, 2)


async def test_a_whole_answer_passes(gateway: Gateway, upstream: FakeUpstream) -> None:
    """What OpenAI answered is what the client gets, and each part of its usage is booked."""
    upstream.serve(body(RESPONSE))
    async with gateway.call("/v1/responses", json=REQUEST) as response:
        assert (response.status, await response.json()) == (200, RESPONSE)
    received = await upstream.arrived()
    assert (received.path, received.json) == ("/v1/responses", {**REQUEST, "model": "gpt-5"})
    assert await booked(gateway) == COUNTED


async def test_a_stream_passes_byte_for_byte(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The client gets the very events."""
    sent = response_events()
    upstream.serve(stream(*sent))
    async with gateway.call("/v1/responses", json={**REQUEST, "stream": True}) as response:
        assert await response.read() == b"".join(sent)
    assert await booked(gateway) == COUNTED


async def test_who_leaves_after_the_last_event_has_all_of_it(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    """A client that closes once it has read the end did not hang up, though the upstream is open."""
    open_end = asyncio.Event()
    upstream.serve(stream(*response_events(), open_end))
    async with gateway.call("/v1/responses", json={**REQUEST, "stream": True}) as response:
        await response.content.readuntil(b'"response.completed"')
        response.close()
    await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
    open_end.set()
    assert await booked(gateway) == COUNTED


async def test_who_leaves_before_it_has_hung_up(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Without the last event the client has not got the answer, and pays for what came."""
    open_end = asyncio.Event()
    upstream.serve(stream(*response_events(end=False), open_end))
    async with gateway.call("/v1/responses", json={**REQUEST, "stream": True}) as response:
        await response.content.readuntil(b"output_text.delta")
        response.close()
    await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
    open_end.set()
    assert (await booked(gateway))[:2] == (499, "client_left")


async def test_a_stream_that_breaks_ends_as_failed(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A stream that broke off ends in exactly one failure that goes on from its numbers."""
    upstream.serve(stream(*response_events(end=False), Trouble.CUT))
    async with gateway.call("/v1/responses", json={**REQUEST, "stream": True}) as response:
        got = (await response.read()).decode()
    datas = [json.loads(line[6:]) for line in got.splitlines() if line.startswith("data: ")]
    assert [data["type"] for data in datas][-2:] == ["error", "response.failed"]
    assert [data["sequence_number"] for data in datas] == [0, 1, 2, 3, 4, 5]
    assert datas[-1]["response"]["id"] == "resp_1"


async def test_the_sdk_streams_from_a_chat_upstream(gateway: Gateway, upstream: FakeUpstream) -> None:
    """OpenAI's own client accumulates a translated stream to a whole response."""
    upstream.serve(stream(*events(*chat_chunks(["Hé", "llo"], prompt_tokens=7, completion_tokens=3))))
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0)
    asking = client.responses.stream(model="other", input="hi", instructions="be brief")
    async with client, asking as streaming:
        kinds = [event.type async for event in streaming]
        response = await streaming.get_final_response()
    assert (response.output_text, response.status) == ("Héllo", "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    received = await upstream.arrived()
    assert received.path == "/vendor/chat/completions"
    assert received.json["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["x"]}], "model": "other"}, "tools[0].type"),
        ({"input": [{"type": "hologram"}], "model": "other"}, "input[0].type"),
        (
            {"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}], "model": "other"},
            None,
        ),
        ({"input": None}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
async def test_what_can_not_be_served_is_refused_by_name(
    gateway: Gateway, members: dict[str, Any], param: str | None
) -> None:
    """A member that nothing here stands for is 400 naming it, and no upstream is asked."""
    async with gateway.call("/v1/responses", json={**REQUEST, **members}) as response:
        told = (await response.json())["error"]
    assert (response.status, told["type"]) == (400, "invalid_request_error")
    assert param is None or told["param"].startswith(param.removesuffix(".type"))


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("model", ["gpt", "other"])
async def test_a_kept_response_is_gone_on_from(
    keeping: Gateway, upstream: FakeUpstream, streamed: bool, model: str
) -> None:
    """The next turn has all of the first in it: its input, what was answered, then the new input."""
    if model == "gpt":
        upstream.serve(stream(*response_events()) if streamed else body(RESPONSE))
    elif streamed:
        upstream.serve(stream(*events(*chat_chunks(["Hé"]))))
    else:
        upstream.serve(body(chat_completion("Hé")))
    async with AsyncOpenAI(base_url=f"{keeping.url}/v1", api_key=keeping.key, max_retries=0) as client:
        if streamed:
            async with client.responses.stream(model=model, input="first") as streaming:
                first = await streaming.get_final_response()
        else:
            first = await client.responses.create(model=model, input="first")
        assert (await client.responses.retrieve(first.id)).output_text == "Hé"
        upstream.serve(body(RESPONSE if model == "gpt" else chat_completion("done")))
        await client.responses.create(model=model, input="second", previous_response_id=first.id)
        received = (await upstream.arrived(2)).json
        if model == "gpt":
            assert received["previous_response_id"] is None
            assert [item.get("content") for item in received["input"]] == [
                "first",
                OUTPUT[0]["content"],
                "second",
            ]
        else:
            assert [message["content"] for message in received["messages"]] == ["first", "Hé", "second"]
        await client.responses.delete(first.id)
    async with keeping.get(f"/v1/responses/{first.id}") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")


async def test_who_wants_nothing_kept_has_nothing_kept(keeping: Gateway, upstream: FakeUpstream) -> None:
    """`store: false` is heeded."""
    upstream.serve(body(RESPONSE))
    async with keeping.call("/v1/responses", json={**REQUEST, "store": False}) as response:
        assert response.status == 200
    async with keeping.get("/v1/responses/resp_1") as response:
        assert response.status == 404


async def test_another_key_s_response_is_not_there(keeping: Gateway, upstream: FakeUpstream) -> None:
    """Neither reading, deleting nor going on from it tells a stranger that a response exists."""
    upstream.serve(body(RESPONSE))
    async with keeping.call("/v1/responses", json=REQUEST) as response:
        assert response.status == 200
    stranger = {"Authorization": f"Bearer {await keeping.new_key()}"}
    url = f"{keeping.url}/v1/responses/resp_1"
    request = {**REQUEST, "previous_response_id": "resp_1"}
    for asking in (
        keeping.http.get(url, headers=stranger),
        keeping.http.delete(url, headers=stranger),
        keeping.call("/v1/responses", json=request, headers=stranger),
    ):
        async with asking as response:
            assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")
    async with keeping.get("/v1/responses/resp_1") as response:
        assert response.status == 200


async def test_what_has_had_its_time_is_gone(keeping: Gateway, upstream: FakeUpstream) -> None:
    """After the retention time a response can't be read any more, swept out or not."""
    upstream.serve(body(RESPONSE))
    async with keeping.call("/v1/responses", json=REQUEST) as response:
        assert response.status == 200
    database = keeping.assembly.database
    await database.transact(lambda tx: tx.execute("UPDATE responses SET expires_at = created_at - 1"))
    async with keeping.get("/v1/responses/resp_1") as response:
        assert response.status == 404
