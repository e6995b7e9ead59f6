"""The only structlog configuration: JSON for machines, colours for people, one canonical line per call.

No prompt, completion, credential or upstream address is ever given to a logger.
"""

import logging
import sys
from typing import Literal

import msgspec
import structlog

from tokligenced.domain import Outcome, Principal, decimal_usd

Format = Literal["auto", "json", "console"]

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def configure(level: str, form: Format) -> None:
    """Set up logging for the process; `auto` is readable on a terminal and JSON anywhere else."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        structlog.configure(
            processors=[*shared, structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, _render_json],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
    _tame_standard_logging()


def _render_json(_logger: object, _method: str, event: structlog.typing.EventDict) -> bytes:
    return _encode(event)


class _Tamed(logging.Handler):
    """Lets the standard library's loggers speak through structlog, by message kind and never by content.

    aiohttp logs malformed requests with their bytes, credentials included; only the exception's type is kept.
    """

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger().log(record.levelno, "library.message", logger=record.name, error=error)


def _tame_standard_logging() -> None:
    root = logging.getLogger()
    root.handlers = [_Tamed()]
    root.setLevel(logging.WARNING)


def call_finished(outcome: Outcome, principal: Principal) -> None:
    """The canonical line of a call: everything an operator asks about it, nothing a user wrote."""
    usage = outcome.usage
    structlog.get_logger().info(
        "call.finished",
        request_id=outcome.id,
        key=principal.key.prefix,
        payer=outcome.payer_id,
        endpoint=outcome.endpoint,
        model=outcome.model,
        provider=outcome.provider,
        upstream_model=outcome.upstream_model,
        stream=outcome.stream,
        status=outcome.status,
        error=outcome.error,
        attempts=outcome.attempts,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_input,
        completion_tokens=usage.completion_tokens,
        estimated=usage.estimated,
        cost=decimal_usd(outcome.cost_nano),
        first_byte_ms=None if outcome.first_byte is None else round(outcome.first_byte * 1000, 2),
        duration_ms=round(outcome.duration * 1000, 2),
    )
