"""Spans: what a collector gets of a call, and that nothing of a collector's ever reaches a call."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from msgspec import structs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.gateway.test_metrics import CATALOG, OUTCOME
from tokligenced.errors import ConfigError
from tokligenced.gateway import tracing


class Collector:
    """An OTLP/HTTP collector on a port of its own; `spans` are those it got."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """A batch."""
        batch = ExportTraceServiceRequest.FromString(await request.read())
        for resource in batch.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return web.Response(content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector that listens."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield collector
    await runner.cleanup()


def attributes(span: Span) -> dict[str, object]:
    """A span's attributes as Python has them."""
    found = {}
    for each in span.attributes:
        found[each.key] = getattr(each.value, each.value.WhichOneof("value") or "string_value")
    return found


async def test_a_call_becomes_a_span(collector: Collector) -> None:
    """The collector gets a span for each call, with the names of the conventions, before the daemon ends."""
    traces = tracing.begin(collector.url, lambda: CATALOG)
    traces.report(structs.replace(OUTCOME, upstream_model="gpt-4o-2024", attempts=2))
    traces.report(structs.replace(OUTCOME, status=503, error="upstream_error", endpoint="embeddings"))
    await traces.end()
    well, ill = collector.spans
    assert (well.name, well.kind) == ("chat gpt-4o", Span.SPAN_KIND_CLIENT)
    assert well.end_time_unix_nano - well.start_time_unix_nano == 1_200_000_000
    said = attributes(well)
    assert (
        said.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.cache_read.input_tokens": 2,
            "gen_ai.usage.output_tokens": 11,
            "http.response.status_code": 200,
            "tokligence.attempts": 2,
        }.items()
    )
    assert ill.status.code == Status.STATUS_CODE_ERROR
    assert attributes(ill).items() >= {
        "error.type": "upstream_error", "gen_ai.operation.name": "embeddings",
    }.items()  # fmt: skip


def test_a_span_knows_no_key_and_nothing_that_users_write() -> None:
    """Neither the key, nor the payer, nor a model's name that the catalog does not have is in a span."""
    said = tracing.attributes_of(structs.replace(OUTCOME, model="my secret plan"), CATALOG)
    assert not {"key_1", "acct_1", "my secret plan"} & set(map(str, said.values()))
    assert "gen_ai.request.model" not in said


async def test_a_collector_that_is_gone_harms_nothing() -> None:
    """More spans than anybody takes are dropped without a call waiting, and the end is not held up."""
    traces = tracing.begin("http://127.0.0.1:9", lambda: CATALOG)
    slowest = 0.0
    for _ in range(4_000):
        began = time.perf_counter()
        traces.report(OUTCOME)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.5
    async with asyncio.timeout(2):
        await traces.end()
    for thread in [thread for thread in threading.enumerate() if thread.name == "tracing.end"]:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


def test_without_the_extra_the_configuration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants traces and lacks the packages is told what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"tracing\.endpoint.*tokligenced\[otel\]"):
        tracing.begin("http://127.0.0.1:4318", lambda: CATALOG)


def test_who_wants_no_traces_loads_nothing_of_them() -> None:
    """Not even the daemon imports the extra's packages before the configuration asks for it."""
    script = (
        "import sys, tokligenced.daemon; print([name for name in sys.modules if 'opentelemetry' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
