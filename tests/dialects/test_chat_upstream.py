"""Chat as the upstream's dialect for clients of other ones: requests written, answers read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tokligenced.dialects import chat, chat_requests, sse
from tokligenced.dialects.chat_bodies import Traits, custom_names, write
from tokligenced.dialects.chat_events import Reader
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.chat_writer import Writer
from tokligenced.dialects.conversation import (
    Began,
    CallBegan,
    CallGrew,
    Conversation,
    Counted,
    Drew,
    Ended,
    Event,
    Foreign,
    Media,
    OutputFormat,
    Reasoning,
    Refusal,
    Refused,
    Said,
    Target,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tokligenced.domain import Usage
from tokligenced.errors import InvalidRequest, UpstreamFailed

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"
PLAIN = Traits()
TARGET = Target(provider="p", model="gpt", max_output_tokens=100)
USER = Turn(role="user", parts=(Text(text="hi"),))
CALLS = Turn(
    role="assistant",
    parts=(
        Thinking(text="hm"),
        Text(text="ok"),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments=""),
    ),
)
PICTURE = Media(kind="image", media_type="image/png", data="QUJD")


def result(call_id: str, *parts: Text | Media) -> Turn:
    return Turn(role="tool", parts=(ToolResult(call_id=call_id, parts=parts),))


def sent(*turns: Turn, traits: Traits = PLAIN, **members: Any) -> dict[str, Any]:
    """The body for a conversation, which the chat dialect itself can read."""
    body = write(Conversation(turns=turns or (USER,), **members), TARGET, traits)
    chat_requests.read(chat.parse(body))
    found: dict[str, Any] = json.loads(body)
    return found


def reader(*custom: str) -> Reader:
    return Reader(Mender(call_id="req_7", created=5, model="gpt"), frozenset(custom))


def test_a_conversation_becomes_messages() -> None:
    """Systems, users, calls and results stand in the order and the form that chat has for them."""
    body = sent(
        Turn(role="developer", parts=(Text(text="be brief"),)),
        USER,
        CALLS,
        result("a", Text(text="one")),
        result("b", Text(text="two")),
    )
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "ok",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "one"},
        {"role": "tool", "tool_call_id": "b", "content": "two"},
    ]


def test_pictures_in_results_come_after_all_results() -> None:
    """A picture that a tool gave is shown by the user once every call has its result."""
    messages = sent(USER, CALLS, result("a", Text(text="see"), PICTURE), result("b", Text(text="two")))[
        "messages"
    ]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[-1]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    ]


def test_results_and_words_of_one_turn_are_taken_apart() -> None:
    """Where another dialect has results and text in one turn, the results come first."""
    turn = Turn(
        role="user",
        parts=(
            ToolResult(call_id="a", parts=(Text(text="one"),)),
            ToolResult(call_id="b", parts=()),
            Text(text="go on"),
        ),
    )
    assert [message["role"] for message in sent(USER, CALLS, turn)["messages"]][2:] == [
        "tool",
        "tool",
        "user",
    ]


def test_a_result_without_its_call_is_refused() -> None:
    """An orphan is 400 naming where it stands, before any provider is asked."""
    with pytest.raises(InvalidRequest) as refused:
        sent(USER, CALLS, result("c", Text(text="x")))
    assert refused.value.param == "messages[2]"


def test_long_ids_are_made_short_alike() -> None:
    """OpenAI takes ids up to 40 characters; a call and its result keep the same one."""
    long = "toolu_" + "x" * 60
    call = Turn(role="assistant", parts=(ToolCall(id=long, name="f", arguments="{}"),))
    messages = sent(USER, call, result(long, Text(text="x")))["messages"]
    (made,) = (each["id"] for each in messages[1]["tool_calls"])
    assert made == messages[2]["tool_call_id"]
    assert len(made) <= 40


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        (PICTURE, {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}),
        (
            Media(kind="image", url="http://x/y", detail="low"),
            {"type": "image_url", "image_url": {"url": "http://x/y", "detail": "low"}},
        ),
        (
            Media(kind="audio", media_type="audio/wav", data="QUJD"),
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        ),
        (
            Media(kind="document", media_type="application/pdf", data="QUJD", name="a.pdf"),
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"}},
        ),
        (Media(kind="document", file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}),
    ],
)
def test_media_stand_as_chat_has_them(media: Media, expected: object) -> None:
    """Pictures, sounds and files become content parts."""
    (message,) = sent(Turn(role="user", parts=(Text(text="see"), media)))["messages"]
    assert message["content"] == [{"type": "text", "text": "see"}, expected]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        (
            {"stop": ("a",), "seed": 3, "temperature": 0.0, "top_p": 0.5},
            {"stop": ["a"], "seed": 3, "temperature": 0.0, "top_p": 0.5},
        ),
        ({"output_format": OutputFormat()}, {"response_format": {"type": "json_object"}}),
        (
            {"output_format": OutputFormat(schema={"type": "object"}, name="n", strict=True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"reasoning": Reasoning(effort="low")}, {"reasoning_effort": "low"}),
        ({"reasoning": Reasoning(budget=2_000)}, {"reasoning_effort": "low"}),
        ({"reasoning": Reasoning(budget=40_000)}, {"reasoning_effort": "high"}),
        ({"user": "u" * 65}, {}),
        ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
        (
            {
                "tools": (Tool(name="f", schema={"type": "object"}),),
                "tool_choice": ToolChoice(mode="required"),
            },
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
                "tool_choice": "required",
            },
        ),
        ({"tool_choice": ToolChoice(mode="auto")}, {}),
    ],
)
def test_what_is_asked_for(members: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each wish has its member, and nothing else is sent."""
    body = sent(**members)
    assert {name: body[name] for name in body if name not in ("model", "messages")} == expected


def test_free_text_is_wrapped_where_it_must_be() -> None:
    """A custom tool is one where the upstream has such, else a function with one string."""
    tool = Tool(name="patch", description="d", kind="custom", format={"type": "grammar", "definition": "x"})
    call = Turn(
        role="assistant", parts=(ToolCall(id="a", name="patch", arguments='say "hi"', kind="custom"),)
    )
    turns = (USER, call, result("a", Text(text="ok")))
    choice = ToolChoice(mode="required", names=("patch",))
    native = sent(*turns, traits=Traits(custom=True), tools=(tool,), tool_choice=choice)
    assert native["tools"] == [
        {"type": "custom", "custom": {"name": "patch", "description": "d", "format": tool.format}}
    ]
    assert native["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}
    assert native["messages"][1]["tool_calls"][0]["custom"]["input"] == 'say "hi"'
    plain = sent(*turns, tools=(tool,), tool_choice=choice)
    assert plain["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert plain["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    assert json.loads(plain["messages"][1]["tool_calls"][0]["function"]["arguments"]) == {"input": 'say "hi"'}
    assert custom_names((tool,), Traits()) == {"patch"}
    assert custom_names((tool,), Traits(custom=True)) == frozenset()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"unsupported": ("logit_bias",)}, "logit_bias"),
        ({"stop": ("a", "b", "c", "d", "e")}, "stop"),
        ({"turns": (Turn(role="user", parts=(Media(kind="video", url="http://x"),)),)}, "messages"),
    ],
)
def test_what_chat_has_not_is_refused(members: dict[str, Any], param: str) -> None:
    """What can't be said is 400 naming field and provider."""
    with pytest.raises(InvalidRequest) as refused:
        write(Conversation(**{"turns": (USER,), **members}), TARGET, Traits())
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    assert "Provider p" in refused.value.message


def test_refusals_come_back() -> None:
    """What a model refused to say is told again as a refusal."""
    messages = sent(USER, Turn(role="assistant", parts=(Refusal(text="no"),)), USER)["messages"]
    assert messages[1] == {"role": "assistant", "content": None, "refusal": "no"}


def events_of(body: bytes, *, stream: bool, reading: Reader | None = None) -> list[Event]:
    reading = reading or reader()
    if not stream:
        return reading.whole(body)
    found: list[Event] = []
    for event in sse.events(body):
        if data := sse.data_of(event):
            found += reading.event(data)
    return found + reading.end()


def recorded() -> Iterator[Any]:
    for file in sorted(CORPUS.glob("*/*-chat-*.json")):
        case = json.loads(file.read_bytes())
        path = (case["request"] or {}).get("path") or ""
        body = case["response"]["body"]
        if path.endswith("/chat/completions") and case["response"]["status"] == 200 and '"error"' not in body:
            yield pytest.param(body.encode(), case["response"]["sse"], id=case["id"])


@pytest.mark.parametrize(("body", "stream"), [*recorded()])
def test_a_recorded_answer_survives_the_hub(body: bytes, stream: bool) -> None:
    """Read into the hub and written again, a recorded answer says the same, counts and ends the same."""
    if stream and not body.endswith(b"\n\n"):
        body += b"\n\n"
    events = events_of(body, stream=stream)
    call = chat.parse(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    again = Writer(call, "m").whole(events)
    second = events_of(again, stream=False)
    assert shortened(second) == shortened(events)


def shortened(events: list[Event]) -> dict[Any, Any]:
    """What the events come to, however text and arguments were cut."""
    found: dict[Any, Any] = {}
    for event in events:
        match event:
            case Said() | Thought() | Refused():
                key = (type(event), event.choice)
                found[key] = found.get(key, "") + event.text
            case CallGrew():
                found[event.choice, event.index] = found.get((event.choice, event.index), "") + event.text
            case CallBegan():
                found[CallBegan, event.choice, event.index] = event
            case Ended():
                found[Ended, event.choice] = event.finish
            case Drew():
                found.setdefault((Drew, event.choice), []).append(event.media)
            case _:
                found[type(event)] = event
    return found


HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({**HEAD, "choices": [choice]}).encode() + b"\n\n"


@given(text=st.text(st.characters(exclude_categories=["Cs"])), data=st.data())
def test_wrapped_text_comes_out_as_it_was(text: str, data: st.DataObject) -> None:
    """Free text that came as a function's argument, in any pieces, is the custom tool's text again."""
    arguments = json.dumps({"input": text}, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(arguments)))
    stream = (
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "a",
                        "type": "function",
                        "function": {"name": "patch", "arguments": ""},
                    }
                ]
            }
        )
        + chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[:cut]}}]})
        + chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments[cut:]}}]})
        + chunk({}, "tool_calls")
        + b"data: [DONE]\n\n"
    )
    events = events_of(stream, stream=True, reading=reader("patch"))
    assert events == [
        Began(id="c", model="m"),
        CallBegan(choice=0, index=0, id="a", name="patch", kind="custom"),
        CallGrew(0, 0, text),
        Ended(choice=0, finish="tool_calls"),
    ]


def test_usage_is_counted_in_parts() -> None:
    """The usage comes out in the hub's disjoint parts."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    tail = b"data: " + json.dumps({**HEAD, "choices": [], "usage": usage}).encode() + b"\n\n"
    events = events_of(chunk({"content": "a"}, "stop") + tail, stream=True)
    assert events[-1] == Counted(Usage(input=6, cached_input=4, output=5))


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        chunk({"content": "a"}),
        b"data: [DONE]\n\n",
        b"data: 7\n\n",
        b"data: {\n\n",
        b'data: {"error":{"message":"x"}}\n\n',
    ],
)
def test_a_broken_stream_is_never_whole(stream: bytes) -> None:
    """A stream that ends early, errs or is none raises, at the latest at its end."""
    with pytest.raises(UpstreamFailed):
        events_of(stream, stream=True)


@pytest.mark.parametrize("body", [b"", b"7", b'{"choices":[]}', b'{"error":{"message":"x"}}', b"[" * 100_000])
def test_a_broken_body_is_no_answer(body: bytes) -> None:
    """A body that is no answer raises, whatever it is."""
    with pytest.raises(UpstreamFailed):
        events_of(body, stream=False)


def test_only_the_tools_that_are_allowed_are_offered() -> None:
    """Where some of several tools may be called, others are not there to be called."""
    tools = tuple(Tool(name=name) for name in ("f", "g", "h"))
    for mode in ("auto", "required"):
        body = sent(USER, tools=tools, tool_choice=ToolChoice(mode=mode, names=("f", "h")))
        assert [tool["function"]["name"] for tool in body["tools"]] == ["f", "h"]
        assert body["tool_choice"] == mode
    named = sent(USER, tools=tools, tool_choice=ToolChoice(mode="required", names=("f",)))
    assert len(named["tools"]) == 3


def test_the_most_effort_has_openais_own_word() -> None:
    """`max` is a word of Anthropic's clients alone."""
    assert sent(USER, reasoning=Reasoning(effort="max"))["reasoning_effort"] == "xhigh"


def test_a_block_that_only_its_own_provider_knows_is_refused_from_a_user() -> None:
    """What a user shows must not go missing; what a model's own servers did may."""
    block = Foreign(dialect="messages", block=Raw(b'{"type":"container_upload","file_id":"f"}'))
    with pytest.raises(InvalidRequest) as refused:
        sent(Turn(role="user", parts=(Text(text="read it"), block)))
    assert refused.value.param == "messages[0]"
    past = Turn(role="assistant", parts=(Text(text="done"), block))
    assert sent(USER, past)["messages"][1] == {"role": "assistant", "content": "done"}
