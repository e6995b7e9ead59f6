"""Requests to Gemini: exact bodies for many conversations, and Google's rules for all others."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from tests.dialects import gemini_published
from tests.dialects.gemini_talk import (
    ASKED,
    CONVERSATIONS,
    PATCH,
    PICTURE,
    WEATHER,
    call,
    result,
    talk,
    target,
    turn,
)
from tokligenced.dialects import gemini_answers, gemini_requests, sse
from tokligenced.dialects.conversation import (
    CallBegan,
    CallGrew,
    Conversation,
    Foreign,
    Media,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    Turn,
)
from tokligenced.errors import InvalidRequest

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "gemini"
CASES = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases" / "gemini"
# One of each generation, one that only Google knows, one that is somebody's own.
MODELS = (
    "gemini-1.5-pro",
    "gemini-2.0-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-3-pro-preview",
    "gemini-3.5-flash",
    "gemini-flash-latest",
    "tunedModels/mine",
)

ASKED_ONCE = Conversation(turns=(turn("user", "Hi"),))


def sent(conversation: Conversation, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    """The body sent, checked against Google's rules."""
    body = gemini_requests.write(conversation, target(model))
    gemini_published.check(body, model)
    return json.loads(body)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_body_is_exactly_this(name: str) -> None:
    """Each conversation becomes the body on file, which keeps Google's rules."""
    conversation, model = CONVERSATIONS[name]
    assert sent(conversation, model) == json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_golden_body_is_compared() -> None:
    """No file lies about that no conversation stands for."""
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*CONVERSATIONS, "second-turn"}


def test_recorded_parallel_calls_go_back_as_they_came() -> None:
    """The second turn holds the first answer's calls, their signature and what came of them, in order."""
    case = json.loads(next(CASES.glob("gemini-chat-001-*.json")).read_text())
    reader = gemini_answers.Reader("req_0123456789abcdef0123456789abcdef", case["model"])
    events = [
        event
        for one in sse.events(case["response"]["body"].encode())
        if (data := sse.data_of(one))
        for event in reader.event(data)
    ]
    grown = {event.index: event.text for event in events if isinstance(event, CallGrew)}
    calls = [
        call(event.id, event.name, grown[event.index], signature=event.signature)
        for event in events
        if isinstance(event, CallBegan)
    ]
    assert len(calls) > 2
    assert calls[0].signature
    told = [result(one.id, f'{{"screen": "{one.arguments.count("A")}"}}') for one in reversed(calls)]
    names = {one.name: Tool(name=one.name) for one in calls}
    conversation = talk(turn("user", "Read"), turn("assistant", *calls), *told, tools=tuple(names.values()))
    assert sent(conversation, case["model"]) == json.loads((GOLDEN / "second-turn.json").read_text())


HTTP = Media(kind="image", url="http://example.com/a.png")
HTTPS = Media(kind="image", url="https://example.com/a.png")
REFUSED: dict[str, tuple[Conversation, str, str]] = {
    "what-nobody-else-has": (talk(unsupported=("logit_bias",)), "gemini-2.5-flash", "logit_bias"),
    "six-stops": (talk(stop=tuple("abcdef")), "gemini-2.5-flash", "stop"),
    "streamed-choices": (talk(choices=2, stream=True), "gemini-2.5-flash", "n"),
    "films": (talk(modalities=("video",)), "gemini-2.5-flash", "modalities"),
    "effort": (talk(reasoning=Reasoning(effort="huge")), "gemini-2.5-flash", "reasoning_effort"),
    "plain-http": (talk(turn("user", HTTP)), "gemini-2.5-flash", "messages"),
    "https-of-old": (talk(turn("user", HTTPS)), "gemini-2.0-flash", "messages"),
    "others-files": (
        talk(turn("user", Media(kind="document", file_id="file-1"))), "gemini-2.5-flash", "messages",
    ),
    "no-media-type": (
        talk(turn("user", Media(kind="document", data="QQ=="))), "gemini-2.5-flash", "messages",
    ),
    "picture-for-the-system": (talk(turn("system", PICTURE)), "gemini-2.5-flash", "messages"),
    "unknown-call": (talk(ASKED, result("c9", "x")), "gemini-2.5-flash", "messages"),
    "arguments-no-object": (
        talk(ASKED, turn("assistant", call("c1", arguments="[1]"))), "gemini-2.5-flash", "messages",
    ),
    "arguments-no-json": (
        talk(ASKED, turn("assistant", call("c1", arguments='{"a":'))), "gemini-2.5-flash", "messages",
    ),
    "arguments-too-deep": (
        talk(ASKED, turn("assistant", call("c1", arguments='{"a":' * 5000 + "1" + "}" * 5000))),
        "gemini-2.5-flash",
        "messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_gemini_cannot_do_is_refused_by_name(name: str) -> None:
    """A member that has no equivalent, and whose absence would change the result, is a 400 that names it."""
    conversation, model, param = REFUSED[name]
    with pytest.raises(InvalidRequest) as refused:
        gemini_requests.write(conversation, target(model))
    assert refused.value.param == param
    assert refused.value.status == 400


def test_arguments_and_results_keep_every_digit() -> None:
    """Numbers that no double holds, and how they were written, reach the provider as they were."""
    arguments = '{"a": 1.50, "b": 123456789012345678901234567890}'
    conversation = talk(ASKED, turn("assistant", call("c1", arguments=arguments)), result("c1", arguments))
    assert gemini_requests.write(conversation, target("gemini-2.5-flash")).count(arguments.encode()) == 2


ids = st.sampled_from(["c1", "c2", "c3"])
parts = st.one_of(
    st.builds(Text, text=st.sampled_from(["", "a", "b"]), signature=st.none() | st.just("c2ln")),
    st.just(PICTURE),
    st.just(HTTPS),
    st.just(Thinking(text="Hm", signature="sig")),
    st.just(Refusal(text="No.")),
)
simple = st.builds(
    lambda role, said: [Turn(role=role, parts=tuple(said))],
    st.sampled_from(["user", "assistant"]),
    st.lists(parts, max_size=3),
)
steps = st.builds(
    lambda said, asked, told: [
        turn("assistant", *said, *[call(one) for one in asked]),
        *[result(one, *told) for one in sorted(asked)],
    ],
    st.lists(parts, max_size=2),
    st.lists(ids, min_size=1, unique=True),
    st.lists(st.sampled_from(["", "x", '{"a":1}']), max_size=2),
)


@given(st.lists(simple | steps, max_size=6), st.sampled_from(MODELS), st.booleans())
def test_any_conversation_keeps_googles_rules(turns: list[list[Turn]], model: str, instructed: bool) -> None:
    """Whatever is said in whatever order: what is sent is as Google publishes it, or it is refused."""
    system = [turn("system", "Be brief.")] if instructed else []
    conversation = talk(*system, *[one for some in turns for one in some], tools=(WEATHER,))
    try:
        body = gemini_requests.write(conversation, target(model))
    except InvalidRequest:
        assert any(HTTPS in one.parts for one in conversation.turns)
        return
    request = gemini_published.check(body, model)
    said = [
        part.text for one in conversation.turns[len(system) :] for part in one.parts if isinstance(part, Text)
    ]
    told = [part.text for content in request.contents for part in content.parts if part.text]
    assert [text for text in told if text not in {" ", "No."}] == [text for text in said if text]
    assert (request.system_instruction is not None) == instructed


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)


@given(values)
def test_any_json_result_arrives(value: Any) -> None:
    """A result that is a JSON object is the response; all else is told as text."""
    text = json.dumps(value)
    body = sent(talk(ASKED, turn("assistant", call("c1")), result("c1", text)))
    response = body["contents"][-1]["parts"][0]["functionResponse"]["response"]
    assert response == (value if isinstance(value, dict) else {"output": text})


def test_a_system_message_between_results_does_not_part_them() -> None:
    """All results of one step stand in one content, whatever instructions come between."""
    body = sent(
        talk(
            ASKED,
            turn("assistant", call("c1"), call("c2")),
            result("c1", "x"),
            turn("system", "Hurry."),
            result("c2", "y"),
        )
    )
    assert len(body["contents"]) == 3


def test_the_readers_customs_are_the_free_text_tools() -> None:
    """The reader is told which tools take free text, and only those."""
    assert gemini_requests.customs(talk(tools=(WEATHER, PATCH))) == {"patch"}


def test_the_rules_are_no_empty_promise() -> None:
    """The validator refuses what Google would."""
    good = sent(talk(ASKED, turn("assistant", call("c1")), result("c1", "x")))
    for spoil in (
        {"contents": good["contents"][1:]},
        {"contents": good["contents"][:2] + good["contents"][:1]},
        {"contents": good["contents"] + good["contents"][2:]},
        {"unknown": 1},
    ):
        body = msgspec.json.encode(good | spoil)
        with pytest.raises((AssertionError, msgspec.ValidationError)):
            gemini_published.check(body, "gemini-3-flash-preview")


@pytest.mark.parametrize("seed", [7, -1, 2**40 + 7])
def test_a_seed_is_one_that_google_takes(seed: int) -> None:
    """Seeds of 64 bits become ones of 32, the same for the same one; small ones stay."""
    made = sent(structs.replace(ASKED_ONCE, seed=seed))["generationConfig"]["seed"]
    assert made == sent(structs.replace(ASKED_ONCE, seed=seed))["generationConfig"]["seed"]
    assert 0 <= made < 2**31
    assert made == seed or not 0 <= seed < 2**31


def test_a_call_can_not_be_forced_without_tools() -> None:
    """As at OpenAI, the field is named."""
    with pytest.raises(InvalidRequest) as refused:
        sent(structs.replace(ASKED_ONCE, tool_choice=ToolChoice(mode="required")))
    assert refused.value.param == "tool_choice"


def test_a_block_that_only_its_own_provider_knows_is_refused_from_a_user() -> None:
    """What a user shows must not go missing; what a model's own servers did may."""
    block = Foreign(dialect="messages", block=Raw(b'{"type":"container_upload","file_id":"f"}'))
    with pytest.raises(InvalidRequest, match="google"):
        sent(Conversation(turns=(turn("user", "Read it", block),)))
    said = sent(Conversation(turns=(turn("user", "Hi"), turn("assistant", "Done", block))))
    assert said["contents"][1]["parts"] == [{"text": "Done"}]
