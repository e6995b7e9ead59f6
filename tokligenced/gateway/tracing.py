"""A span for each call, in OpenTelemetry's conventions for generative AI, sent to a collector by OTLP/HTTP.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

Spans wait in a bounded queue for a thread of their own; what does not fit, or what no collector takes, is
dropped, and no call knows of it. The packages are those of the extra `otel`, and imported only here. Never a
key, an account, or what users write.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping

from msgspec import Struct

from tokligenced import __version__
from tokligenced.catalog import Catalog
from tokligenced.config import ProviderType
from tokligenced.domain import NANO_PER_USD, Outcome
from tokligenced.errors import ConfigError

_NANO_PER_MS = 1_000_000
_PATIENCE = 2.0  # seconds for a collector to answer
_LAST_WORDS = 0.4

_OPERATIONS = {
    "completions": "text_completion",
    "embeddings": "embeddings",
    "images": "generate_content",
    "rerank": "rerank",
}
_PROVIDERS: Mapping[ProviderType, str] = {"azure": "azure.ai.openai", "gemini": "gcp.gemini"}


class Tracing(Struct, frozen=True):
    """`report` makes the span of a call that has ended; `close` sends what waits, `give_up` cuts that."""

    report: Callable[[Outcome], None]
    close: Callable[[], None]
    give_up: Callable[[], None]

    async def end(self) -> None:
        """Send what waits, as far as a moment allows; the loop goes on meanwhile."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self.close()
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(sent.set)

        # Not one of the loop's own threads: those are waited for at its end, however long they take.
        threading.Thread(target=send, name="tracing.end", daemon=True).start()
        try:
            await asyncio.wait_for(sent.wait(), _LAST_WORDS)
        except TimeoutError:
            self.give_up()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sent.wait(), _LAST_WORDS)


def begin(endpoint: str, catalog: Callable[[], Catalog]) -> Tracing:
    """Send spans to the collector at `endpoint`, such as `http://127.0.0.1:4318`.

    Headers for it may stand in OTEL_EXPORTER_OTLP_HEADERS. Raises `ConfigError` where the extra is missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
    except ImportError:
        reason = "needs more packages: pip install 'tokligenced[otel]'"
        raise ConfigError("", "tracing.endpoint", reason) from None

    resource = Resource.create({"service.name": "tokligenced", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_PATIENCE)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tokligenced", __version__)

    def report(outcome: Outcome) -> None:
        attributes = attributes_of(outcome, catalog())
        started = outcome.started_at * _NANO_PER_MS
        span = tracer.start_span(
            f"{attributes['gen_ai.operation.name']} {attributes.get('gen_ai.request.model', '')}".rstrip(),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=started,
        )
        if outcome.error is not None:
            span.set_status(StatusCode.ERROR, outcome.error)
        span.end(started + int(outcome.duration * 1e9))

    return Tracing(report, provider.shutdown, exporter.shutdown)


def attributes_of(outcome: Outcome, catalog: Catalog) -> dict[str, str | int | float]:
    """What a span says of a call."""
    usage = outcome.usage
    said: dict[str, str | int | float | None] = {
        "gen_ai.operation.name": _OPERATIONS.get(outcome.endpoint, "chat"),
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "gen_ai.response.model": outcome.upstream_model,
        "http.response.status_code": outcome.status,
        "error.type": outcome.error,
        "tokligence.endpoint": outcome.endpoint,
        "tokligence.request_id": outcome.id,
        "tokligence.provider": outcome.provider,
        "tokligence.attempts": outcome.attempts,
        "tokligence.cost_usd": outcome.cost_nano / NANO_PER_USD,
        "tokligence.first_byte_seconds": outcome.first_byte,
    }
    if (model := catalog.names.get(outcome.model)) is not None:
        said["gen_ai.request.model"] = model.id
    if outcome.provider is not None and (settings := catalog.providers.get(outcome.provider)) is not None:
        said["gen_ai.provider.name"] = _PROVIDERS.get(settings.type, settings.type)
    return {name: value for name, value in said.items() if value is not None}
