"""The path of a call: route, admit, exchange, deliver, settle.

It yields a status, headers and bytes, and knows no web server; whoever serves it pulls chunks and gets
`CallError`s. Leaving the `async with` settles the call in one synchronous step, however it was left.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from tokligenced.clock import Clock
from tokligenced.domain import Call, Principal
from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.lifecycle import Lifecycle
from tokligenced.gateway.limits import Admission, RateLimiter
from tokligenced.gateway.pricing import cost_nano, estimated_usage, expected_tokens, price_at
from tokligenced.gateway.routing import Leg, Route, Router
from tokligenced.gateway.trail import Trail
from tokligenced.gateway.upstream import Upstream, UpstreamResponse
from tokligenced.providers.base import Exchange

# A client hears its stream's head after this long even when the provider is still thinking; from then on
# keep-alives can be sent, and another provider can't be tried any more.
HEAD_WAIT = 10.0
_LARGEST_ERROR = 64 * 1024


class Relay:
    """Opens calls. `alert(provider, error)` is told what the operator has to mend."""

    def __init__(
        self,
        *,
        router: Router,
        limiter: RateLimiter,
        ledger: Ledger,
        upstream: Upstream,
        lifecycle: Lifecycle,
        clock: Clock,
        alert: Callable[[str, UpstreamFailed], None],
    ) -> None:
        self.router = router
        self.limiter = limiter
        self.ledger = ledger
        self.upstream = upstream
        self.lifecycle = lifecycle
        self.clock = clock
        self.alert = alert

    def open(self, call: Call, principal: Principal, trail: Trail) -> "Passage":
        """A passage for one call, to be entered once; entering raises `CallError` on any refusal."""
        return Passage(self, call, principal, trail)


class Passage:
    """One call on its way through; not shared, not used twice."""

    def __init__(self, relay: Relay, call: Call, principal: Principal, trail: Trail) -> None:
        self._relay = relay
        self._call = call
        self._principal = principal
        self._trail = trail
        self._admission: Admission | None = None
        self._route: Route | None = None
        self._exchange: Exchange | None = None
        self._response: UpstreamResponse | None = None
        self.body = b""
        self.content_type = ""

    async def __aenter__(self) -> Self:
        relay, call = self._relay, self._call
        relay.lifecycle.enter()
        try:
            self._route = relay.router.route(call, self._principal.key)
            self._admission = relay.limiter.admit(
                self._principal.key, expected_tokens(call, self._route.model)
            )
            await self._connect(self._route)
        except BaseException as error:
            self._settle(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle(error)

    async def _connect(self, route: Route) -> None:
        for leg in route.legs:
            self._trail.attempt(leg.deployment.provider, leg.deployment.model)
            try:
                await self._attempt(leg)
            except UpstreamFailed as error:
                if self._response is not None:
                    self._response.close()
                    self._response = None
                self._exchange = None
                self._relay.alert(leg.deployment.provider, error)
                if leg is route.legs[-1] or not error.safe_to_retry:
                    raise
            else:
                return

    async def _attempt(self, leg: Leg) -> None:
        exchange = leg.provider.exchange(self._call, leg.deployment)
        response = self._response = await self._relay.upstream.send(exchange.request)
        if not 200 <= response.status < 300:
            raise exchange.reject(response.status, response.headers, await response.read(_LARGEST_ERROR))
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise UpstreamFailed(
                "upstream_error", "The provider sent compressed bytes that nobody asked for."
            )
        self.content_type = response.headers.get("Content-Type", "application/json")
        if self._call.stream:
            self._exchange = exchange
            try:
                async with asyncio.timeout(HEAD_WAIT):
                    self.body = await self._next(exchange, response)
            except TimeoutError:
                self.body = b""
        else:
            whole = exchange.feed(await response.read())
            self.body = whole + exchange.finish()
            self._exchange = exchange
            self._trail.first_byte = self._relay.clock.monotonic()

    async def _next(self, exchange: Exchange, response: UpstreamResponse) -> bytes:
        while chunk := await response.next():
            if out := exchange.feed(chunk):
                if self._trail.first_byte is None:
                    self._trail.first_byte = self._relay.clock.monotonic()
                return out
        self._response = None
        return exchange.finish()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The rest of a stream after `body`. Raises `UpstreamFailed` when it breaks off."""
        exchange = self._exchange
        assert exchange is not None  # noqa: S101 - set by `_attempt` before anyone can ask
        while self._response is not None:
            out = await self._next(exchange, self._response)
            if out:
                yield out

    def _settle(self, error: BaseException | None) -> None:
        # Synchronous, so that no cancellation can come in between.
        call, trail = self._call, self._trail
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._exchange is not None and self._route is not None:
            exchange = self._exchange
            trail.usage = exchange.usage or estimated_usage(call, exchange.delivered)
            trail.cost_nano = cost_nano(trail.usage, price_at(self._route.model, trail.started_at))
        if error is not None:
            trail.failed(error)
        if self._admission is not None:
            self._relay.limiter.release(self._admission, trail.usage.total_tokens)
        self._relay.lifecycle.leave()
        self._relay.ledger.settle(trail.outcome(self._relay.clock.monotonic()), self._principal)
        trail.settled = True
