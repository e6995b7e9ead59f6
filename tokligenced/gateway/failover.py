"""Which deployment to try next: retries with full jitter, fail-over, breakers, all within one deadline.

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tokligenced.clock import Clock
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed
from tokligenced.gateway.breaker import Breakers
from tokligenced.gateway.routing import Leg

_FIRST_PAUSE = 0.25
_LAST_PAUSE = 4.0
# Who is asked to wait longer than this is better served elsewhere, or told so.
_LONGEST_WAIT = 10.0


class Unfit(Exception):
    """A deployment that can't serve the call at all; `reason` says why. Nothing was sent."""

    def __init__(self, reason: InvalidRequest) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Failover:
    """Tries deployments until one answers. `chance` gives floats in [0, 1), `sleep` waits seconds."""

    def __init__(
        self,
        breakers: Breakers,
        clock: Clock,
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.breakers = breakers
        self._clock = clock
        self._chance = chance
        self._sleep = sleep

    async def run(
        self,
        legs: Sequence[Leg],
        attempt: Callable[[Leg], Awaitable[None]],
        failed: Callable[[Leg, UpstreamFailed], None],
    ) -> None:
        """Have the call attempted at `legs`, in their order, each as often as its provider wants.

        `failed` is told of each attempt that failed. Raises what the last attempt raised, or, where no
        deployment can serve the call, the first one's reason.
        """
        started = self._clock.monotonic()
        last: CallError | None = None
        for leg in self.breakers.admitted(legs, started):
            try:
                error = await self._try(leg, attempt, failed, started)
            except Unfit as unfit:
                last = last or unfit.reason
                continue
            if error is None:
                return
            last = error
            if not (error.safe_to_retry or leg.provider.settings.retry_after_send):
                break
        if last is not None:
            raise last

    async def _try(
        self,
        leg: Leg,
        attempt: Callable[[Leg], Awaitable[None]],
        failed: Callable[[Leg, UpstreamFailed], None],
        started: float,
    ) -> UpstreamFailed | None:
        """Attempt one deployment; None when it answered, else its last failure."""
        settings = leg.provider.settings
        number = 0
        while True:
            try:
                await self._once(leg, attempt)
            except UpstreamFailed as error:
                failed(leg, error)
                if number < len(settings.more_keys) and _is_about_the_key(error):
                    number += 1
                    continue  # the next key may do better at once
                pause = self._pause(number, error)
                over = started + leg.timeouts.total if leg.timeouts.total is not None else None
                late = pause > _LONGEST_WAIT or (over is not None and self._clock.monotonic() + pause >= over)
                unsafe = not (error.safe_to_retry or settings.retry_after_send)
                if number >= settings.retries or error.operator_fault or unsafe or late:
                    return error
                await self._sleep(pause)
                number += 1
            else:
                return None

    def _pause(self, number: int, error: UpstreamFailed) -> float:
        longest: float = min(_LAST_PAUSE, _FIRST_PAUSE * 2**number)
        return max(self._chance() * longest, error.asked_wait or 0.0)

    async def _once(self, leg: Leg, attempt: Callable[[Leg], Awaitable[None]]) -> None:
        breaker = self.breakers.of(leg.deployment)
        breaker.begin()
        try:
            await attempt(leg)
        except UpstreamFailed as error:
            breaker.failed(self._clock.monotonic(), error.asked_wait)
            raise
        except InvalidRequest:
            breaker.succeeded(self._clock.monotonic())
            raise
        except BaseException:
            breaker.abandoned()
            raise
        breaker.answers()  # whether it was a success shows at its end


def _is_about_the_key(error: UpstreamFailed) -> bool:
    return error.operator_fault or error.code == "upstream_rate_limited"
