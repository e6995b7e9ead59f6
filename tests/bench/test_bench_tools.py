"""The load generator tells good answers from bad ones; without that no figure means anything."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.bench import exchange_load, report, wire
from tests.bench.load import Job, Result, Run, dechunked, percentiles
from tests.bench.mock_upstream import Upstream
from tokligenced.dialects import chat

_WHOLE = wire.whole_answer()
_EVENTS = wire.content_event() * 3 + wire.last_events(usage=False)


class _Fixed(asyncio.Protocol):
    """Answers whatever arrives with the same bytes in two packets, and hangs up if told to."""

    def __init__(self, answer: bytes, *, hang_up: bool) -> None:
        self._answer, self._hang_up = answer, hang_up

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            half = len(self._answer) // 2
            self.transport.write(self._answer[:half])
            asyncio.get_running_loop().call_later(0.001, self._rest, self._answer[half:])

    def _rest(self, answer: bytes) -> None:
        self.transport.write(answer)
        if self._hang_up:
            self.transport.close()


def _answer(body: bytes, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, length or len(body), body)


def _stream(body: bytes, cut: int) -> bytes:
    """A chunked answer in pieces of `cut` bytes, regardless of where events end."""
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@asynccontextmanager
async def _serving(protocol: Callable[[], Upstream | _Fixed]) -> AsyncIterator[int]:
    made: list[Upstream | _Fixed] = []

    def make() -> Upstream | _Fixed:
        made.append(protocol())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for each in made:
        each.transport.abort()
    await asyncio.sleep(0)


async def _load(port: int, *, chunks: int = 0, rate: float = 0.0) -> Result:
    job = Job(port=port, concurrency=2, chunks=chunks, rate=rate, warm_up=0.0, seconds=0.05)
    return await Run(job)()


@pytest.mark.parametrize(("chunks", "rate"), [(0, 0.0), (0, 400.0), (7, 0.0), (40, 0.0)])
async def test_good_answers_are_counted_without_error(chunks: int, rate: float) -> None:
    """Whole answers and streams of the mock upstream pass every check, and each call has its latency."""
    async with _serving(Upstream) as port:
        result = await _load(port, chunks=chunks, rate=rate)
    assert result.errors == []
    assert result.calls > 0
    assert 0 < result.first_byte.p50 <= result.latency.p50 <= result.latency.p99 < 1
    assert (result.events > 0) == (chunks > 0)


@pytest.mark.parametrize("dialect", wire.MODELS)
def test_streams_of_all_dialects_become_what_the_generator_expects(dialect: wire.Dialect) -> None:
    """What the mock upstream streams is good in its dialect, and as many events of chat as were asked for."""
    call = chat.parse(wire.request(port=1, key="none", chunks=3, interval_ms=0).partition(b"\r\n\r\n")[2])
    exchange = exchange_load.maker(dialect)(call)
    middle = wire.content_event(dialect) * 3
    sent = wire.first_events(dialect) + middle + wire.last_events(usage=True, dialect=dialect)
    answer = exchange.feed(sent) + exchange.finish()
    assert answer.count(b"data: ") == 3 + 2
    assert answer.count(b" word") == 3
    assert exchange.usage is not None
    assert (exchange.usage.prompt_tokens, exchange.usage.completion_tokens) == (400, 200)


@pytest.mark.parametrize("dialect", exchange_load.TRANSLATED)
def test_arguments_in_pieces_are_one_call(dialect: wire.Dialect) -> None:
    """What is measured as one tool call's arguments is one call, whole at the end."""
    answer = exchange_load.feeding(dialect, exchange_load.argument_pieces(dialect, 5))()
    pieces = re.findall(rb'"arguments":"((?:[^"\\]|\\.)*)"', answer)
    arguments = json.loads("".join([json.loads(b'"%b"' % piece) for piece in pieces]))
    assert arguments == {"text": " word" * 5}
    assert b'"finish_reason":"tool_calls"' in answer


@pytest.mark.parametrize("cut", [1, 7, 100, 10_000])
async def test_a_stream_may_be_cut_anywhere(cut: int) -> None:
    """Where a server cuts its chunks is its own affair: the content counts."""
    async with _serving(lambda: _Fixed(_stream(_EVENTS, cut), hang_up=False)) as port:
        result = await _load(port, chunks=3)
    assert result.errors == []
    assert result.calls > 0
    assert dechunked(_stream(_EVENTS, cut).partition(b"\r\n\r\n")[2]) == _EVENTS


async def test_a_whole_answer_may_come_in_two_packets() -> None:
    """An answer with a length is over when all of it is there, not before."""
    async with _serving(lambda: _Fixed(_answer(_WHOLE), hang_up=False)) as port:
        result = await _load(port)
    assert result.errors == []
    assert result.calls > 0


@pytest.mark.parametrize(
    ("answer", "chunks", "told"),
    [
        (_answer(b'{"error":"no"}', b"503 Service Unavailable"), 0, "status 503"),
        (_answer(b"{}"), 0, "a damaged body"),
        (_answer(_WHOLE[:-9]), 0, "a damaged body"),
        (_answer(_WHOLE, length=len(_WHOLE) + 1), 0, "connection lost"),
        (b"", 0, "connection lost"),
        (_stream(_EVENTS.removesuffix(wire.DONE), 50), 3, "without [DONE]"),
        (_stream(_EVENTS, 50), 4, "a stream of 5 events instead of 6"),
        (_stream(_EVENTS, 50)[:-5], 3, "connection lost"),
    ],
)
async def test_bad_answers_are_errors(answer: bytes, chunks: int, told: str) -> None:
    """A wrong status, a damaged or short body, a lost event or a missing end never counts as a call."""
    async with _serving(lambda: _Fixed(answer, hang_up=True)) as port:
        result = await _load(port, chunks=chunks)
    assert result.calls == 0
    assert len(result.errors) == 2
    assert all(told in error for error in result.errors)


def test_percentiles_are_values_that_occurred() -> None:
    """Half of all values don't exceed the median, and of a hundred only one may exceed the 99th."""
    found = percentiles(float(value) for value in range(100, 0, -1))
    assert (found.p50, found.p99) == (50.0, 99.0)
    assert percentiles([3.0]).p99 == 3.0


def test_a_ratio_is_taken_within_each_round() -> None:
    """A machine that slows down between rounds changes the figures and leaves the ratio alone."""
    target = report.Target(of="ratio", bound="at least", value=0.7)
    line = report.figure("calls", "1/s", [(80.0, 100.0), (8.0, 10.0), (40.0, 50.0)], target)
    assert (line.gateway, line.yardstick, line.ratio, line.result) == (40.0, 50.0, 0.8, "pass")
    assert report.figure("calls", "1/s", [(80.0, 100.0)], target, sure=False).result == "unsure"
    assert report.figure("added", "ms", [(0.1, -0.1)]).ratio is None
    assert "ratio >= 0.7  pass" in report.table([line], [])
