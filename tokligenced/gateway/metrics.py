"""What calls have added up to since the start: plain integers, counted where a call is booked.

Counting a call costs about two microseconds, and a chunk nothing; all else is done when somebody asks. Labels
are bounded: endpoints, the catalog's models and providers, statuses and the contract's codes. Never a key, an
account, or what users write.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct, structs

from tokligenced.catalog import Catalog
from tokligenced.domain import Outcome, Usage
from tokligenced.errors import Unauthenticated

OTHER = "other"
NONE = "none"

FIRST_TOKEN = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BETWEEN_TOKENS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
DURATION = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
OVERHEAD = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

PARTS = Usage.__struct_fields__
# The first of them are tokens; the rest are pieces, and whether the gateway had to count itself.
TOKEN_PARTS = PARTS[: PARTS.index("images")]
_OUT, _TOKENS = PARTS.index("output"), len(TOKEN_PARTS)

_CODES = frozenset({
    "invalid_json", "missing_required_parameter", "invalid_value", "unsupported_parameter",
    "context_length_exceeded", "model_not_found", "model_not_allowed", "content_filter",
    "insufficient_balance", "key_spend_cap_reached", "not_found", "endpoint_disabled",
    "idempotency_in_flight", "idempotency_key_reused",
    "request_timeout", "payload_too_large", "unsupported_media_type",
    "requests_per_minute", "tokens_per_minute", "concurrency",
    "upstream_error", "upstream_timeout", "upstream_rate_limited", "no_provider_available",
    "shutting_down", "ledger_unavailable", "internal_error", "client_left",
})  # fmt: skip


class Histogram:
    """How often a value fell between bounds: `counts` has one more than `bounds`, for what is above all."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; a bound belongs to what is below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Series:
    """The calls to one endpoint for one model that one provider served.

    `ended` counts them by status and error code (None: well), `usage` has the sums of `PARTS`.
    """

    __slots__ = (
        "between_tokens",
        "cost_nano",
        "duration",
        "ended",
        "endpoint",
        "first_token",
        "model",
        "provider",
        "shortfall_nano",
        "usage",
    )

    def __init__(self, endpoint: str, model: str, provider: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self.provider = provider
        self.ended: dict[tuple[int, str | None], int] = {}
        self.usage = [0] * len(PARTS)
        self.cost_nano = 0
        self.shortfall_nano = 0
        self.first_token = Histogram(FIRST_TOKEN)
        self.between_tokens = Histogram(BETWEEN_TOKENS)
        self.duration = Histogram(DURATION)

    def counted(self, parts: Iterable[str]) -> Iterator[tuple[str, int]]:
        """How many there were of each of some `PARTS`."""
        return ((part, self.usage[PARTS.index(part)]) for part in parts)


class Totals(Struct, frozen=True):
    """All calls together: how many, how many of them failed, their tokens in and out, nano-USD."""

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_nano: int = 0

    def since(self, before: "Totals") -> "Totals":
        """What has come to them since then."""
        return Totals(
            self.calls - before.calls,
            self.errors - before.errors,
            self.tokens - before.tokens,
            self.cost_nano - before.cost_nano,
        )


class Metrics:
    """Counts calls. `catalog` is asked at each, so that a reload's models have names at once.

    `reloads` counts those of the configuration, by what came of them; `refused_keys` the calls that proved
    nobody, by code: they have no payer, so they are in no series.
    """

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog
        self._series: dict[tuple[str, str, str], Series] = {}
        self._calls = self._errors = self._tokens = self._cost_nano = 0
        self.overhead = Histogram(OVERHEAD)
        self.reloads = {"applied": 0, "refused": 0}
        self.refused_keys = dict.fromkeys(
            ("missing_api_key", "invalid_api_key", "key_expired", "key_revoked"), 0
        )

    def refused_key(self, refused: Unauthenticated) -> None:
        """Count a call that proved nobody."""
        self.refused_keys[str(refused.code)] += 1

    def observe(self, outcome: Outcome) -> None:
        """Count a call that has ended."""
        series = self._series_of(outcome)
        code = outcome.error
        if code is not None:
            self._errors += 1
            if code not in _CODES:
                code = OTHER
        end = outcome.status, code
        series.ended[end] = series.ended.get(end, 0) + 1
        series.cost_nano += outcome.cost_nano
        series.shortfall_nano += outcome.shortfall_nano
        counts = structs.astuple(outcome.usage)
        sums = series.usage
        for part, count in enumerate(counts):
            if count:
                sums[part] += count
        self._calls += 1
        self._cost_nano += outcome.cost_nano
        self._tokens += sum(counts[:_TOKENS])

        series.duration.observe(outcome.duration)
        if outcome.overhead is not None:
            self.overhead.observe(outcome.overhead)
        if outcome.stream and outcome.first_byte is not None:
            series.first_token.observe(outcome.first_byte)
            # The mean of a stream: its chunks may hold many tokens each, so none of them is timed.
            if code is None and (made := sum(counts[_OUT:_TOKENS])) > 1:
                series.between_tokens.observe((outcome.duration - outcome.first_byte) / (made - 1))

    def _series_of(self, outcome: Outcome) -> Series:
        catalog = self._catalog()
        known = catalog.names.get(outcome.model)
        model = OTHER if known is None else known.id
        provider = outcome.provider
        if provider is None:
            provider = NONE
        elif provider not in catalog.providers:
            provider = OTHER
        name = outcome.endpoint, model, provider
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Series(*name)
        return series

    def series(self) -> list[Series]:
        """All there are, in the order in which they came up."""
        return list(self._series.values())

    def totals(self) -> Totals:
        """All calls since the start."""
        return Totals(self._calls, self._errors, self._tokens, self._cost_nano)
