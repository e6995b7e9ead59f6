"""The nouns of the gateway: immutable, without behaviour beyond arithmetic on themselves.

Units, everywhere: balances and costs are integer nano-USD (`_nano`), prices integer pico-USD per
token or unit, points in time integer Unix milliseconds (`_at`), durations float seconds.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct, field

PICO_PER_NANO = 1_000
NANO_PER_USD = 1_000_000_000
PICO_PER_USD = 1_000_000_000_000

LIST_PRICE = 1_000_000

# Bytes of text per token, on the low side: where the gateway counts itself, it counts rather too much.
_BYTES_PER_TOKEN = 3

Dialect = Literal["chat", "completions", "messages", "responses", "gemini", "embeddings", "images", "rerank"]
# What is answered in one piece, and whose output a client can't limit.
TASKS: frozenset[Dialect] = frozenset({"embeddings", "images", "rerank"})
PayerKind = Literal["account", "org"]


class Limits(Struct, frozen=True, kw_only=True):
    """What a key may do; None means: the configured default."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Account(Struct, frozen=True, kw_only=True):
    """A person who signs in and pays; `id` starts with `acct_`.

    `price_millionths` is what part of the list price they pay, in millionths: 1,000,000 is all of it.
    """

    id: str
    email: str
    admin: bool = False
    unlimited: bool = False
    price_millionths: int = LIST_PRICE
    created_at: int


class Organization(Struct, frozen=True, kw_only=True):
    """Several people who share keys, a balance and limits; `id` starts with `org_`.

    A limit that is None does not exist. `price_millionths` is as an account's.
    """

    id: str
    slug: str
    owner_id: str
    unlimited: bool = False
    price_millionths: int = LIST_PRICE
    limits: Limits = Limits()
    created_at: int


class Key(Struct, frozen=True, kw_only=True):
    """A bearer credential as it is stored: its SHA-256, never itself.

    `prefix` is the public beginning (`tk-` and six characters) by which people recognise it.
    `models` None means every model. `payer_id` is an account's or an organization's id.
    """

    id: str
    digest: bytes
    prefix: str
    name: str
    payer_kind: PayerKind
    payer_id: str
    limits: Limits = Limits()
    models: frozenset[str] | None = None
    spend_cap_nano: int | None = None
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class Principal(Struct, frozen=True, kw_only=True):
    """Whom a key proves: the key and the account or organization that pays."""

    key: Key
    payer: Account | Organization


class Usage(Struct, frozen=True, kw_only=True):
    """Counted tokens in disjoint parts, plus units; `estimated` when the gateway had to count."""

    input: int = 0
    cached_input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    image_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    images: int = 0
    searches: int = 0
    estimated: bool = False

    @property
    def prompt_tokens(self) -> int:
        """All tokens that went in, cached or not."""
        return (
            self.input
            + self.cached_input
            + self.cache_write_5m
            + self.cache_write_1h
            + self.audio_in
            + self.image_in
        )

    @property
    def completion_tokens(self) -> int:
        """All tokens that came out, visible or not."""
        return self.output + self.reasoning + self.audio_out + self.image_out

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class Rates(Struct, frozen=True, kw_only=True):
    """Integer pico-USD per token of each part of `Usage`, and per call, image and search."""

    input: int = 0
    cached_input: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    audio_in: int = 0
    image_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    per_call: int = 0
    per_image: int = 0
    per_search: int = 0


class Price(Struct, frozen=True, kw_only=True):
    """What a model costs from `effective_at` on.

    `tiers` are (prompt tokens, rates) in rising order: the last whose threshold is below the
    prompt's size applies to the whole call instead of `rates`.
    """

    rates: Rates = Rates()
    tiers: tuple[tuple[int, Rates], ...] = ()
    effective_at: int = 0


class Deployment(Struct, frozen=True, kw_only=True):
    """One way to serve a model: a provider by name, and the model's name there."""

    provider: str
    model: str
    weight: int = 1
    priority: int = 1


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long an upstream may take, in seconds; None: no limit of its own.

    `connect` is until the connection stands, `first_byte` until anything of an answer comes, `idle` for
    silence at any time, `total` for all of a call.
    """

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None
    total: float | None = None


class Model(Struct, frozen=True, kw_only=True):
    """What clients ask for by name.

    `prices` is in rising order of `effective_at`, empty when free. `timeouts` go before its providers'.
    """

    id: str
    name: str
    context_window: int
    max_output_tokens: int
    prices: tuple[Price, ...] = ()
    free: bool = False
    deployments: tuple[Deployment, ...]
    aliases: tuple[str, ...] = ()
    owned_by: str = ""
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    supported_parameters: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    created_at: int = 0


class Call(Struct, frozen=True, kw_only=True):
    """One client request, read as far as the gateway needs it.

    `body` is what the client sent; `members` gives for each top-level member of that JSON object
    where its value begins and ends, so that one value can be exchanged and the rest stays as it was.
    `id` and `at` (Unix milliseconds) are its own, for answers whose upstream gives none. `headers` and
    `query` are what of the request's head belongs to its dialect, for an upstream that speaks it too. A
    `counting` call asks only how many tokens it has, and costs nothing.
    `max_output_tokens` is the client's own limit, None where it set none; then `imposed_output_tokens` may
    be what its payer can afford, to be sent upstream. `text_bytes` is the body without its data URIs;
    `images` and `files` are counted because their tokens have little to do with bytes; `audio`, `draws`
    and `searches` say whether there can be any.

    Where texts are embedded or ranked, `inputs` says how many, each with a window of its own; `text_bytes` is
    then what they have together, a query counted with each document it is compared with, and `tokens` are
    those that came as numbers. `choices` is how many answers or images are wanted, 0 where nothing is
    generated. `search_units` is the most of them that a ranking is billed for.
    """

    dialect: Dialect
    model: str
    body: bytes
    id: str = ""
    at: int = 0
    headers: Mapping[str, str] = MappingProxyType({})
    query: str = ""
    counting: bool = False
    members: Mapping[str, tuple[int, int]]
    stream: bool = False
    include_usage: bool = False
    max_output_tokens: int | None = None
    imposed_output_tokens: int | None = None
    choices: int = 1
    text_bytes: int = 0
    images: int = 0
    files: int = 0
    audio: bool = False
    draws: bool = False
    searches: bool = False
    inputs: int = 1
    tokens: int = 0
    search_units: int = 0

    def member(self, name: str) -> bytes:
        """The JSON value of a top-level member of the body; empty when it has none, or null."""
        span = self.members.get(name)
        value = self.body[slice(*span)] if span else b""
        return b"" if value == b"null" else value


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of a call; the usage row and the canonical log line are made of it.

    `cost_nano` is what the caller pays. What the call cost beyond its hold is the operator's
    `shortfall_nano`. `price_id` names the price it was held with, None where there was none. `overhead` is
    the gateway's own part of `duration`, None where nothing was sent upstream; no row has it.
    """

    id: str
    started_at: int
    key_id: str
    payer_id: str
    endpoint: str
    model: str
    stream: bool
    status: int
    error: str | None = None
    provider: str | None = None
    upstream_model: str | None = None
    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_nano: int = 0
    shortfall_nano: int = 0
    held_nano: int = 0
    price_id: str | None = None
    price_millionths: int = LIST_PRICE
    first_byte: float | None = None
    duration: float = 0.0
    overhead: float | None = None


def tokens_in(size: int) -> int:
    """The tokens in so many bytes of text, as the gateway counts them itself."""
    return -(-size // _BYTES_PER_TOKEN)


def decimal_usd(amount: int, unit: int = NANO_PER_USD, places: int = 0) -> str:
    """`amount` of 1/`unit` USD as an exact decimal string, of at least `places` decimal places."""
    if amount < 0:
        return "-" + decimal_usd(-amount, unit, places)
    whole, rest = divmod(amount, unit)
    # With a one before it the rest keeps its leading zeros.
    digits = str(unit + rest)[1:].rstrip("0").ljust(places, "0")
    return f"{whole}.{digits}" if digits else str(whole)
