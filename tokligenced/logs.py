"""The only structlog configuration: JSON for machines, colours for people, one canonical line per call.

No prompt, completion or credential is ever given to a logger; of what users write, only names of models.
"""

import asyncio
import atexit
import contextlib
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO, Literal

import msgspec
import structlog
from msgspec import Struct, structs

from tokligenced.domain import Outcome, Principal, decimal_usd

Format = Literal["auto", "json", "console"]

_FLUSH_AFTER = 0.1

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def configure(level: str, form: Format) -> None:
    """Set up logging for the process; `auto` is readable on a terminal and JSON anywhere else."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    factory: Callable[..., structlog.typing.WrappedLogger]
    if console:
        # Not rich's tracebacks: they show local variables, and with them what users wrote.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        processors += renderer, _as_bytes
        factory = _Lines(sys.stderr.buffer)
    else:
        processors += structlog.processors.format_exc_info, _render_json
        factory = _Lines(sys.stderr.buffer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    _tame_standard_logging()


class _Lines:
    """A logger of ready lines that writes many with one system call, at most `_FLUSH_AFTER` seconds late.

    A warning, and whatever is logged outside of a running loop, is written at once with all before it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        atexit.register(self.flush)

    def __call__(self, *_arguments: object) -> "_Lines":
        return self

    def info(self, line: bytes) -> None:
        """Write soon."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(_FLUSH_AFTER, self.flush)
            except RuntimeError:
                self.flush()

    def warning(self, line: bytes) -> None:
        """Write now."""
        self._waiting.append(line)
        self.flush()

    debug = info
    error = exception = critical = warning

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            lines = b"\n".join([*self._waiting, b""])
            self._waiting.clear()
            # A log that can't be written, on a full disk or a broken pipe, must not take calls down with it.
            with contextlib.suppress(OSError):
                self._file.write(lines)
                self._file.flush()


def _as_bytes(_logger: object, _method: str, line: structlog.typing.EventDict) -> bytes:
    return str(line).encode(errors="replace")


def _render_json(_logger: object, _method: str, event: structlog.typing.EventDict) -> bytes:
    return _encode(event)


class _Tamed(logging.Handler):
    """Lets the standard library's loggers speak through structlog, by message kind and never by content.

    aiohttp logs malformed requests with their bytes, credentials included; only the exception's type is kept.
    """

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None and issubclass(kind, ConnectionError):
            return  # a client that left is no news
        error = kind.__name__ if kind is not None else None
        structlog.get_logger().log(record.levelno, "library.message", logger=record.name, error=error)


def _tame_standard_logging() -> None:
    root = logging.getLogger()
    root.handlers = [_Tamed()]
    root.setLevel(logging.WARNING)


class _CallLine(Struct, kw_only=True):
    """The canonical line of a call: all an operator asks about it; of what users write, the model's name."""

    event: str = "call.finished"
    level: str = "info"
    timestamp: str = ""
    request_id: str
    key: str
    payer: str
    endpoint: str
    model: str
    provider: str | None
    upstream_model: str | None
    stream: bool
    status: int
    error: str | None
    attempts: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool
    cost: str
    first_byte_ms: float | None
    duration_ms: float


def call_reporter() -> Callable[[Outcome, Principal], None]:
    """A function that writes the canonical line of a call, as logging is configured when it is made.

    There is one line for each call, so JSON goes past structlog's processors, which would cost more than all
    else that booking a call does.
    """
    log = structlog.get_logger().bind()
    lines = structlog.get_config()["logger_factory"]

    def to_structlog(outcome: Outcome, principal: Principal) -> None:
        fields = structs.asdict(_call_line(outcome, principal))
        log.info(fields.pop("event"), **{name: fields[name] for name in fields if name not in _STAMPS})

    def to_lines(outcome: Outcome, principal: Principal) -> None:
        line = _call_line(outcome, principal)
        line.timestamp = datetime.now(UTC).isoformat()
        lines.info(_encode(line))

    plain = _render_json in structlog.get_config()["processors"] and log.is_enabled_for(logging.INFO)
    return to_lines if plain else to_structlog


def audited(actor: str, action: str, subject: str) -> None:
    """Write the line of an administrative change that is in the database, where the whole of it stands."""
    structlog.get_logger().info("audit.recorded", actor=actor, action=action, subject=subject)


_STAMPS = ("level", "timestamp")


def _call_line(outcome: Outcome, principal: Principal) -> _CallLine:
    usage = outcome.usage
    return _CallLine(
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
