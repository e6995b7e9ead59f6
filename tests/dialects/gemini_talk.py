"""Conversations for Gemini, one for each thing that a request can hold."""

from typing import Any

from msgspec import Raw, structs

from tokligenced.dialects.conversation import (
    Conversation,
    Foreign,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Target,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"const": "C"},
        "near": {"$ref": "#/$defs/near", "title": "x"},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"near": {"type": ["number", "null"], "exclusiveMinimum": 0}},
}
WEATHER = Tool(name="weather", description="Tells the weather.", schema=CITY)
CLOCK = Tool(name="clock", schema={"type": "object", "properties": {}, "additionalProperties": False})
PATCH = Tool(
    name="patch",
    description="Edits files.",
    kind="custom",
    format={"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
)
PICTURE = Media(kind="image", media_type="image/png", data=PNG)
SOUND = Media(kind="audio", media_type="audio/wav", data="UklGRg==")
PDF = Media(kind="document", media_type="application/pdf", data="JVBERi0=", name="a.pdf")


def target(model: str) -> Target:
    return Target(provider="google", model=model, max_output_tokens=32_000)


def turn(role: Role, *parts: Part | str) -> Turn:
    return Turn(role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def call(id: str, name: str = "weather", arguments: str = '{"city":"Oslo"}', **more: Any) -> ToolCall:  # noqa: A002
    return ToolCall(id=id, name=name, arguments=arguments, **more)


def result(id: str, *parts: Text | Media | str, error: bool = False) -> Turn:  # noqa: A002
    told = tuple(Text(text=part) if isinstance(part, str) else part for part in parts)
    return turn("tool", ToolResult(call_id=id, parts=told, error=error))


def talk(*turns: Turn, **more: Any) -> Conversation:
    return Conversation(turns=turns or (turn("user", "Hi"),), **more)


ASKED = turn("user", "Weather?")
# With the model that each goes to.
CONVERSATIONS: dict[str, tuple[Conversation, str]] = {
    "plain": (talk(), "gemini-2.5-flash"),
    "instructions": (
        talk(
            turn("system", "Be brief."),
            turn("user", "Hi"),
            turn("assistant", "Hello"),
            turn("developer", "Be kind."),
            turn("user", "How ", "are you?"),
        ),
        "gemini-2.5-flash",
    ),
    "instructions-alone": (talk(turn("system", "Say hello.")), "gemini-2.5-flash"),
    "greeting-first": (talk(turn("assistant", "Welcome!"), turn("user", "Hi")), "gemini-2.5-flash"),
    "merged-turns": (
        talk(
            turn("user", "One", ""),
            turn("user", "two"),
            turn("assistant", Thinking(text="Hm", signature="sig")),
            turn("user", "three"),
            turn("assistant", Refusal(text="No."), "Or yes."),
            turn("assistant", "Yes."),
            turn("user", "four"),
        ),
        "gemini-2.5-flash",
    ),
    "all-settings": (
        talk(
            max_output_tokens=100,
            temperature=0.0,
            top_p=0.5,
            top_k=7,
            presence_penalty=0.25,
            frequency_penalty=-0.5,
            stop=("a", "b"),
            seed=0,
            choices=3,
            logprobs=True,
            top_logprobs=2,
            user="somebody",
        ),
        "gemini-2.0-flash",
    ),
    "tools": (
        talk(ASKED, tools=(WEATHER, CLOCK), tool_choice=ToolChoice(mode="auto")),
        "gemini-2.5-flash",
    ),
    "tools-of-old": (talk(ASKED, tools=(WEATHER, CLOCK)), "gemini-2.0-flash"),
    "tools-forbidden": (talk(ASKED, tools=(WEATHER,), tool_choice=ToolChoice(mode="none")), "gemini-2.5-pro"),
    "tools-required": (
        talk(ASKED, tools=(WEATHER, CLOCK), tool_choice=ToolChoice(mode="required", names=("clock",))),
        "gemini-2.5-pro",
    ),
    "tools-to-choose-from": (
        talk(ASKED, tools=(WEATHER, CLOCK), tool_choice=ToolChoice(names=("clock", "weather"))),
        "gemini-2.5-pro",
    ),
    "tools-strict": (talk(ASKED, tools=(structs.replace(WEATHER, strict=True),)), "gemini-2.5-pro"),
    "free-text-tool": (
        talk(
            ASKED,
            turn("assistant", call("c1", "patch", "*** Begin", kind="custom")),
            result("c1", "Done"),
            tools=(PATCH, structs.replace(PATCH, name="shell", description=None, format=None)),
        ),
        "gemini-2.5-flash",
    ),
    "parallel-calls": (
        talk(
            ASKED,
            turn("assistant", "I look.", call("c1", signature="c2ln"), call("c2", "clock", " ")),
            result("c2", '{"hour": 1.50}'),
            result("c1", "rain", " and wind"),
            turn("user", "And now?"),
            turn("assistant", call("c3")),
            result("c3", "No such city", error=True),
            tools=(WEATHER, CLOCK),
        ),
        "gemini-2.5-flash",
    ),
    "unsigned-steps": (
        talk(
            ASKED,
            turn("assistant", call("c1"), call("c2")),
            result("c1", "1"),
            result("c2", '{"a": [1]}', error=True),
            turn("assistant", call("c3", signature="c2ln")),
            result("c3", ""),
            turn("assistant", Text(text="Rain.", signature="dGV4dA==")),
            turn("user", "Thanks"),
        ),
        "gemini-3-flash-preview",
    ),
    "pictures-in-results": (
        talk(
            ASKED,
            turn("assistant", call("c1"), call("c2")),
            result("c1", PICTURE),
            result("c2", "See", PDF, SOUND),
            turn("user", "What is it?"),
        ),
        "gemini-3-flash-preview",
    ),
    "pictures-beside-results": (
        talk(
            ASKED,
            turn("assistant", call("c1")),
            result("c1", "Here", PICTURE, Media(kind="document", url="gs://bucket/a.pdf")),
            turn("user", "What is it?"),
        ),
        "gemini-2.5-flash",
    ),
    "media": (
        talk(
            turn(
                "user",
                PICTURE,
                SOUND,
                PDF,
                Media(kind="image", url="https://example.com/a/b.jpg?size=2"),
                Media(kind="video", url="https://www.youtube.com/watch?v=x"),
                Media(kind="document", file_id="files/abc", media_type="text/plain"),
                Media(kind="audio", url="https://generativelanguage.googleapis.com/v1beta/files/x"),
            )
        ),
        "gemini-2.5-flash",
    ),
    "pictures-drawn-before": (
        talk(
            turn("user", "Draw"),
            turn("assistant", "Here: ", PICTURE),
            turn("user", "Larger"),
            modalities=("text", "image"),
        ),
        "gemini-3-pro-image-preview",
    ),
    "speech": (talk(modalities=("text", "audio")), "gemini-2.5-flash-preview-tts"),
    "server-side-code": (
        talk(
            ASKED,
            turn(
                "assistant",
                Foreign(dialect="gemini", block=Raw(b'{"executableCode":{"language":"PYTHON","code":"1"}}')),
                Foreign(dialect="messages", block=Raw(b'{"type":"server_tool_use"}')),
                "One.",
            ),
            turn("user", "And?"),
        ),
        "gemini-2.5-pro",
    ),
    "json-of-any-shape": (talk(output_format=OutputFormat()), "gemini-2.0-flash"),
    "json-of-a-schema": (talk(output_format=OutputFormat(schema=CITY)), "gemini-2.5-flash"),
    "json-of-a-schema-of-old": (talk(output_format=OutputFormat(schema=CITY)), "gemini-2.0-flash"),
    "thinking-by-budget": (talk(reasoning=Reasoning(effort="medium")), "gemini-2.5-pro"),
    "thinking-by-level": (talk(reasoning=Reasoning(budget=500)), "gemini-3.5-flash"),
}
