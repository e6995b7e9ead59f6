"""Long conversations and long answers: the cost of a piece does not grow with what came before it.

Each of these took many seconds where it was looked for again, or copied again, for every piece.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tokligenced.dialects import chat, chat_requests, chat_writer, gemini_requests, messages_writer
from tokligenced.dialects.chat_events import Reader
from tokligenced.dialects.chat_extensions import Position, in_their_places
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.conversation import (
    CallBegan,
    CallGrew,
    Conversation,
    Ended,
    Event,
    Logged,
    Sealed,
    Target,
    Text,
    Thinking,
)
from tokligenced.dialects.messages_requests import Traits
from tokligenced.dialects.messages_requests import write as write_messages

TARGET = Target(provider="p", model="some-model", max_output_tokens=1000)
MOST_SECONDS = 2.0
"""Of the processor's time; they take a tenth of it."""


def conversation(messages: list[dict[str, Any]]) -> Conversation:
    return chat_requests.read(chat.parse(json.dumps({"model": "m", "messages": messages}).encode()))


def many_users() -> None:
    gemini_requests.write(conversation([{"role": "user", "content": "Hi"}] * 20_000), TARGET)


def one_id_for_all_calls() -> None:
    called = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    step = [
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_0", "content": "r"},
    ]
    write_messages(conversation(step * 10_000), TARGET, Traits())


def signatures_after_a_long_call() -> None:
    events: list[Event] = [
        CallBegan(choice=0, index=0, id="c", name="f"),
        CallGrew(0, 0, json.dumps({"a": "x" * 2_500_000})),
        *[Sealed(0, "s")] * 10_000,
        Ended(choice=0, finish="stop"),
    ]
    messages_writer.Writer(chat.parse(b'{"model":"m","messages":[{}]}'), "m").whole(events)


def calls(index: bool) -> None:
    reader = Reader(Mender(call_id="req_1", created=1, model="m"))
    for number in range(10_000):
        piece: dict[str, Any] = {"id": f"c{number}", "type": "function"}
        piece |= {"function": {"name": "f", "arguments": ""}} | ({"index": number} if index else {})
        choice = {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": "tool_calls"}
        shared = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        reader.event(json.dumps({**shared, "choices": [choice]}).encode())


def log_probabilities() -> None:
    writer = chat_writer.Writer(chat.parse(b'{"model":"m","messages":[{}]}'), "m")
    writer.whole([*[Logged(0, [{"token": "a"}])] * 150_000, Ended(choice=0, finish="stop")])


def blocks_within_a_long_text() -> None:
    said = [Text(text="x" * 8_000_000)]
    blocks = [(Position(text=100 * at, blocks=at), Thinking(text="t")) for at in range(10_000)]
    assert len(in_their_places(blocks, said, [])) == 20_000


@pytest.mark.parametrize(
    "work",
    [
        many_users,
        one_id_for_all_calls,
        signatures_after_a_long_call,
        lambda: calls(index=True),
        lambda: calls(index=False),
        log_probabilities,
        blocks_within_a_long_text,
    ],
    ids=["users", "ids", "signatures", "calls", "unnumbered-calls", "logprobs", "blocks"],
)
def test_the_cost_of_a_piece_stays_the_same(work: Callable[[], None]) -> None:
    """Tens of thousands of pieces are done within a moment."""
    started = time.process_time()
    work()
    assert time.process_time() - started < MOST_SECONDS
