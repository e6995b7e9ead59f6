"""The `[providers.NAME]` tables, and where their credentials come from."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

from tokligenced.config.reading import Reading, Table
from tokligenced.config.settings import DemoSettings, OnDisconnect, ProviderSettings, ProviderType, Secret
from tokligenced.config.values import (
    Invalid,
    duration,
    file_path,
    flag,
    one_of,
    shown,
    statuses,
    text,
    time_limit,
    web_address,
    whole,
)

BASE_URLS: Mapping[ProviderType, str] = {
    "openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "cohere": "https://api.cohere.com",
    "jina": "https://api.jina.ai/v1",
    "voyage": "https://api.voyageai.com/v1",
    "demo": "demo:",  # no address at all: the demo answers inside the process
}
_AZURE_V1 = "/openai/v1"
_REMOTE = tuple(kind for kind in get_args(ProviderType) if kind != "demo")
# Keys that only some types have; all others are everybody's.
_BELONGS = {
    "base_url": _REMOTE,
    "api_key": _REMOTE,
    "headers": _REMOTE,
    "connect_timeout": _REMOTE,
    "api_version": ("azure",),
    "responses": ("openai", "azure"),
    "demo": ("demo",),
}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CREDENTIAL_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"}
)
_OWN_HEADERS = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
    }
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(table: Table) -> dict[str, ProviderSettings]:
    """All providers by name."""
    return {name: _provider(name, entry) for name, entry in table.entries()}


def _provider(name: str, table: Table) -> ProviderSettings:
    # The name goes out in the header x-tokligence-provider.
    if not name.strip() or not name.isprintable() or not name.isascii():
        table.refuse("a provider's name must be printable ASCII")
    types: tuple[ProviderType, ...] = get_args(ProviderType)
    written: ProviderType | None = table.need("type", one_of(types), None)
    if written is not None:
        _refuse_foreign(table, written)
    kind = written or "openai"
    base_url = table.take("base_url", web_address, BASE_URLS.get(kind, ""))
    if not base_url and "base_url" not in table:
        table.refuse(f'is required for type "{kind}"', "base_url")
    api_version = table.take("api_version", text, "")
    if kind == "azure" and "api_version" not in table and base_url and not base_url.endswith(_AZURE_V1):
        table.refuse(f"is required unless base_url ends in {_AZURE_V1}", "api_version")
    plain = ProviderSettings(name=name, type=kind, base_url=base_url)
    keys = _api_keys(table)
    settings = ProviderSettings(
        name=name,
        type=kind,
        base_url=base_url,
        api_key=keys[0] if keys else None,
        more_keys=keys[1:],
        on_disconnect=table.take("on_disconnect", one_of(get_args(OnDisconnect)), plain.on_disconnect),
        connect_timeout=table.take("connect_timeout", time_limit, plain.connect_timeout),
        idle_timeout=table.take("idle_timeout", time_limit, plain.idle_timeout),
        first_byte_timeout=table.take("first_byte_timeout", time_limit, None),
        total_timeout=table.take("total_timeout", time_limit, None),
        retries=table.take("retries", partial(whole, minimum=0), plain.retries),
        retry_after_send=table.take("retry_after_send", flag, plain.retry_after_send),
        fail_over_on=table.take("fail_over_on", statuses, plain.fail_over_on),
        headers=_headers(table.table("headers")),
        api_version=api_version,
        responses=table.take("responses", flag, None),
        demo=_demo(table.table("demo")),
    )
    table.done()
    return settings


def _refuse_foreign(table: Table, kind: ProviderType) -> None:
    for key, types in _BELONGS.items():
        if kind not in types and key in table:
            table.refuse(f'does not belong to a provider of type "{kind}"', key)


def _demo(table: Table) -> DemoSettings:
    plain = DemoSettings()
    settings = DemoSettings(
        first_byte=table.take("first_byte", duration, plain.first_byte),
        between_chunks=table.take("between_chunks", duration, plain.between_chunks),
    )
    table.done()
    return settings


def _headers(table: Table) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name in table.names():
        value = table.take(name, partial(_header, name), "")
        if name.lower() in {other.lower() for other in headers}:
            table.refuse("is there twice: capital letters make no difference", name)
        headers[name] = value
    return headers


def _header(name: str, value: object) -> str:
    """A header's value; never shown, as it may be a secret."""
    if _TOKEN.fullmatch(name) is None:
        raise Invalid("is no name for a header")
    if name.lower() in _CREDENTIAL_HEADERS:
        raise Invalid("holds a credential: that is what api_key is for")
    if name.lower() in _OWN_HEADERS:
        raise Invalid("is a header that the gateway sets itself")
    return _sendable(value)


def _sendable(value: object) -> str:
    """A string that can stand in a header; the reason never shows it."""
    if not isinstance(value, str):
        raise Invalid("must be a string")
    if not (value.isascii() and value.isprintable()):
        raise Invalid("must be one line of printable ASCII characters")
    return value


def _api_keys(table: Table) -> tuple[Secret, ...]:
    """The keys, to be used in turn; none where there is no `api_key`."""
    written = table.get("api_key")
    if isinstance(written, str):
        table.refuse(
            'must say where the key is: { env = "NAME" }, { file = "PATH" } or { credential = "NAME" };'
            ' to keep it in this very file: { literal = "…" }',
            "api_key",
        )
        return ()
    # Also where nothing is written the kinds of sources are asked for, so that all options are known.
    sources = [table.table("api_key")] if written is None else table.tables("api_key")
    keys = [_api_key(table, source, written is not None) for source in sources]
    return tuple(key for key in keys if key is not None)


def _api_key(table: Table, source: Table, is_written: bool) -> Secret | None:
    readers = _secret_readers(table.reading)
    secrets = {kind: source.take(kind, parse, None) for kind, parse in readers.items()}
    source.done()
    given = [kind for kind in readers if kind in source]
    if is_written and len(given) != 1:
        table.refuse(f"must have exactly one of {', '.join(readers)}", "api_key")
        return None
    if given == ["literal"]:
        table.warn("the key stands in the file itself; env, file or credential keep it out", "api_key")
    return secrets[given[0]] if given else None


def _secret_readers(reading: Reading) -> dict[str, Callable[[object], Secret | None]]:
    readers: dict[str, Callable[[object], Secret | None]] = {
        "env": partial(_from_variable, reading.environ),
        "file": partial(_from_file, reading.folder),
        "credential": partial(_from_credential, reading.environ),
        "literal": _from_literal,
    }
    return readers if reading.secrets else dict.fromkeys(readers, _not_looked_up)


def _not_looked_up(value: object) -> None:
    _sendable(value)


def _from_variable(environ: Mapping[str, str], value: object) -> Secret:
    name = _sendable(value)
    if _VARIABLE.fullmatch(name) is None:
        # Not shown: it may well be the key itself.
        raise Invalid("must be the name of an environment variable, of letters, digits and _")
    if not environ.get(name, "").strip():
        raise Invalid(f"the environment variable {name} is {'empty' if name in environ else 'not set'}")
    return _secret(environ[name], f"the environment variable {name}")


def _from_file(folder: Path, value: object) -> Secret:
    path = file_path(value)
    return _secret_in(folder / path, shown(str(path)))


def _from_credential(environ: Mapping[str, str], value: object) -> Secret:
    name = _sendable(value)
    if not name or "/" in name or name in {".", ".."}:
        raise Invalid("must be a credential's name, without slashes")
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise Invalid("$CREDENTIALS_DIRECTORY is not set: systemd does that for a unit with LoadCredential=")
    return _secret_in(Path(folder) / name, f"the credential {shown(name)}")


def _from_literal(value: object) -> Secret:
    return _secret(_sendable(value), "the literal")


def _secret_in(file: Path, name: str) -> Secret:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid(f"{name} can't be read: {error.strerror or error}") from None
    return _secret(content.decode("ascii", "replace"), name)


def _secret(content: str, name: str) -> Secret:
    secret = content.strip()
    if not secret:
        raise Invalid(f"{name} is empty")
    if not (secret.isascii() and secret.isprintable()):
        raise Invalid(f"{name} must be one line of printable ASCII characters")
    return Secret(secret)
