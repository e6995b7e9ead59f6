"""What the OpenAI SDK makes of this gateway's answers, good ones and refusals."""

import asyncio
import json
import time

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.e2e

MODEL = "claude-3-5-sonnet"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


async def test_many_calls_at_once_each_get_their_answer(client: openai.AsyncOpenAI) -> None:
    """The asynchronous client's calls don't mix."""

    async def ask(number: int) -> str | None:
        answer = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"What is number {number}?"}]
        )
        return answer.choices[0].message.content

    answers = await asyncio.gather(*[ask(number) for number in range(10)])
    assert [f"“What is number {number}?”" in (answer or "") for number, answer in enumerate(answers)] == [
        True
    ] * 10


async def test_models_are_listed_with_prices(client: openai.AsyncOpenAI) -> None:
    """Each model says what it costs in USD per token, and what it can take."""
    models = {model.id: model async for model in client.models.list()}
    assert set(models) >= {MODEL, "vendor/with-a-slash", "spare"}
    described = models[MODEL].model_extra
    assert described is not None
    assert described["pricing"]["prompt"] == "0.000003"
    assert described["pricing"]["completion"] == "0.000015"
    assert (described["context_length"], described["max_output_tokens"]) == (200_000, 8192)


@pytest.mark.parametrize("model", [MODEL, "vendor/with-a-slash"])
async def test_a_model_is_retrieved_by_its_id(client: openai.AsyncOpenAI, model: str) -> None:
    """Also when the id holds a slash."""
    assert (await client.models.retrieve(model)).id == model


async def test_usage_comes_in_a_stream_only_when_asked_for(client: openai.AsyncOpenAI) -> None:
    """Without include_usage no chunk has it; with it, the last one has, and no choices."""
    silent = await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    assert [
        chunk.usage for chunk in [chunk async for chunk in silent] if chunk.usage or not chunk.choices
    ] == []
    asked = await client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in asked]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    whole = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert whole.usage is not None
    assert last.usage.total_tokens == whole.usage.total_tokens > 0


async def test_a_tool_is_called_and_its_result_used(client: openai.AsyncOpenAI) -> None:
    """Two turns: the call with its arguments, then the answer made of the result."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is the weather in Paris?"}
    ]
    first = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    messages.append(first.choices[0].message.model_dump(exclude_none=True))  # type: ignore[arg-type]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "22 degrees"})
    second = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert "22 degrees" in (second.choices[0].message.content or "")


async def test_every_answer_tells_the_limits(client: openai.AsyncOpenAI) -> None:
    """The three documented headers are numbers, on streams too, and the reset lies ahead."""
    plain = await client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    streamed = await client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, stream=True
    )
    for headers in (plain.headers, streamed.headers):
        assert headers["X-RateLimit-Limit"] == "1000"
        assert 0 <= int(headers["X-RateLimit-Remaining"]) < 1000
        assert time.time() - 60 <= int(headers["X-RateLimit-Reset"]) <= time.time() + 120
        assert headers["x-request-id"]
    async for _ in streamed.parse():
        pass


@pytest.mark.parametrize(
    ("wrong", "code"),
    [("tk-xxxxxxxxxxxx", "invalid_api_key"), ("sk-something-else", "invalid_api_key")],
)
async def test_a_wrong_key_is_an_authentication_error(daemon: Daemon, wrong: str, code: str) -> None:
    """A key that proves nobody, or is none, is 401."""
    async with openai.AsyncOpenAI(api_key=wrong, base_url=daemon.url, max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            await stranger.chat.completions.create(model=MODEL, messages=HELLO)
    assert (caught.value.status_code, caught.value.code) == (401, code)
    assert caught.value.type == "authentication_error"


async def test_an_unknown_model_is_a_bad_request(client: openai.AsyncOpenAI) -> None:
    """400 with the code model_not_found and the parameter at fault."""
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="no-such-model", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_model_beyond_the_key_is_a_bad_request(daemon: Daemon) -> None:
    """A key made for some models can use no others, and does not see them listed."""
    key = daemon.new_key("--models", "spare")
    async with openai.AsyncOpenAI(api_key=key, base_url=daemon.url, max_retries=0) as limited:
        assert [model.id async for model in limited.models.list()] == ["spare"]
        with pytest.raises(openai.BadRequestError) as caught:
            await limited.chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.code == "model_not_allowed"


async def test_an_unknown_path_is_not_found(client: openai.AsyncOpenAI) -> None:
    """404 with a JSON error, as every refusal under /v1."""
    with pytest.raises(openai.NotFoundError) as caught:
        await client.get("/nothing/here", cast_to=object)
    assert caught.value.code == "not_found"


async def test_one_request_too_many_is_a_rate_limit_error(daemon: Daemon) -> None:
    """A key for one request a minute is refused at the second, told why and for how long."""
    key = daemon.new_key("--rpm", "1")
    async with openai.AsyncOpenAI(api_key=key, base_url=daemon.url, max_retries=0) as hasty:
        await hasty.chat.completions.create(model=MODEL, messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            await hasty.chat.completions.create(model=MODEL, messages=HELLO)
    assert (caught.value.code, caught.value.type) == ("requests_per_minute", "rate_limit_error")
    assert 1 <= int(caught.value.response.headers["Retry-After"]) <= 60
    assert caught.value.response.headers["X-RateLimit-Remaining"] == "0"


async def test_the_next_deployment_serves_when_the_first_is_down(client: openai.AsyncOpenAI) -> None:
    """An upstream that can't be reached is not the client's concern while there is another."""
    raw = await client.chat.completions.with_raw_response.create(model="spare", messages=HELLO)
    assert (raw.parse().choices[0].message.content or "").startswith("Hello!")
    assert raw.headers["x-tokligence-provider"] == "demo"
    assert raw.headers["x-tokligence-attempts"] == "2"


async def test_an_upstream_that_is_down_is_service_unavailable(client: openai.AsyncOpenAI) -> None:
    """503, never the upstream's address or name."""
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="unreachable", messages=HELLO)
    assert (caught.value.status_code, caught.value.type) == (503, "service_unavailable")
    assert "127.0.0.1" not in str(caught.value.body)


async def test_what_the_upstream_finds_bad_is_a_bad_request(client: openai.AsyncOpenAI) -> None:
    """Its 400 reaches the client as 400 with its message."""
    with pytest.raises(openai.BadRequestError, match="asked to fail with status 400"):
        await client.chat.completions.create(model="refused", messages=HELLO)


async def test_a_stream_that_breaks_raises_instead_of_ending(client: openai.AsyncOpenAI) -> None:
    """Half an answer is never taken for a whole one: the SDK sees the error event."""
    stream = await client.chat.completions.create(model="cut", messages=HELLO, stream=True)
    received = ""
    with pytest.raises(openai.APIError):
        async for chunk in stream:
            received += chunk.choices[0].delta.content or ""
    assert received.startswith("Hello!")
