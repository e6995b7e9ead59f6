"""Requests to Anthropic's Messages: exact bodies for many conversations, and the API's rules for others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from tests.dialects.messages_rules import check
from tokligenced.dialects import messages_answers, messages_requests, sse
from tokligenced.dialects.conversation import (
    CallBegan,
    CallGrew,
    Conversation,
    Foreign,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Signed,
    Target,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.dialects.messages_requests import Request
from tokligenced.errors import InvalidRequest
from tokligenced.providers.anthropic import traits

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "anthropic"
CASES = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases" / "anthropic"
# One of each generation.
MODELS = (
    "claude-3-haiku-20240307",
    "claude-3-7-sonnet-20250219",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-5",
    "claude-sonnet-5-5",
    "claude-fable-5",
    "someone-elses-model",
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def write(conversation: Conversation, model: str = "claude-sonnet-4-5") -> Request:
    """The request to a model that may put out 32,000 tokens."""
    target = Target(provider="anthropic", model=model, max_output_tokens=32_000)
    return messages_requests.write(conversation, target, traits(model))


def sent(conversation: Conversation, model: str = "claude-sonnet-4-5") -> dict[str, Any]:
    """Its body, checked against the API's rules."""
    body: dict[str, Any] = json.loads(write(conversation, model).body)
    check(body)
    return body


def turn(role: Any, *parts: Part | str) -> Turn:
    return Turn(role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def talk(*turns: Turn, **members: Any) -> Conversation:
    return Conversation(turns=turns or (turn("user", "Hi"),), **members)


def call(
    id_: str = "call_1", name: str = "weather", arguments: str = '{"city":"Oslo"}', **more: Any
) -> ToolCall:
    return ToolCall(id=id_, name=name, arguments=arguments, **more)


def result(id_: str = "call_1", *parts: Text | Media | Foreign, **more: Any) -> ToolResult:
    return ToolResult(call_id=id_, parts=parts or (Text(text="cold"),), **more)


WEATHER = Tool(name="weather", description="Tells the weather.", schema=CITY)
PATCH = Tool(
    name="apply_patch",
    description="Changes files.",
    kind="custom",
    format={"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
)
USED_TOOL = (turn("user", "Weather?"), turn("assistant", call()), turn("tool", result()))

GOLDENS: dict[str, tuple[Conversation, str]] = {
    "plain": (talk(), "claude-sonnet-4-5"),
    "instructions": (
        talk(
            Turn(role="system", parts=(Text(text="Be brief.", cache="1h"), Text(text=" "))),
            turn("developer", "Be kind."),
            turn("user", "Hi"),
            turn("system", "Speak French."),
        ),
        "claude-sonnet-4-5",
    ),
    "instructions-in-place": (
        talk(
            turn("system", "Be brief."),
            turn("user", "Hi"),
            turn("assistant", "Hello"),
            turn("developer", "Speak French."),
            turn("user", "Again"),
        ),
        "claude-opus-4-8",
    ),
    "only-instructions": (talk(turn("system", "Say hello.")), "claude-sonnet-4-5"),
    "merged-turns": (
        talk(
            turn("user", "One", ""),
            turn("user", "Two"),
            turn("assistant", " "),
            turn("user", "Three"),
            turn("assistant", "Four"),
            turn("assistant", "Five "),
        ),
        "claude-sonnet-4-5",
    ),
    "parallel-tools": (
        talk(
            turn("user", "Weather in Oslo and Rome?"),
            turn("assistant", "I look.", call("a"), call("b|x", arguments='{"city": "Rome"}')),
            turn("tool", result("b|x", Text(text="hot", cache="5m"))),
            turn("user", "Well?"),
            turn("tool", result("a", Text(text="no wind"), Media(kind="image", data=PNG), error=True)),
            turn("user", "Now?"),
            tools=(WEATHER,),
            parallel_tool_calls=False,
        ),
        "claude-sonnet-4-5",
    ),
    "tools-of-all-kinds": (
        talk(
            turn("user", "Mend it"),
            turn("assistant", call("p", "apply_patch", "*** Begin", kind="custom"), call("n", "now", "")),
            turn("tool", result("p"), result("n")),
            tools=(
                PATCH,
                Tool(name="now"),
                Tool(
                    name="exact",
                    strict=True,
                    schema={
                        "type": "object",
                        "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many."}},
                        "required": ["n"],
                        "additionalProperties": False,
                    },
                    cache="5m",
                ),
                Tool(name="loose", strict=True, schema={"type": "object", "additionalProperties": True}),
            ),
            tool_choice=ToolChoice(mode="auto"),
        ),
        "claude-sonnet-4-5",
    ),
    "forced-tool": (
        talk(tools=(WEATHER, Tool(name="now")), tool_choice=ToolChoice(mode="required", names=("now",))),
        "claude-sonnet-4-5",
    ),
    "any-of-some-tools": (
        talk(
            tools=(WEATHER, Tool(name="now"), Tool(name="then")),
            tool_choice=ToolChoice(mode="required", names=("now", "then")),
            parallel_tool_calls=False,
        ),
        "claude-sonnet-4-5",
    ),
    "no-tool-now": (talk(tools=(WEATHER,), tool_choice=ToolChoice(mode="none")), "claude-sonnet-4-5"),
    "media": (
        talk(
            turn(
                "user",
                "Look",
                Media(kind="image", media_type="image/jpg", data=PNG, cache="5m"),
                Media(kind="image", url="https://example.com/cat.jpg"),
                Media(kind="image", file_id="file_1"),
                Media(kind="document", data="JVBERi0xLjQK", name="report.pdf"),
                Media(kind="document", url="https://example.com/a.pdf"),
                Media(kind="document", media_type="text/csv", data="YSxiCg==", name="table.csv"),
                Media(kind="document", file_id="file_2"),
            )
        ),
        "claude-sonnet-4-5",
    ),
    "settings": (
        talk(
            max_output_tokens=500,
            temperature=1.7,
            top_k=5,
            stop=("END", "\nUser:"),
            seed=7,
            user="u-123",
            stream=True,
        ),
        "claude-3-haiku-20240307",
    ),
    "thinking-budget": (
        talk(max_output_tokens=20_000, temperature=0.2, top_k=4, reasoning=Reasoning(effort="high")),
        "claude-sonnet-4-5",
    ),
    "thinking-adaptive": (talk(temperature=0.2, reasoning=Reasoning(effort="xhigh")), "claude-opus-4-6"),
    "thinking-newest": (talk(temperature=1.0, reasoning=Reasoning(budget=9000)), "claude-fable-6"),
    "thinking-off": (talk(reasoning=Reasoning(effort="none")), "claude-opus-5"),
    "thinking-handed-back": (
        talk(
            turn("user", "Weather?"),
            turn(
                "assistant",
                Thinking(text="Hm.", signature="c2ln"),
                Thinking(signature="ZW1wdHk="),
                Thinking(redacted="c2VjcmV0"),
                Thinking(text="unsigned"),
                "I look.",
                Foreign(
                    dialect="messages",
                    block=Raw(b'{"type":"server_tool_use","id":"s","name":"x","input":{}}'),
                ),
                Foreign(dialect="gemini", block=Raw(b'{"executableCode":{}}')),
                call(),
            ),
            turn("tool", result()),
            tools=(WEATHER,),
            reasoning=Reasoning(effort="low"),
        ),
        "claude-sonnet-4-5",
    ),
    "thinking-lost": (
        talk(*USED_TOOL, tools=(WEATHER,), reasoning=Reasoning(effort="low")),
        "claude-sonnet-4-5",
    ),
    "json-of-a-schema": (talk(output_format=OutputFormat(schema=CITY)), "claude-sonnet-4-5"),
    "json-by-a-tool": (
        talk(output_format=OutputFormat(schema=CITY, description="A city.")),
        "claude-sonnet-4-0",
    ),
    "json-by-a-tool-among-others": (
        talk(tools=(WEATHER,), parallel_tool_calls=False, output_format=OutputFormat(schema=CITY)),
        "claude-3-5-haiku-latest",
    ),
    "json-of-any-shape": (
        talk(turn("system", "Be brief."), turn("user", "Hi"), output_format=OutputFormat()),
        "claude-sonnet-4-5",
    ),
    "refused-before": (
        talk(turn("user", "Bad"), turn("assistant", Refusal(text="No.")), turn("user", "Good")),
        "claude-sonnet-4-5",
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_the_body_is_exactly_this(name: str) -> None:
    """Each conversation becomes the body on file, which keeps the API's rules."""
    conversation, model = GOLDENS[name]
    assert sent(conversation, model) == json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_golden_body_is_compared() -> None:
    """No file lies about that no conversation stands for."""
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*GOLDENS, "second-turn"}


def second_turn() -> tuple[Conversation, Any]:
    """The turn after a recorded answer with thinking and a tool call, and that recording."""
    case = json.loads(next(CASES.glob("*-010-*.json")).read_text())
    reader = messages_answers.Reader()
    events = [
        event
        for one in sse.events(case["response"]["body"].encode())
        if (data := sse.data_of(one))
        for event in reader.event(data)
    ]
    parts: list[Part] = [event.block for event in events if isinstance(event, Signed)]
    (began,) = [event for event in events if isinstance(event, CallBegan)]
    grown = "".join([event.text for event in events if isinstance(event, CallGrew)])
    first = case["request"]["body"]
    conversation = talk(
        turn("user", first["messages"][0]["content"][0]["text"]),
        turn("assistant", *parts, call(began.id, began.name, grown)),
        turn("tool", result(began.id)),
        tools=(Tool(name="fixed_version", schema=first["tools"][0]["input_schema"]),),
        reasoning=Reasoning(budget=1024),
    )
    return conversation, case


def test_a_recorded_answer_with_thinking_and_a_call_goes_back_as_it_came() -> None:
    """The second turn holds the first answer's blocks, signature included, then the result."""
    conversation, case = second_turn()
    body = sent(conversation, case["model"])
    assert body == json.loads((GOLDEN / "second-turn.json").read_text())
    signature = body["messages"][1]["content"][0]["signature"]
    assert json.dumps(signature) in case["response"]["body"]


REFUSED: dict[str, tuple[Conversation, str]] = {
    "n": (talk(choices=2), "n"),
    "logprobs": (talk(logprobs=True), "logprobs"),
    "top-logprobs": (talk(top_logprobs=3), "logprobs"),
    "presence": (talk(presence_penalty=0.5), "presence_penalty"),
    "frequency": (talk(frequency_penalty=-0.5), "frequency_penalty"),
    "audio-out": (talk(modalities=("text", "audio")), "modalities"),
    "unknown": (talk(unsupported=("web_search_options",)), "web_search_options"),
    "audio-in": (talk(turn("user", Media(kind="audio", data="AAAA"))), "messages[0]"),
    "blank-stop": (talk(stop=(" \n",)), "stop"),
    "bitmap": (talk(turn("user", Media(kind="image", media_type="image/bmp", data="Qk0="))), "messages[0]"),
    "not-base64": (talk(turn("user", Media(kind="image", media_type="image/png", data="%%"))), "messages[0]"),
    "cut-base64": (
        talk(turn("user", Media(kind="image", media_type="image/png", data="AAAAA"))),
        "messages[0]",
    ),
    "zip": (
        talk(turn("user", Media(kind="document", media_type="application/zip", data="AAAA"))),
        "messages[0]",
    ),
    "not-text": (
        talk(turn("user", Media(kind="document", media_type="text/plain", data="/w=="))),
        "messages[0]",
    ),
    "nothing": (talk(turn("user", ""), turn("assistant", "  ")), "messages"),
    "no-result": (talk(turn("user", "Hi"), turn("assistant", call()), turn("user", "?")), "messages[1]"),
    "result-of-nothing": (talk(turn("user", "Hi"), turn("tool", result())), "messages[1]"),
    "two-results": (talk(*USED_TOOL, turn("tool", result())), "messages[3]"),
    "late-result": (
        talk(
            turn("user", "Hi"),
            turn("assistant", call()),
            turn("user", "?"),
            turn("assistant", "!"),
            turn("tool", result()),
        ),
        "messages[1]",
    ),
    "same-ids": (talk(turn("assistant", call("a"), call("a"))), "messages[0]"),
    "arguments-no-json": (talk(turn("assistant", call(arguments="{"))), "messages[0]"),
    "arguments-no-object": (talk(turn("user", "x"), turn("assistant", call(arguments="[1]"))), "messages[1]"),
    "arguments-too-deep": (talk(turn("assistant", call(arguments='{"a":' * 100_000))), "messages[0]"),
    "picture-as-instruction": (talk(turn("system", Media(kind="image", data=PNG))), "messages[0]"),
    "picture-by-assistant": (talk(turn("assistant", Media(kind="image", data=PNG))), "messages[0]"),
    "call-by-user": (talk(turn("user", call())), "messages[0]"),
    "tool-name": (talk(tools=(Tool(name="a.b"),)), "tools[0]"),
    "tool-schema": (talk(tools=(WEATHER, Tool(name="x", schema={"type": "string"}))), "tools[1]"),
    "unknown-tool": (
        talk(tools=(WEATHER,), tool_choice=ToolChoice(mode="required", names=("x",))),
        "tool_choice",
    ),
    "no-tools": (talk(tool_choice=ToolChoice(mode="required")), "tool_choice"),
    "forced-while-thinking": (
        talk(tools=(WEATHER,), tool_choice=ToolChoice(mode="required"), reasoning=Reasoning(effort="low")),
        "tool_choice",
    ),
    "no-room-to-think": (talk(max_output_tokens=2000, reasoning=Reasoning(budget=2000)), "max_tokens"),
    "effort": (talk(reasoning=Reasoning(effort="enormous")), "reasoning_effort"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_asked_is_refused_by_name(name: str) -> None:
    """What Anthropic has no equivalent of, or refuses, is a 400 that names the member at fault."""
    conversation, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as refused:
        write(conversation)
    assert refused.value.status == 400
    assert refused.value.param == param
    assert refused.value.message.endswith(".")


def test_a_schema_by_a_tool_can_not_go_with_thinking() -> None:
    """A model without native JSON would have to be forced to a tool, which thinking forbids."""
    asked = talk(output_format=OutputFormat(schema=CITY), reasoning=Reasoning(effort="low"))
    with pytest.raises(InvalidRequest) as refused:
        write(asked, "claude-sonnet-4-0")
    assert refused.value.param == "response_format"


def test_an_object_of_free_names_is_asked_for_by_a_tool() -> None:
    """Native JSON knows closed objects only; a map is not silently made an empty object."""
    shape = {
        "type": "object",
        "properties": {"by_name": {"type": "object", "additionalProperties": {"type": "number"}}},
    }
    request = write(talk(output_format=OutputFormat(schema=shape)))
    body = json.loads(request.body)
    assert body["tools"][0]["input_schema"] == shape
    assert body["tool_choice"] == {"type": "tool", "name": request.tools.format}


def test_a_forced_tool_comes_before_the_format() -> None:
    """Where a tool must be called now there is no answer to be shaped."""
    asked = talk(
        tools=(WEATHER,), tool_choice=ToolChoice(mode="required"), output_format=OutputFormat(schema=CITY)
    )
    request = write(asked, "claude-3-5-haiku-latest")
    assert request.tools.format is None
    assert json.loads(request.body)["tool_choice"] == {"type": "any"}


def test_the_format_tool_has_a_name_of_its_own() -> None:
    """A client's tool of the same name stays the client's."""
    request = write(
        talk(tools=(Tool(name="json_answer"),), output_format=OutputFormat(schema=CITY)), "claude-sonnet-4-0"
    )
    assert request.tools.format == "json_answer_"


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [(0.3, 0.9, {"temperature": 0.3}), (1.0, 0.9, {"top_p": 0.9}), (None, 0.5, {"top_p": 0.5})],
)
def test_only_one_way_to_sample(temperature: float | None, top_p: float, expected: dict[str, float]) -> None:
    """Models that take temperature or top_p get the one that says something."""
    body = sent(talk(temperature=temperature, top_p=top_p))
    assert {name: body[name] for name in ("temperature", "top_p") if name in body} == expected


@pytest.mark.parametrize("user", ["jo@example.com", "+47 22 22 22 22", "x" * 257, ""])
def test_people_are_not_named(user: str) -> None:
    """What looks like an address or a number, or is too long, is not handed on."""
    assert "metadata" not in sent(talk(user=user))


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        ("claude-3-5-haiku-latest", "high", None, None),
        ("claude-3-7-sonnet-latest", "minimal", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-opus-4-5", "max", {"type": "enabled", "budget_tokens": 16000}, {"effort": "high"}),
        ("claude-sonnet-4-6", "minimal", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        ("claude-sonnet-4-6", "none", None, None),
        ("claude-opus-4-7", "xhigh", {"type": "adaptive", "display": "summarized"}, {"effort": "xhigh"}),
        ("claude-opus-4-7", "none", None, None),
        ("claude-sonnet-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-fable-5", "none", None, {"effort": "low"}),
        ("deepseek-chat", "low", {"type": "enabled", "budget_tokens": 2048}, None),
    ],
)
def test_effort_in_each_generation_s_own_words(
    model: str, effort: str, thinking: dict[str, Any] | None, config: dict[str, Any] | None
) -> None:
    """The same wish, said to each generation of models as it understands it."""
    body = sent(talk(reasoning=Reasoning(effort=effort)), model)
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 8192}),
        ("claude-opus-4-7", {"type": "adaptive", "display": "summarized"}),
    ],
)
def test_a_wish_to_think_without_a_measure_is_one(model: str, thinking: dict[str, Any]) -> None:
    """Who wants reasoning and does not say how much gets some."""
    body = sent(talk(reasoning=Reasoning()), model)
    assert body["thinking"] == thinking
    assert "output_config" not in body


@pytest.mark.parametrize(("model", "legal"), [("claude-opus-4-7", False), ("claude-opus-4-8", True)])
def test_some_models_think_before_a_forced_call(model: str, legal: bool) -> None:
    """Newer models take both; where that is not known to fail, the upstream decides."""
    asked = talk(tools=(WEATHER,), tool_choice=ToolChoice(mode="required"), reasoning=Reasoning(effort="low"))
    if legal:
        assert sent(asked, model)["tool_choice"] == {"type": "any"}
    else:
        with pytest.raises(InvalidRequest):
            write(asked, model)


@pytest.mark.parametrize(
    ("asked", "expected"), [(1025, 1024), (1024, None), (4096, 2048), (100_000, 2048), (1, None)]
)
def test_an_effort_leaves_room_for_the_answer(asked: int, expected: int | None) -> None:
    """The budget is less than all that may come out; without room for the least there is none."""
    body = sent(talk(max_output_tokens=asked, reasoning=Reasoning(effort="low")))
    assert body.get("thinking", {}).get("budget_tokens") == expected


def test_a_loop_that_began_with_thinking_goes_on_thinking() -> None:
    """Later steps of a tool loop have no thinking of their own; that is not a loss."""
    steps = (
        turn("user", "Weather?"),
        turn("assistant", Thinking(text="Hm.", signature="c2ln"), call("a")),
        turn("tool", result("a")),
        turn("assistant", call("b")),
        turn("tool", result("b")),
    )
    assert "thinking" in sent(talk(*steps, tools=(WEATHER,), reasoning=Reasoning(effort="low")))
    later = (*steps, turn("assistant", "Cold."), turn("user", "Thanks"))
    assert "thinking" in sent(talk(*later, tools=(WEATHER,), reasoning=Reasoning(effort="low")))


@given(st.lists(st.text(min_size=0, max_size=50), unique=True, min_size=1, max_size=8))
def test_ids_stay_apart_and_keep_their_results(ids: list[str]) -> None:
    """Whatever ids a client uses, each call has a legal one of its own, and its result the same."""
    conversation = talk(
        turn("user", "Go"),
        turn("assistant", *[call(id_, arguments=json.dumps({"at": at})) for at, id_ in enumerate(ids)]),
        turn("tool", *[result(id_, Text(text=f"r{at}")) for at, id_ in enumerate(ids)]),
    )
    body = sent(conversation)
    calls = {block["id"]: block["input"]["at"] for block in body["messages"][1]["content"]}
    results = {block["tool_use_id"]: block["content"][0]["text"] for block in body["messages"][2]["content"]}
    assert len(calls) == len(ids)
    assert {id_: f"r{at}" for id_, at in calls.items()} == results
    assert body == sent(conversation)


def test_ids_that_are_counted_anew_in_each_turn_are_told_apart() -> None:
    """A client that calls every call `call_0` is understood, and earlier turns stay as they were."""
    once = (turn("user", "Go"), turn("assistant", call("call_0")), turn("tool", result("call_0")))
    twice = (*once, turn("assistant", call("call_0")), turn("tool", result("call_0")))
    messages = sent(talk(*twice))["messages"]
    assert messages[:3] == sent(talk(*once))["messages"]
    assert messages[3]["content"][0]["id"] == messages[4]["content"][0]["tool_use_id"] == "call_0_2"


texts = st.sampled_from(["", " ", "a", "b \n", "\u00e9"]).map(lambda text: Text(text=text)) | st.builds(
    Text, text=st.just("kept"), cache=st.sampled_from(["5m", "1h"])
)
medias = st.sampled_from(
    [
        Media(kind="image", data=PNG),
        Media(kind="image", url="https://example.com/x.png"),
        Media(kind="document", media_type="text/plain", data="aGk="),
        Media(kind="audio", data="AAAA"),
    ]
)
call_ids = st.sampled_from(["a", "b|", "c d", ""])
calls = st.builds(
    ToolCall,
    id=call_ids,
    name=st.sampled_from(["weather", "apply_patch"]),
    arguments=st.sampled_from(["", "{}", '{"a":[1]}', "[]", "no"]),
    kind=st.sampled_from(["function", "custom"]),
)
results = st.builds(
    ToolResult, call_id=call_ids, parts=st.lists(texts | medias, max_size=2).map(tuple), error=st.booleans()
)
thoughts = st.builds(
    Thinking,
    text=st.sampled_from(["", "hm"]),
    signature=st.none() | st.just("c2ln"),
    redacted=st.none() | st.just("c2VjcmV0"),
)
anything = texts | medias | calls | results | thoughts | st.just(Refusal(text="no"))


def turns_of(role: Any, parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Turn]:
    return st.lists(parts, max_size=4).map(lambda found: Turn(role=role, parts=tuple(found)))


def exchange(ids: list[str]) -> list[Turn]:
    """A tool loop's step that is in order."""
    return [turn("assistant", *map(call, ids)), turn("tool", *map(result, reversed(ids)))]


steps = st.one_of(
    turns_of("system", texts).map(lambda one: [one]),
    turns_of("user", texts | medias).map(lambda one: [one]),
    turns_of("assistant", texts | thoughts).map(lambda one: [one]),
    st.lists(call_ids, unique=True, min_size=1).map(exchange),
    st.sampled_from(["user", "assistant", "tool"])
    .flatmap(lambda role: turns_of(role, anything))
    .map(lambda one: [one]),
)
conversations = st.builds(
    Conversation,
    turns=st.lists(steps, max_size=6).map(lambda found: tuple(one for step in found for one in step)),
    tools=st.sampled_from([(), (WEATHER,), (WEATHER, PATCH)]),
    tool_choice=st.none()
    | st.builds(
        ToolChoice,
        mode=st.sampled_from(["auto", "none", "required"]),
        names=st.sampled_from([(), ("weather",)]),
    ),
    parallel_tool_calls=st.none() | st.booleans(),
    max_output_tokens=st.none() | st.sampled_from([1, 1024, 1025, 5000]),
    temperature=st.none() | st.sampled_from([0.0, 1.0, 2.0]),
    top_p=st.none() | st.sampled_from([0.1, 0.99]),
    top_k=st.none() | st.just(3),
    stop=st.sampled_from([(), ("x",), ("",)]),
    output_format=st.sampled_from([None, OutputFormat(), OutputFormat(schema=CITY), OutputFormat(schema={})]),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        effort=st.none() | st.sampled_from(["none", "minimal", "high", "max"]),
        budget=st.none() | st.sampled_from([0, 1, 2000]),
    ),
)


@given(conversations, st.sampled_from(MODELS))
def test_whatever_is_asked_the_body_is_legal_or_refused(conversation: Conversation, model: str) -> None:
    """No conversation makes a body that the API's rules forbid: it is a legal one or a 400."""
    try:
        request = write(conversation, model)
    except InvalidRequest:
        return
    body = json.loads(request.body)
    check(body)
    said = [part.text for one in conversation.turns for part in one.parts if isinstance(part, Text)]
    written = json.dumps(body, ensure_ascii=False)
    assert all(msgspec.json.encode(text.rstrip()).decode()[1:-1] in written for text in said if text.strip())


@pytest.mark.parametrize("replace", [lambda one: structs.replace(one, stream=True), lambda one: one])
def test_a_stream_is_asked_for_only_where_it_is_wanted(
    replace: Callable[[Conversation], Conversation],
) -> None:
    """The flag stands in the body exactly when the client wants a stream."""
    conversation = replace(talk())
    assert ("stream" in sent(conversation)) == conversation.stream
