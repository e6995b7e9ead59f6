"""What calls to a well provider notice of hundreds that hang on a slow one."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench import wire
from tests.bench.load import Job, Result
from tests.bench.report import Figure, Target, figure
from tests.bench.servers import BenchFailed, Process, generate

_SLOW_STREAMS = 500
_SILENCE_MS = 600_000
_PATIENCE = 15.0
_TARGET = Target(of="ratio", bound="below", value=1.1)


def beside_a_slow_one(gateway: Process, rounds: int, seconds: float) -> list[Figure]:
    """Latency at 200 calls/s with 500 calls open at a silent provider, over that without them."""
    job = Job(port=gateway.port, key=gateway.key, pid=gateway.pid, concurrency=64, rate=200, seconds=seconds)
    pairs: list[tuple[Result, Result]] = []
    for number in range(rounds):
        if number % 2:
            quiet = generate(job)
        with _silent_streams(gateway):
            beside = generate(job)
        if not number % 2:
            quiet = generate(job)
        pairs.append((beside, quiet))
    return [
        figure(
            f"latency beside a slow provider, {name}",
            "ms",
            [(getattr(a.latency, name) * 1e3, getattr(b.latency, name) * 1e3) for a, b in pairs],
            _TARGET if name == "p99" else None,
        )
        for name in ("p50", "p99")
    ]


@contextmanager
def _silent_streams(gateway: Process) -> Iterator[None]:
    """Streams that have begun and say nothing more; they are hung up on in the end."""
    request = wire.request(
        port=gateway.port,
        key=gateway.key,
        chunks=2,
        interval_ms=_SILENCE_MS,
        model=wire.MODELS["anthropic"],
    )
    with ExitStack() as streams:
        opened = [
            streams.enter_context(socket.create_connection(("127.0.0.1", gateway.port), _PATIENCE))
            for _ in range(_SLOW_STREAMS)
        ]
        for stream in opened:
            stream.sendall(request)
        for stream in opened:
            if not stream.recv(1000).startswith(b"HTTP/1.1 200 "):
                raise BenchFailed("a stream of the slow provider was refused")
        yield
