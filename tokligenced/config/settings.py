"""The configuration as the rest of the house sees it: frozen, checked, every value in its unit.

Durations are float seconds, sizes integer bytes, money integer nano-USD or pico-USD. The defaults
stand here and nowhere else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tokligenced.domain import Limits, Model

ProviderType = Literal[
    "openai", "azure", "anthropic", "gemini", "deepseek", "cohere", "jina", "voyage", "demo"
]
Durability = Literal["full", "normal"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
Signup = Literal["open", "invite", "closed"]
OnDisconnect = Literal["cancel", "drain"]


class Secret:
    """A string that shows itself only to who asks by `reveal`; printing it gives stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the header it belongs in."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"


class Server(Struct, frozen=True, kw_only=True):
    """Where to listen and what to accept; durations in seconds, sizes in bytes."""

    listen: tuple[str, ...] = ("127.0.0.1:8081",)
    public_url: str = "http://localhost:8081"
    drain_timeout: float = 300.0
    max_request_bytes: int = 32 * 1024 * 1024
    body_timeout: float = 30.0


class DatabaseSettings(Struct, frozen=True, kw_only=True):
    """The database file and how durable a commit is."""

    path: Path = Path("/var/lib/tokligenced/tokligenced.db")
    durability: Durability = "full"


class LogSettings(Struct, frozen=True, kw_only=True):
    """How much is logged and in which form."""

    level: LogLevel = "info"
    format: LogFormat = "auto"


class TracingSettings(Struct, frozen=True, kw_only=True):
    """The OTLP/HTTP collector that gets a span for each call; None: nothing is traced."""

    endpoint: str | None = None


class AccountSettings(Struct, frozen=True, kw_only=True):
    """Who may sign up and with what credit."""

    signup: Signup = "open"
    welcome_credit_nano: int = 0


class Endpoints(Struct, frozen=True, kw_only=True):
    """The optional endpoints; a disabled one answers 404 `endpoint_disabled`."""

    embeddings: bool = False
    images: bool = False
    rerank: bool = False


class ResponseSettings(Struct, frozen=True, kw_only=True):
    """Whether responses are kept for clients that refer to them by id, and for how many seconds."""

    store: bool = False
    retention: float = 30 * 24 * 3600.0


class CacheSettings(Struct, frozen=True, kw_only=True):
    """Whether answers are cached, in how many bytes and for how many seconds.

    `share` is the part of its price that such an answer costs, in millionths: 0 is free, 1,000,000 all of it.
    """

    enabled: bool = False
    max_bytes: int = 64 * 1024 * 1024
    max_age: float = 3600.0
    share: int = 0


class DemoSettings(Struct, frozen=True, kw_only=True):
    """How slowly the embedded demo provider answers, in seconds."""

    first_byte: float = 0.0
    between_chunks: float = 0.0


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """One upstream account. `base_url` has no slash at its end; that of `demo` leads to no network.

    `api_version` is Azure's, empty where the base is Azure's v1. `responses` None means: decide by the base.
    `demo` matters to the type of that name only. `more_keys` are used in turn with `api_key`. A time-out that
    is None does not exist.

    A failed attempt is made again at the same deployment up to `retries` times. `retry_after_send` lets that,
    and the next deployment, happen also where the upstream may have worked on the request already.
    `fail_over_on` are statuses that count as failures though they blame the request.
    """

    name: str
    type: ProviderType
    base_url: str
    api_key: Secret | None = None
    more_keys: tuple[Secret, ...] = ()
    on_disconnect: OnDisconnect = "cancel"
    connect_timeout: float = 5.0
    idle_timeout: float = 300.0
    first_byte_timeout: float | None = None
    total_timeout: float | None = None
    retries: int = 0
    retry_after_send: bool = False
    fail_over_on: tuple[int, ...] = ()
    headers: Mapping[str, str] = {}
    api_version: str = ""
    responses: bool | None = None
    demo: DemoSettings = DemoSettings()


class Config(Struct, frozen=True, kw_only=True):
    """Everything the files say, checked and complete.

    `warnings` are lines for the operator. `origins` gives for the dotted path of each value that a
    file sets the file that owns it; a value it does not list is at its default.
    """

    server: Server = Server()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    limits: Limits = Limits(requests_per_minute=60, tokens_per_minute=200_000, concurrency=20)
    accounts: AccountSettings = AccountSettings()
    endpoints: Endpoints = Endpoints()
    responses: ResponseSettings = ResponseSettings()
    cache: CacheSettings = CacheSettings()
    providers: Mapping[str, ProviderSettings] = {}
    models: Mapping[str, Model] = {}
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, str] = {}
