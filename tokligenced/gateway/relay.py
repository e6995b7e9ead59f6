"""The path of a call: route, admit, hold, exchange, deliver, settle.

It yields a status, headers and bytes, and knows no web server; whoever serves it pulls chunks and gets
`CallError`s. Leaving the `async with` settles the call in one synchronous step, however it was left.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from msgspec import structs

from tokligenced.clock import Clock, Tasks
from tokligenced.domain import Call, Model, Principal, Usage
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed
from tokligenced.gateway.deadline import NO_DEADLINE, Deadline
from tokligenced.gateway.failover import Failover, Unfit
from tokligenced.gateway.kept import Kept
from tokligenced.gateway.ledger import Hold, Ledger
from tokligenced.gateway.lifecycle import Lifecycle
from tokligenced.gateway.limits import Admission, RateLimiter
from tokligenced.gateway.pricing import cost_nano, estimated_usage, expected_tokens, price_at
from tokligenced.gateway.quotes import Quote, quote
from tokligenced.gateway.repeats import Repeat, Repeats
from tokligenced.gateway.routing import Leg, Route, Router
from tokligenced.gateway.trail import Glimpse, Trail, client_left
from tokligenced.gateway.upstream import Upstream, UpstreamResponse
from tokligenced.providers.base import Exchange

# A client hears its stream's head after this long even when the provider is still thinking; from then on
# keep-alives can be sent, and another provider can't be tried any more.
HEAD_WAIT = 10.0
_LARGEST_ERROR = 64 * 1024

# After its client has left, a stream of a provider with `on_disconnect = "drain"` is read on for so long,
# and so many are at a time; beyond that it is closed as with "cancel".
_DRAIN_TIME = 60.0
_MOST_DRAINS = 100

_PROGRESS_ROUND = 1.0
_NOTHING = Usage()


class Relay:
    """Opens calls. `alert(provider, error)` is told what the operator has to mend."""

    def __init__(
        self,
        *,
        router: Router,
        limiter: RateLimiter,
        ledger: Ledger,
        upstream: Upstream,
        repeats: Repeats,
        failover: Failover,
        lifecycle: Lifecycle,
        clock: Clock,
        tasks: Tasks,
        alert: Callable[[str, UpstreamFailed], None],
    ) -> None:
        self.router = router
        self.limiter = limiter
        self.ledger = ledger
        self.upstream = upstream
        self.repeats = repeats
        self.failover = failover
        self.lifecycle = lifecycle
        self.clock = clock
        self.alert = alert
        self.calls: set[Passage] = set()
        self.streams: set[Passage] = set()
        self._tasks = tasks
        self._draining = 0

    def open(self, call: Call, principal: Principal, trail: Trail) -> "Passage":
        """A passage for one call, to be entered once; entering raises `CallError` on any refusal."""
        return Passage(self, call, principal, trail)

    def may_drain(self) -> bool:
        """Whether one more stream can be read on after its client has left."""
        return self._draining < _MOST_DRAINS

    def drain(self, passage: "Passage", error: BaseException | None) -> None:
        """Read a stream on after its client has left, then settle it."""

        async def read_on() -> None:
            # It may break off or last too long: what was counted by then is charged, as for any break.
            with contextlib.suppress(UpstreamFailed, TimeoutError):
                async with asyncio.timeout(_DRAIN_TIME):
                    async for _ in passage.chunks():
                        pass

        def over() -> None:
            self._draining -= 1
            passage.settle(error)

        # Counted before the task begins: a crowd that leaves at once is settled in one turn of the loop.
        self._draining += 1
        self._tasks.spawn("drain", read_on(), at_end=over)

    async def note_progress(self) -> None:
        """Go round for ever, having the file know what each open stream would be charged if we died now."""
        while True:
            await asyncio.sleep(_PROGRESS_ROUND)
            for passage in self.streams:
                passage.note_progress()


class Passage:
    """One call on its way through; not shared, not used twice.

    `body` is the whole answer, or what of a stream has come by the time it is opened; that of a `counting`
    call is empty where nobody could count.
    """

    def __init__(self, relay: Relay, call: Call, principal: Principal, trail: Trail) -> None:
        self._relay = relay
        self._call = call
        self._principal = principal
        self._trail = trail
        self._admission: Admission | None = None
        self._hold: Hold | None = None
        self._offer: Quote | None = None
        self._exchange: Exchange | None = None
        self._response: UpstreamResponse | None = None
        self._model: Model | None = None
        self._repeat: Repeat | None = None
        self._kept: Kept | None = None
        self._leg: Leg | None = None
        self._deadline = NO_DEADLINE
        self._drains = False
        self._void = False
        self._has_all = False
        self.body = b""
        self.content_type = ""

    async def __aenter__(self) -> Self:
        self._relay.lifecycle.enter()
        self._relay.calls.add(self)
        try:
            if not await self._given_before():
                route = self._relay.router.route(self._call, self._principal.key)
                self._model = route.model
                await self._admit(route.model)
                await self._connect(route)
        except BaseException as error:
            self.settle(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drains and self._response is not None and client_left(error) and self._relay.may_drain():
            self._trail.settled = True  # by the drain, at its end, and by nobody before
            self._relay.drain(self, error)
        else:
            self.settle(error)
            if self._repeat is not None and error is None:
                await self._repeat.landed()

    async def _given_before(self) -> bool:
        """Answer the call with what was answered before, where it repeats another one."""
        relay, call, principal = self._relay, self._call, self._principal
        self._repeat = repeat = await relay.repeats.look(call, principal, self._trail)
        if repeat.is_paid:
            self._admission = relay.limiter.admit(principal, 0)
            relay.ledger.note(*relay.limiter.writes(self._admission))
        elif repeat.kept is not None:
            self._model = relay.router.model(call.model, principal.key)
            await self._admit(self._model, repeat.kept)
        self._kept = kept = repeat.given(relay.clock.monotonic())
        if kept is None:
            return False
        self.body, self.content_type, self._has_all = kept.body, kept.content_type, True
        return True

    async def _admit(self, model: Model, kept: Kept | None = None) -> None:
        """Everything that may refuse the call, and the hold; nothing is sent before this is done."""
        relay, principal, call = self._relay, self._principal, self._call
        limiter = relay.limiter
        admission = limiter.admit(principal, 0 if call.counting else expected_tokens(call, model))
        self._admission = admission
        price = None if call.counting else price_at(model, self._trail.started_at)
        millionths = principal.payer.price_millionths
        if kept is not None:
            millionths = relay.repeats.part(millionths)
        if price is None or (kept is not None and not millionths):
            relay.ledger.note(*limiter.writes(admission))
            return
        try:
            known = None if kept is None else kept.usage
            spendable = relay.ledger.spendable(principal)
            self._offer = offer = quote(call, model, price, millionths, spendable, known=known)
            self._hold = relay.ledger.hold(
                self._trail.id,
                principal,
                offer,
                endpoint=self._trail.endpoint,
                model=model.id,
                stream=call.stream,
                also=limiter.writes(admission),
            )
        except CallError:
            self._admission = None
            limiter.undo(admission)
            raise
        if offer.output_limit is not None:
            self._call = structs.replace(call, imposed_output_tokens=offer.output_limit)
        if not self._hold.unlimited:
            await relay.ledger.secured(self._hold)

    async def _connect(self, route: Route) -> None:
        try:
            await self._relay.failover.run(route.legs, self._attempt, self._failed)
        except UpstreamFailed:
            if not self._call.counting:  # whoever asks for a count can do without
                raise

    def _failed(self, leg: Leg, error: UpstreamFailed) -> None:
        """Be done with an attempt that failed before the client got anything of it."""
        self._relay.streams.discard(self)
        if self._response is not None:
            self._response.close()
            self._response = None
        self._exchange = None
        self._relay.alert(leg.deployment.provider, error)

    async def _attempt(self, leg: Leg) -> None:
        assert self._model is not None  # noqa: S101 - set by `__aenter__`
        try:
            exchange = leg.provider.exchange(self._call, self._model, leg.deployment)
        except InvalidRequest as reason:
            raise Unfit(reason) from None
        self._trail.attempt(leg.deployment.provider, leg.deployment.model)
        self._leg = leg
        self._deadline = Deadline(leg.timeouts)
        if self._trail.sent is None:
            self._trail.sent = self._relay.clock.monotonic()
        response = self._response = await self._deadline.within(
            self._relay.upstream.send(leg.timed(exchange.request))
        )
        if response.status in leg.provider.settings.fail_over_on:
            raise UpstreamFailed(
                "upstream_error",
                f"The provider failed with status {response.status}.",
                detail=f"status {response.status}, which the configuration lists",
            )
        if not 200 <= response.status < 300:
            raise exchange.reject(response.status, response.headers, await response.read(_LARGEST_ERROR))
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise UpstreamFailed(
                "upstream_error", "The provider sent compressed bytes that nobody asked for."
            )
        usual = "text/event-stream" if self._call.stream else "application/json"
        self.content_type = exchange.content_type or response.headers.get("Content-Type", usual)
        self._exchange = exchange
        if self._call.stream:
            self._drains = leg.provider.settings.on_disconnect == "drain"
            self._relay.streams.add(self)
            try:
                async with asyncio.timeout(HEAD_WAIT):
                    self.body = await self._next(exchange, response)
            except TimeoutError:
                self.body = b""
        else:
            answer = await self._deadline.within(response.read())
            self._trail.answered = self._relay.clock.monotonic()
            self.body = exchange.feed(answer) + exchange.finish()
            self._trail.first_byte = self._relay.clock.monotonic()

    async def _next(self, exchange: Exchange, response: UpstreamResponse) -> bytes:
        while chunk := await self._arrival(exchange, response):
            if out := exchange.feed(chunk):
                if self._trail.first_byte is None:
                    self._trail.first_byte = self._relay.clock.monotonic()
                return out
        self._response = None
        return exchange.finish()

    async def _arrival(self, exchange: Exchange, response: UpstreamResponse) -> bytes:
        # Whoever waits here has handed over all that came before.
        self._has_all = exchange.complete
        chunk = await self._deadline.within(response.next())
        self._deadline.first_byte_came()
        self._has_all = False
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """The rest of a stream after `body`. Raises `UpstreamFailed` when it breaks off."""
        exchange = self._exchange
        while self._response is not None:
            assert exchange is not None  # noqa: S101 - set by `_attempt` before anyone can ask
            out = await self._next(exchange, self._response)
            if out:
                if self._repeat is not None:
                    self._repeat.add(out)
                yield out
        self._has_all = True

    def failure(self, error: CallError) -> bytes:
        """What tells the client that its stream broke off."""
        # Of an answer given before nothing is left to be said.
        return b"" if self._exchange is None else self._exchange.fail(error)

    def glimpse(self) -> Glimpse:
        """How the call is doing."""
        model = self._model.id if self._model is not None else ""
        return Glimpse(trail=self._trail, principal=self._principal, model=model, usage=self._usage())

    def note_progress(self) -> None:
        """Have the file know what the call would be charged if the process died now."""
        if self._hold is not None:
            self._relay.ledger.progress(self._hold, self._cost(self._usage()))

    def _usage(self) -> Usage:
        if self._kept is not None:
            return self._kept.usage
        exchange = self._exchange
        if exchange is None or self._void:
            return _NOTHING
        told = exchange.usage
        if told is None or told.estimated or self._beyond_window(told):
            return estimated_usage(self._call, exchange.delivered, told)
        if unheard := exchange.delivered - exchange.told_at:
            # Told in mid-stream, and output went on after it.
            more = estimated_usage(self._call, unheard).output
            return structs.replace(told, output=told.output + more, estimated=True)
        return told

    def _beyond_window(self, usage: Usage) -> bool:
        model = self._model
        return model is not None and (
            usage.prompt_tokens > model.context_window * self._call.inputs
            or usage.completion_tokens
            > max(model.context_window, model.max_output_tokens) * self._call.choices
        )

    def _doubt_usage(self) -> None:
        """Tell the operator when the upstream's own count was not believed."""
        exchange = self._exchange
        if exchange is None or self._trail.provider is None:
            return
        if exchange.disbelieved or (exchange.usage is not None and self._beyond_window(exchange.usage)):
            doubt = UpstreamFailed(
                "usage_disbelieved", "The provider told a usage that can't be; it was counted here."
            )
            self._relay.alert(self._trail.provider, doubt)

    def _cost(self, usage: Usage) -> int:
        if usage is _NOTHING or self._offer is None:
            return 0
        return cost_nano(usage, self._offer.price, self._offer.price_millionths)

    def _tell_breaker(self, error: BaseException | None) -> None:
        """Note how an answer ended that had begun; one that its client left tells nothing."""
        if self._leg is None or self._exchange is None:
            return
        breaker = self._relay.failover.breakers.of(self._leg.deployment)
        if isinstance(error, UpstreamFailed):
            self._relay.alert(self._leg.deployment.provider, error)
            breaker.failed(self._relay.clock.monotonic())
        elif error is None:
            breaker.succeeded(self._relay.clock.monotonic())

    def settle(self, error: BaseException | None) -> None:
        """End the call in the books; synchronous, so that no cancellation can come in between."""
        relay, trail = self._relay, self._trail
        relay.calls.discard(self)
        relay.streams.discard(self)
        if client_left(error) and self._has_all:
            error = None  # it has what it came for, and is free to close the connection first
        whole = error is None and not (self._call.stream and self._response)
        if self._response is not None:
            self._response.close()
            self._response = None
        self._tell_breaker(error)
        if isinstance(error, CallError) and self._exchange is not None:
            self._void = not self._exchange.delivered  # it failed before any output, and costs nothing
        self._doubt_usage()
        trail.usage = self._usage()
        trail.cost_nano = self._cost(trail.usage)
        if error is not None:
            trail.failed(error)
        if self._admission is not None:
            relay.limiter.release(self._admission, trail.usage.total_tokens)
        relay.lifecycle.leave()
        outcome = trail.outcome(relay.clock.monotonic())
        also = []
        if (repeat := self._repeat) is not None:
            repeat.release()
            if whole:
                also = repeat.keep(self._call, self.body, self.content_type, trail.usage)
        trail.cost_nano = relay.ledger.settle(self._hold, outcome, self._principal, also).cost_nano
        trail.settled = True
