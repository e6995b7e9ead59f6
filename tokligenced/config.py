"""TOML → frozen Config; errors name file, dotted path, value and reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tokligenced.domain import Limits, Model

ProviderType = Literal[
    "openai", "azure", "anthropic", "gemini", "deepseek", "cohere", "jina", "voyage", "demo"
]


class Secret:
    """A string that shows itself only to who asks by `reveal`; printing it gives stars."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, for the header it belongs in."""
        return self._value

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
    durability: Literal["full", "normal"] = "full"


class LogSettings(Struct, frozen=True, kw_only=True):
    """How much is logged and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class AccountSettings(Struct, frozen=True, kw_only=True):
    """Who may sign up and with what credit."""

    signup: Literal["open", "invite", "closed"] = "open"
    welcome_credit_nano: int = 0


class Endpoints(Struct, frozen=True, kw_only=True):
    """The optional endpoints; a disabled one answers 404 `endpoint_disabled`."""

    embeddings: bool = False
    images: bool = False
    rerank: bool = False


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """One upstream account. `base_url` has no slash at its end; `options` is what the type adds."""

    name: str
    type: ProviderType
    base_url: str
    api_key: Secret | None = None
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    connect_timeout: float = 5.0
    idle_timeout: float = 300.0
    headers: Mapping[str, str] = {}
    api_version: str = ""
    responses: bool | None = None


class Config(Struct, frozen=True, kw_only=True):
    """Everything the files say, checked and complete."""

    server: Server = Server()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
    limits: Limits = Limits(requests_per_minute=60, tokens_per_minute=200_000, concurrency=20)
    accounts: AccountSettings = AccountSettings()
    endpoints: Endpoints = Endpoints()
    providers: Mapping[str, ProviderSettings] = {}
    models: Mapping[str, Model] = {}
    warnings: tuple[str, ...] = ()
