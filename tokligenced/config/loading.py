"""Files and environment → Config."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from msgspec import structs

from tokligenced.config import models, providers, sources
from tokligenced.config.reading import Reading, Table
from tokligenced.config.settings import (
    AccountSettings,
    CacheSettings,
    Config,
    DatabaseSettings,
    Durability,
    Endpoints,
    LogFormat,
    LogLevel,
    LogSettings,
    ResponseSettings,
    Server,
    Signup,
    TracingSettings,
)
from tokligenced.config.values import (
    duration,
    file_path,
    flag,
    host_and_port,
    listen,
    one_of,
    part,
    size,
    time_limit,
    usd,
    web_address,
    whole,
)
from tokligenced.domain import Limits

# What is fixed when the daemon starts, as `section.key`; everything else follows a reload.
_FIXED_AT_START = (
    "server.listen",
    "server.public_url",
    "server.drain_timeout",
    "server.max_request_bytes",
    "server.body_timeout",
    "database.path",
    "database.durability",
    "log.level",
    "log.format",
    "tracing.endpoint",
)


def load(path: Path, environ: Mapping[str, str], *, secrets: bool = True) -> Config:
    """Read `path` and `conf.d/*.toml` beside it; raises `ConfigErrors` with all that is wrong.

    Relative paths in the files are relative to the folder of `path`. `environ` is where secrets of
    kind `env` and the folder of systemd's credentials come from. With `secrets=False` none is looked
    up and every `api_key` is None: for commands that need the settings but speak to no upstream.
    """
    node = sources.read(path)
    reading = Reading(environ=environ, folder=path.parent, secrets=secrets)
    config = read(Table(reading, node, ""))
    reading.check()
    return structs.replace(config, warnings=tuple(reading.warnings), origins=dict(sources.origins(node)))


def read(root: Table) -> Config:
    """The whole tree; mistakes are noted in the table's reading."""
    provider_tables = root.table("providers")
    config = Config(
        server=_server(root.table("server")),
        database=_database(root.table("database")),
        log=_log(root.table("log")),
        tracing=_tracing(root.table("tracing")),
        limits=_limits(root.table("limits")),
        accounts=_accounts(root.table("accounts")),
        endpoints=_endpoints(root.table("endpoints")),
        responses=_responses(root.table("responses")),
        cache=_cache(root.table("cache")),
        providers=providers.read(provider_tables),
        models=models.read(root.table("models"), provider_tables.names()),
    )
    root.done()
    return config


def restart_needed(old: Config, new: Config) -> list[str]:
    """The dotted names of what changed but is fixed while a daemon runs."""
    return [name for name in _FIXED_AT_START if _setting(old, name) != _setting(new, name)]


def _setting(config: Config, name: str) -> object:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)


def _server(table: Table) -> Server:
    plain = Server()
    where = table.take("listen", listen, plain.listen)
    server = Server(
        listen=where,
        public_url=table.take("public_url", web_address, _nearest(where) or plain.public_url),
        drain_timeout=table.take("drain_timeout", duration, plain.drain_timeout),
        max_request_bytes=table.take("max_request_bytes", size, plain.max_request_bytes),
        body_timeout=table.take("body_timeout", time_limit, plain.body_timeout),
    )
    table.done()
    return server


def _nearest(where: tuple[str, ...]) -> str | None:
    """The address that a client on this machine reaches, as far as there is one with a port."""
    for address in where:
        if not address.startswith("unix:") and address != "systemd":
            host, port = host_and_port(address)
            if not port:  # whichever is free is known only once it is taken
                continue
            if host in {"127.0.0.1", "::1", "0.0.0.0", "::"}:  # noqa: S104 - read here, not listened on
                host = "localhost"
            return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return None


def _database(table: Table) -> DatabaseSettings:
    plain = DatabaseSettings()
    path = table.take("path", file_path, plain.path)
    database = DatabaseSettings(
        # Two commands started in different folders must not find two databases.
        path=table.reading.folder / path,
        durability=table.take("durability", one_of(get_args(Durability)), plain.durability),
    )
    table.done()
    return database


def _log(table: Table) -> LogSettings:
    plain = LogSettings()
    log = LogSettings(
        level=table.take("level", one_of(get_args(LogLevel)), plain.level),
        format=table.take("format", one_of(get_args(LogFormat)), plain.format),
    )
    table.done()
    return log


def _tracing(table: Table) -> TracingSettings:
    tracing = TracingSettings(endpoint=table.take("endpoint", web_address, None))
    table.done()
    return tracing


def _limits(table: Table) -> Limits:
    plain = Config().limits
    limits = Limits(
        requests_per_minute=table.take("requests_per_minute", whole, plain.requests_per_minute),
        tokens_per_minute=table.take("tokens_per_minute", whole, plain.tokens_per_minute),
        concurrency=table.take("concurrency", whole, plain.concurrency),
    )
    table.done()
    return limits


def _accounts(table: Table) -> AccountSettings:
    plain = AccountSettings()
    accounts = AccountSettings(
        signup=table.take("signup", one_of(get_args(Signup)), plain.signup),
        welcome_credit_nano=table.take("welcome_credit", usd, plain.welcome_credit_nano),
    )
    table.done()
    return accounts


def _responses(table: Table) -> ResponseSettings:
    plain = ResponseSettings()
    responses = ResponseSettings(
        store=table.take("store", flag, plain.store),
        retention=table.take("retention", time_limit, plain.retention),
    )
    table.done()
    return responses


def _cache(table: Table) -> CacheSettings:
    plain = CacheSettings()
    cache = CacheSettings(
        enabled=table.take("enabled", flag, plain.enabled),
        max_bytes=table.take("max_bytes", size, plain.max_bytes),
        max_age=table.take("max_age", time_limit, plain.max_age),
        share=table.take("share", part, plain.share),
    )
    table.done()
    return cache


def _endpoints(table: Table) -> Endpoints:
    plain = Endpoints()
    endpoints = Endpoints(
        embeddings=table.take("embeddings", flag, plain.embeddings),
        images=table.take("images", flag, plain.images),
        rerank=table.take("rerank", flag, plain.rerank),
    )
    table.done()
    return endpoints
