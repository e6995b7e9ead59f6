"""What an exchange costs by itself: `python -m tests.bench.exchange_load` prints one `Costs` as JSON.

No sockets and no loop: prepared pieces of an upstream's answer, or a conversation, go through an exchange.
The cost of a piece is what it adds, so that what an exchange costs once is left out.
"""

import json
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import msgspec

from tests.bench import wire
from tokligenced.config import ProviderSettings
from tokligenced.dialects import chat
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers import registry
from tokligenced.providers.base import Exchange

SIZES = (10, 1_000, 10_000)
TRANSLATED: tuple[wire.Dialect, ...] = ("anthropic", "gemini")

_TYPES = {"chat": "openai", "anthropic": "anthropic", "gemini": "gemini"}
# So many pieces a measurement, and the best of so many measurements: others use the machine too.
_PIECES = 10_000
_TRIES = 5


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of CPU a piece, by upstream dialect and by how many pieces there were.

    `text` is chunks of text, `arguments` pieces of one tool call's, `turns` the turns of a conversation.
    """

    text: dict[str, dict[int, float]]
    arguments: dict[str, dict[int, float]]
    turns: dict[str, dict[int, float]]


def measure() -> Costs:
    """All of it, the dialects taking turns."""
    return Costs(
        text={name: _by_size(lambda size, name=name: _text(name, size)) for name in wire.MODELS},
        arguments={
            name: _by_size(lambda size, name=name: feeding(name, argument_pieces(name, size)))
            for name in TRANSLATED
        },
        turns={name: _by_size(lambda size, name=name: _turns(name, size)) for name in TRANSLATED},
    )


def _by_size(work: Callable[[int], Callable[[], object]]) -> dict[int, float]:
    """What one piece adds to the work, at each size."""
    once = {size: work(size) for size in (1, *SIZES)}
    costs = {}
    for size in SIZES:
        repeats = max(1, _PIECES // size)
        tries = [(_timed(once[size], repeats), _timed(once[1], repeats)) for _ in range(_TRIES)]
        many, one = (min(times) for times in zip(*tries, strict=True))
        costs[size] = (many - one) / repeats / (size - 1) * 1e6
    return costs


def _timed(work: Callable[[], object], repeats: int) -> float:
    began = process_time()
    for _ in range(repeats):
        work()
    return process_time() - began


def _text(dialect: wire.Dialect, size: int) -> Callable[[], object]:
    last = wire.last_events(usage=True, dialect=dialect)
    words = [wire.content_event(dialect, said) for said in range(1, size + 1)]
    pieces = [wire.first_events(dialect), *words, last]
    return feeding(dialect, [piece for piece in pieces if piece])


def feeding(dialect: wire.Dialect, pieces: list[bytes]) -> Callable[[], bytes]:
    """What feeds an upstream's pieces to a fresh exchange, and gives what the client gets."""
    call = _call([{"role": "user", "content": "Hello."}])
    exchange = maker(dialect)

    def feed() -> bytes:
        one = exchange(call)
        out = [one.feed(piece) for piece in pieces]
        return b"".join([*out, one.finish()])

    return feed


def _turns(dialect: wire.Dialect, size: int) -> Callable[[], object]:
    said = "What one of both said in a conversation that went on and on."
    roles = ("user", "assistant")
    call = _call([{"role": roles[turn % 2], "content": f"{turn} {said}"} for turn in range(size)])
    exchange = maker(dialect)
    return lambda: exchange(call)


def argument_pieces(dialect: wire.Dialect, size: int) -> list[bytes]:
    """The stream of one call with one argument, whose text comes in so many pieces."""
    if dialect == "gemini":
        piece = {"jsonPath": "$.text", "stringValue": " word", "willContinue": True}
        calls: list[dict[str, Any]] = [{"name": "say", "willContinue": True}]
        calls += [{"partialArgs": [piece], "willContinue": True}] * size
        calls += [{"partialArgs": [{"jsonPath": "$.text", "stringValue": ""}], "willContinue": True}, {}]
        chunks = [
            {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"functionCall": each}]}}]}
            for each in calls
        ]
        pieces = [b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks]
        return [*pieces, wire.last_events(usage=True, dialect=dialect)]
    block = {"type": "tool_use", "id": "toolu_1", "name": "say", "input": {}}
    first, last = wire.first_events(dialect), wire.last_events(usage=True, dialect=dialect)
    begun = first[: first.index(b"event: content_block_start")] + _anthropic(
        {"type": "content_block_start", "index": 0, "content_block": block}
    )
    texts = ['{"text":"', *[" word"] * size, '"}']
    deltas = [
        _anthropic(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": text},
            }
        )
        for text in texts
    ]
    return [begun, *deltas, last.replace(b"end_turn", b"tool_use")]


def _anthropic(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


def _call(messages: list[dict[str, str]]) -> Call:
    body = {"model": "bench", "messages": messages, "stream": True, "max_tokens": 1000}
    return chat.parse(msgspec.json.encode(body), call_id="req_bench", at=1_760_000_000_000)


def maker(dialect: wire.Dialect) -> Callable[[Call], Exchange]:
    """What makes exchanges with an upstream of this dialect; raises `LookupError` when there is none."""
    settings = msgspec.convert(
        {"name": dialect, "type": _TYPES[dialect], "base_url": "http://127.0.0.1:9"}, ProviderSettings
    )
    provider = registry.build(settings)
    if provider is None:
        raise LookupError(f"no provider speaks {dialect}")
    deployment = Deployment(provider=dialect, model="bench-upstream")
    model = Model(
        id="bench",
        name="bench",
        context_window=200_000,
        max_output_tokens=8192,
        deployments=(deployment,),
    )
    return lambda call: provider.exchange(call, model, deployment)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure()))
