"""Recorded answers through an exchange, cut and damaged: neither is ever taken for what it is not."""

from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import pytest

from tests.replay import folding, messages
from tests.replay.recordings import Recording, as_events, good
from tests.replay.stage import question
from tokligenced.config import ProviderSettings
from tokligenced.dialects import chat
from tokligenced.domain import Deployment, Model
from tokligenced.errors import UpstreamFailed
from tokligenced.providers import registry
from tokligenced.providers.base import Exchange

# So many bytes are fed for each recording: small ones are cut at every place, large ones at some.
_BYTES_FED = 800_000
_FEWEST = 24
_DAMAGES = 60

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
        assert outcome(next(exchanges), [body[:place], body[place:]]) == uncut, place


@pytest.mark.parametrize("recording", STREAMS)
def test_a_stream_may_come_byte_by_byte(recording: Recording) -> None:
    """The finest cut of all gives the same too."""
    body = recording.body[:]
    exchanges = iter(attempts(recording))
    uncut = outcome(next(exchanges), [body])
    assert outcome(next(exchanges), [body[at : at + 1] for at in range(len(body))]) == uncut


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


# What may stand in the place of a value, or of nothing.
_ODD = [None, True, -1, 1e300, 10**30, "", "x", [], {}, [None], [[]], {"type": "x"}]


@pytest.mark.parametrize("recording", ANSWERS)
def test_a_damaged_answer_fails_in_one_way_only(recording: Recording) -> None:
    """With any value or byte replaced it is an answer still or `UpstreamFailed`, and never anything else."""
    exchanges = iter(attempts(recording))
    for seed in range(_DAMAGES):
        chance = Random(f"{recording.id} {seed}")
        damaged = other_value(recording, chance) if seed % 2 else other_bytes(recording.body, chance)
        with suppress(UpstreamFailed):
            outcome(next(exchanges), [damaged])


def other_bytes(body: bytes, chance: Random) -> bytes:
    """The body with a few bytes of it gone, doubled or replaced."""
    start = chance.randrange(len(body))
    end = start + chance.randrange(12)
    middle = chance.choice([b"", body[start:end] * 2, chance.randbytes(end - start)])
    return body[:start] + middle + body[end:]


def other_value(recording: Recording, chance: Random) -> bytes:
    """The body with an odd value in the place of one of its values."""
    data = deepcopy(recording.data)
    place: Any = chance.choice(data)
    while True:
        name = chance.choice([*place] if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[name], dict | list) or not place[name] or chance.random() < 0.3:
            break
        place = place[name]
    place[name] = chance.choice(_ODD)
    return as_events(data) if recording.streamed else msgspec.json.encode(data[0])


def said(body: bytes, recording: Recording) -> tuple[messages.Choice, ...]:
    """What the client understood of what it got."""
    answered = msgspec.structs.replace(recording.response, body=body.decode(), sse=recording.streamed)
    got = msgspec.structs.replace(recording, response=answered, tags=[])
    answer = folding.chat(got.data) if recording.streamed else got.data[0]
    return messages.of_chat(answer).choices
