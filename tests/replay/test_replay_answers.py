"""Recorded answers through the whole gateway, as the official SDK understands them."""

import json

import pytest
from msgspec.structs import replace

from tests.replay import folding, messages, unfolding
from tests.replay.messages import Message
from tests.replay.recordings import Answered, Recording, good
from tests.replay.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERS = [pytest.param(each, id=each.id) for each in good()]


def expected(recording: Recording) -> Message:
    message: Message = messages.READERS[recording.wire](folding.whole(recording))
    return message


def comparable(message: Message, like: Message) -> Message:
    """The message without the ids of calls that have none in `like`, where the gateway made them."""
    choices = [
        replace(
            choice,
            calls=tuple(
                replace(call, id=call.id if known is None or known.id else None)
                for call, known in zip(
                    choice.calls, [*wanted.calls, *[None] * len(choice.calls)], strict=False
                )
            ),
        )
        for choice, wanted in zip(message.choices, like.choices, strict=True)
    ]
    return Message(tuple(choices), message.usage)


def plain(message: Message) -> Message:
    """The message without what a client gets beyond OpenAI's members."""
    return Message(tuple(replace(choice, more={}) for choice in message.choices), message.usage)


@pytest.mark.parametrize("recording", ANSWERS)
async def test_the_client_gets_what_the_provider_said(stage: Stage, recording: Recording) -> None:
    """Text, tool calls with ids and arguments, reasoning, finish reason and usage in every part arrive."""
    _, answer = await stage.ask(recording)
    wanted = expected(recording)
    got = messages.of_chat(answer)
    assert plain(comparable(got, wanted)) == plain(comparable(wanted, wanted))
    for choice in got.choices:
        ids = [call.id for call in choice.calls]
        assert all(ids)
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("recording", ANSWERS)
async def test_the_books_have_every_part_of_the_usage(stage: Stage, recording: Recording) -> None:
    """The usage row of a call equals what its provider counted, part by part."""
    call_id, _ = await stage.ask(recording)
    row = await stage.booked(call_id)
    wanted = (
        messages.booked_chat(folding.whole(recording))
        if recording.wire == "openai"
        else expected(recording).usage
    )
    assert (row["status"], row["error"], row["stream"]) == (200, None, recording.streamed)
    assert row["estimated"] == (wanted is None)
    if wanted is not None:
        assert messages.chat_usage(row["usage"]) == wanted
        assert row["usage"]["total_tokens"] == wanted.prompt + wanted.completion


def other_way(recording: Recording) -> Recording:
    """The same answer as its provider would give it when asked for the other of stream and whole."""
    if recording.streamed:
        body = json.dumps(folding.whole(recording))
    else:
        body = unfolding.stream(recording).decode()
    answered = Answered(200, body, not recording.streamed)
    return replace(recording, response=answered, tags=[])


@pytest.mark.parametrize("recording", ANSWERS)
async def test_streamed_and_whole_are_the_same(stage: Stage, recording: Recording) -> None:
    """The provider's answer gives the client the same message and usage whichever way it is asked for."""
    _, one = await stage.ask(recording)
    _, other = await stage.ask(other_way(recording))
    given = expected(recording)
    assert comparable(messages.of_chat(other), given) == comparable(messages.of_chat(one), given)
