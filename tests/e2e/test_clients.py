"""Official SDKs and frameworks against the daemon: its model speaks chat, so all else is translated."""

import json
import subprocess
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.daemon_process import Daemon, environment

pytestmark = pytest.mark.e2e

MODEL = "claude-3-5-sonnet"
WEATHER = "What is the weather in Paris?"
FOUND = "22 degrees"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLAUDE_TOOL: anthropic.types.ToolParam = {"name": "get_weather", "input_schema": CITY}


@pytest.fixture
def origin(daemon: Daemon) -> str:
    """The gateway's address as Anthropic's clients are given it, without `/v1`."""
    return daemon.url.removesuffix("/v1")


def ran(script: str, node_modules: Path, **variables: str) -> Any:
    """What a script of `js` prints as JSON, with nothing but these variables to go by."""
    done = subprocess.run(
        ["node", str(node_modules.parent / script)],
        env=environment() | {"MODEL": MODEL} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_anthropic_s_python_sdk(origin: str, key: str) -> None:
    """A stream, a tool's two turns, a count, and the SDK's own errors for refusals."""
    async with anthropic.AsyncAnthropic(api_key=key, base_url=origin, max_retries=0) as client:
        async with client.messages.stream(
            model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Hello!"}]
        ) as stream:
            pieces = [piece async for piece in stream.text_stream]
            final = await stream.get_final_message()
        assert len(pieces) > 10
        assert "".join(pieces).startswith("Hello!")
        assert (final.stop_reason, final.usage.input_tokens > 0) == ("end_turn", True)
        called = await client.messages.create(
            model=MODEL,
            max_tokens=200,
            tools=[CLAUDE_TOOL],
            messages=[{"role": "user", "content": WEATHER}],
        )
        (use,) = [block for block in called.content if block.type == "tool_use"]
        assert (called.stop_reason, use.name, use.input) == ("tool_use", "get_weather", {"city": "Paris"})
        told = await client.messages.create(
            model=MODEL,
            max_tokens=200,
            tools=[CLAUDE_TOOL],
            messages=[
                {"role": "user", "content": WEATHER},
                {"role": "assistant", "content": called.content},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": use.id, "content": FOUND}],
                },
            ],
        )
        assert told.content[0].type == "text"
        assert FOUND in told.content[0].text
        counted = await client.messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": "Hello!"}]
        )
        assert counted.input_tokens >= final.usage.input_tokens
        with pytest.raises(anthropic.BadRequestError) as refused:
            await client.messages.create(model="nope", max_tokens=1, messages=[])
        assert refused.value.type == "invalid_request_error"
    async with anthropic.AsyncAnthropic(api_key="tk-nobody", base_url=origin, max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.models.list()


async def test_openai_s_python_sdk_on_responses(client: openai.AsyncOpenAI) -> None:
    """The stream's helper understands every event, and a function's output is used."""
    function: openai.types.responses.FunctionToolParam = {
        "type": "function",
        "name": "get_weather",
        "parameters": CITY,
        "strict": False,
    }
    async with client.responses.stream(model=MODEL, input="Hello!") as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert len(deltas) > 10
    assert "".join(deltas) == final.output_text
    assert final.status == "completed"
    assert final.usage is not None
    assert final.usage.total_tokens == final.usage.input_tokens + final.usage.output_tokens
    called = await client.responses.create(model=MODEL, input=WEATHER, tools=[function])
    (call,) = [item for item in called.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    told = await client.responses.create(
        model=MODEL,
        tools=[function],
        input=[
            {"role": "user", "content": WEATHER},
            {
                "type": "function_call",
                "call_id": call.call_id,
                "name": call.name,
                "arguments": call.arguments,
            },
            {"type": "function_call_output", "call_id": call.call_id, "output": FOUND},
        ],
    )
    assert FOUND in told.output_text
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="nope", input="Hello!")
    assert refused.value.code == "model_not_found"


def test_anthropic_s_javascript_sdk(origin: str, key: str, node_modules: Path) -> None:
    """The same in JavaScript: streamed and whole answers are alike, in text and in usage."""
    told = ran("anthropic_sdk.mjs", node_modules, ANTHROPIC_BASE_URL=origin, ANTHROPIC_API_KEY=key)
    assert told["plain"].startswith("Hello!")
    assert told["streamed"] == told["plain"]
    assert told["usage"][0] == told["usage"][1]
    assert told["use"] == {"name": "get_weather", "input": {"city": "Paris"}, "reason": "tool_use"}
    assert FOUND in told["told"]
    assert told["counted"] >= told["usage"][0]["input_tokens"] > 0
    assert told["refused"] == {"status": 400, "type": "invalid_request_error"}


def test_openai_s_javascript_sdk_on_responses(daemon: Daemon, key: str, node_modules: Path) -> None:
    """Events are numbered without a gap and end with the whole answer."""
    told = ran("openai_responses.mjs", node_modules, OPENAI_BASE_URL=daemon.url, OPENAI_API_KEY=key)
    assert told["plain"].startswith("Hello!")
    assert told["streamed"] == told["plain"]
    assert told["last"] == {"type": "response.completed", "text": told["plain"]}
    assert told["numbers"] == list(range(len(told["numbers"])))
    assert told["usage"]["output_tokens"] > 0
    assert told["call"] == {"name": "get_weather", "arguments": {"city": "Paris"}}
    assert FOUND in told["told"]
    assert told["refused"] == {"status": 400, "code": "model_not_found"}


def test_vercel_s_ai_sdk(daemon: Daemon, key: str, node_modules: Path) -> None:
    """Its three providers, one for each dialect, tell the same; tools are run, streamed or not."""
    told = ran("ai_sdk.mjs", node_modules, BASE_URL=daemon.url, KEY=key)
    assert set(told) == {"chat", "responses", "messages"}
    for each in told.values():
        assert each["plain"].startswith("Hello!")
        assert (each["finish"], each["streamed"]["text"]) == ("stop", each["plain"])
        assert each["streamed"]["pieces"] > 10
        assert each["usage"][0] > 0
        assert each["usage"][1] == each["streamed"]["usage"] > 0
        assert each["cities"] == ["Paris", "Paris"]
        assert each["worked"] == each["working"]
        assert each["worked"]["steps"] == 2
        assert FOUND in each["worked"]["text"]
    assert len({json.dumps(each["usage"]) for each in told.values()}) == 1
