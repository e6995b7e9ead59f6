"""What is known of a call so far: it grows on the way and becomes the call's outcome at the end."""

import asyncio
from typing import Literal

from msgspec import Struct

from tokligenced.domain import Outcome, Principal, Usage
from tokligenced.errors import CallError

# What nginx logs for a client that left; no client ever sees it.
CLIENT_LEFT = 499


def client_left(error: BaseException | None) -> bool:
    """Whether a call ended because its client went away."""
    if isinstance(error, asyncio.CancelledError):
        return not (error.args and isinstance(error.args[0], CallError))
    return isinstance(error, ConnectionError | GeneratorExit)


class Trail:
    """One call's trail. `started_at` is Unix milliseconds, all other times are monotonic.

    By `received` the body was there, at `sent` it first left for an upstream, by `answered` a whole answer
    was there: what lies before `sent` and after `answered` is the gateway's own time.

    `idempotency_key` and `cache_control` are headers of the request that bear on which answer it gets.
    `cache` says whether that came out of the cache, None for a call that is not for it; `replayed`, that it
    is the answer to the same idempotency key.
    """

    __slots__ = (
        "answered",
        "attempts",
        "cache",
        "cache_control",
        "cost_nano",
        "endpoint",
        "error",
        "first_byte",
        "id",
        "idempotency_key",
        "model",
        "principal",
        "provider",
        "received",
        "replayed",
        "sent",
        "settled",
        "started",
        "started_at",
        "status",
        "stream",
        "upstream_model",
        "usage",
    )

    def __init__(self, call_id: str, endpoint: str, *, started_at: int, started: float) -> None:
        self.id = call_id
        self.endpoint = endpoint
        self.started_at = started_at
        self.started = self.received = started
        self.sent: float | None = None
        self.answered: float | None = None
        self.principal: Principal | None = None
        self.model = ""
        self.stream = False
        self.status = 200
        self.error: str | None = None
        self.provider: str | None = None
        self.upstream_model: str | None = None
        self.attempts = 0
        self.usage = Usage()
        self.cost_nano = 0
        self.first_byte: float | None = None
        self.settled = False
        self.idempotency_key: str | None = None
        self.cache_control: str | None = None
        self.cache: Literal["hit", "miss"] | None = None
        self.replayed = False

    def attempt(self, provider: str, upstream_model: str) -> None:
        """Note that a deployment is tried."""
        self.attempts += 1
        self.provider = provider
        self.upstream_model = upstream_model

    def failed(self, error: BaseException) -> None:
        """Note what ended the call: a refusal, the client's leaving, or a fault of ours.

        A cancellation may carry the refusal it stands for.
        """
        if client_left(error):
            self.status = CLIENT_LEFT
            self.error = "client_left"
            return
        if isinstance(error, asyncio.CancelledError):
            error = error.args[0]
        if isinstance(error, CallError):
            self.status = error.status
            self.error = error.code
        else:
            self.status = 500
            self.error = "internal_error"

    def outcome(self, now: float) -> Outcome:
        """The call as it goes into the books at the monotonic time `now`."""
        principal = self.principal
        overhead = None
        if self.sent is not None:
            overhead = self.sent - self.received
            if self.answered is not None:
                overhead += now - self.answered
        return Outcome(
            id=self.id,
            started_at=self.started_at,
            key_id=principal.key.id if principal else "",
            payer_id=principal.payer.id if principal else "",
            endpoint=self.endpoint,
            model=self.model,
            stream=self.stream,
            status=self.status,
            error=self.error,
            provider=self.provider,
            upstream_model=self.upstream_model,
            attempts=self.attempts,
            usage=self.usage,
            cost_nano=self.cost_nano,
            first_byte=None if self.first_byte is None else self.first_byte - self.started,
            duration=now - self.started,
            overhead=overhead,
        )


class Glimpse(Struct, frozen=True, kw_only=True):
    """A call on its way: `model` is the catalog's id for it, empty before it is known; `usage` grows."""

    trail: Trail
    principal: Principal
    model: str
    usage: Usage
