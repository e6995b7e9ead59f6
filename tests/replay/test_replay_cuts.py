"""Recorded answers through an exchange, cut: where the network cuts an answer must make no difference."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from tests.replay import folding, messages
from tests.replay.recordings import Recording, good
from tests.replay.stage import question
from tokligenced.config import ProviderSettings
from tokligenced.dialects import chat
from tokligenced.domain import Deployment, Model
from tokligenced.errors import UpstreamFailed
from tokligenced.providers import registry
from tokligenced.providers.base import Exchange

# So many bytes are fed for each recording: small ones are cut at every place, large ones at some.
_BYTES_FED = 1_500_000
_FEWEST = 24

ANSWERS = [pytest.param(each, id=each.id) for each in good()]
STREAMS = [pytest.param(each, id=each.id) for each in good() if each.streamed]


def attempts(recording: Recording) -> Iterable[Exchange]:
    """Fresh exchanges for the call that the recording answers."""
    call = chat.parse(msgspec.json.encode(question(recording)), call_id="req_1", at=1_700_000_000_000)
    provider = registry.build(
        ProviderSettings(name="p", type=recording.type, base_url="http://localhost", api_version="v")  # type: ignore[arg-type]
    )
    assert provider is not None
    deployment = Deployment(provider="p", model=recording.model or "model")
    model = Model(
        id="m",
        name="m",
        context_window=1_000_000,
        max_output_tokens=32_000,
        deployments=(deployment,),
    )
    while True:
        yield provider.exchange(call, model, deployment)


def outcome(exchange: Exchange, pieces: Iterable[bytes]) -> tuple[Any, ...]:
    """All that an exchange gives: the client's bytes, the usage and how much was delivered."""
    out = [exchange.feed(piece) for piece in pieces]
    out.append(exchange.finish())
    return b"".join(out), exchange.usage, exchange.delivered, exchange.told_at


def places(size: int) -> range:
    """Where to cut so many bytes, evenly spread."""
    return range(1, size, max(1, size // max(_FEWEST, _BYTES_FED // size)))


@pytest.mark.parametrize("recording", ANSWERS)
def test_an_answer_may_come_in_any_two_pieces(recording: Recording) -> None:
    """Within a line, a name or a character: output, usage and delivered size are those of one piece."""
    body = recording.body
    exchanges = iter(attempts(recording))
    uncut = outcome(next(exchanges), [body])
    for place in places(len(body)):
        assert outcome(next(exchanges), [body[:place], body[place:]])[:3] == uncut[:3], place


@pytest.mark.parametrize("recording", STREAMS)
def test_a_stream_may_come_byte_by_byte(recording: Recording) -> None:
    """The finest cut of all gives the same too."""
    body = recording.body[:]
    exchanges = iter(attempts(recording))
    uncut = outcome(next(exchanges), [body])
    assert outcome(next(exchanges), [body[at : at + 1] for at in range(len(body))])[:3] == uncut[:3]


@pytest.mark.parametrize("recording", ANSWERS)
def test_half_an_answer_is_never_a_whole_one(recording: Recording) -> None:
    """An answer that ends early fails, and in no other way, unless all that was said had come."""
    body = recording.body
    exchanges = iter(attempts(recording))
    complete = said(outcome(next(exchanges), [body])[0], recording)
    for place in places(len(body)):
        try:
            got = outcome(next(exchanges), [body[:place]])[0]
        except UpstreamFailed:
            continue
        assert said(got, recording) == complete, place


def said(body: bytes, recording: Recording) -> tuple[messages.Choice, ...]:
    """What the client understood of what it got."""
    answered = msgspec.structs.replace(recording.response, body=body.decode(), sse=recording.streamed)
    got = msgspec.structs.replace(recording, response=answered, tags=[])
    answer = folding.chat(got.data) if recording.streamed else got.data[0]
    return messages.of_chat(answer).choices
