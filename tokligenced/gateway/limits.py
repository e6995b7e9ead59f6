"""Rate limits: per key a bucket of requests, a bucket of tokens, and a count of running calls.

Admission is one synchronous step on the loop, so parallel calls can't race past a limit. Inside all is
monotonic time; only the headers speak of the wall clock.
"""

import math
from collections.abc import Callable

from msgspec import Struct

from tokligenced.clock import Clock
from tokligenced.domain import Key, Limits
from tokligenced.errors import RateLimited

_MINUTE = 60.0
_LONGEST_WAIT = 60


class Bucket:
    """A rate limiter: it holds `capacity`, refills evenly within a minute, and may be overdrawn."""

    __slots__ = ("_at", "_level", "_rate", "capacity")

    def __init__(self, capacity: int, now: float) -> None:
        self.capacity = capacity
        self._rate = capacity / _MINUTE
        self._level = float(capacity)
        self._at = now

    def level(self, now: float) -> float:
        """What is in it; below zero after a correction that it could not cover."""
        return min(self.capacity, self._level + (now - self._at) * self._rate)

    def take(self, amount: float, now: float) -> None:
        """Take out `amount`, or put it back where it is negative."""
        self._level = min(self.capacity, self.level(now) - amount)
        self._at = now

    def wait(self, amount: float, now: float) -> float:
        """The seconds until `amount` is there; 0 when it is."""
        return max(0.0, (amount - self.level(now)) / self._rate)

    def resize(self, capacity: int, now: float) -> None:
        """Change the capacity, keeping what has been used up as it is."""
        used = self.capacity - self.level(now)
        self.capacity = capacity
        self._rate = capacity / _MINUTE
        self._level = capacity - used
        self._at = now


class Admission(Struct, frozen=True):
    """Leave to run one call; given back by `RateLimiter.release`."""

    key: Key
    tokens: int


class _State:
    __slots__ = ("requests", "running", "tokens")

    def __init__(self, limits: Limits, now: float) -> None:
        self.requests = Bucket(limits.requests_per_minute or 1, now)
        self.tokens = Bucket(limits.tokens_per_minute or 1, now)
        self.running = 0


class RateLimiter:
    """The limits of all keys. `defaults` is asked at each call, so that a reload takes effect at once."""

    def __init__(self, clock: Clock, defaults: Callable[[], Limits]) -> None:
        self._clock = clock
        self._defaults = defaults
        self._states: dict[str, _State] = {}

    def admit(self, key: Key, tokens: int) -> Admission:
        """Let a call in that is expected to take `tokens`, or raise `RateLimited`; refusals take nothing.

        A call larger than the whole bucket is let in when the bucket is full.
        """
        now = self._clock.monotonic()
        limits, state = self._state(key, now)
        if state.running >= (limits.concurrency or 1):
            raise _refused("concurrency", f"{limits.concurrency} calls at a time", 1.0)
        tokens = min(tokens, state.tokens.capacity)
        if wait := state.requests.wait(1, now):
            raise _refused("requests_per_minute", f"{limits.requests_per_minute} requests per minute", wait)
        if wait := state.tokens.wait(tokens, now):
            raise _refused("tokens_per_minute", f"{limits.tokens_per_minute} tokens per minute", wait)
        state.requests.take(1, now)
        state.tokens.take(tokens, now)
        state.running += 1
        return Admission(key, tokens)

    def release(self, admission: Admission, tokens: int) -> None:
        """End a call that took `tokens` in truth; the bucket is corrected by the difference."""
        state = self._states[admission.key.id]
        state.running -= 1
        if tokens != admission.tokens:
            state.tokens.take(tokens - admission.tokens, self._clock.monotonic())

    def headers(self, key: Key) -> dict[str, str]:
        """The state of the key's buckets, for an answer.

        `Reset` is the wall time, in full seconds, at which an emptied bucket admits the next request, or
        one that is not empty is full again; OpenAI's form gives the same as a duration.
        """
        now = self._clock.monotonic()
        wall = self._clock.wall_ms() / 1000
        _, state = self._state(key, now)
        requests, request_wait = _remaining(state.requests, now)
        tokens, token_wait = _remaining(state.tokens, now)
        limit = str(state.requests.capacity)
        return {
            "X-RateLimit-Limit": limit,
            "X-RateLimit-Remaining": requests,
            "X-RateLimit-Reset": str(math.ceil(wall + request_wait)),
            "x-ratelimit-limit-requests": limit,
            "x-ratelimit-remaining-requests": requests,
            "x-ratelimit-reset-requests": f"{request_wait:.3f}s",
            "x-ratelimit-limit-tokens": str(state.tokens.capacity),
            "x-ratelimit-remaining-tokens": tokens,
            "x-ratelimit-reset-tokens": f"{token_wait:.3f}s",
        }

    def _state(self, key: Key, now: float) -> tuple[Limits, _State]:
        limits = effective(key.limits, self._defaults())
        state = self._states.get(key.id)
        if state is None:
            state = self._states[key.id] = _State(limits, now)
            return limits, state
        if state.requests.capacity != limits.requests_per_minute:
            state.requests.resize(limits.requests_per_minute or 1, now)
        if state.tokens.capacity != limits.tokens_per_minute:
            state.tokens.resize(limits.tokens_per_minute or 1, now)
        return limits, state


def effective(limits: Limits, defaults: Limits) -> Limits:
    """The key's own limits, and the defaults where it sets none."""
    if limits.requests_per_minute and limits.tokens_per_minute and limits.concurrency:
        return limits
    return Limits(
        requests_per_minute=limits.requests_per_minute or defaults.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute or defaults.tokens_per_minute,
        concurrency=limits.concurrency or defaults.concurrency,
    )


def _remaining(bucket: Bucket, now: float) -> tuple[str, float]:
    level = bucket.level(now)
    left = max(0, math.floor(level))
    return str(left), bucket.wait(bucket.capacity if left else 1, now)


def _refused(code: str, limit: str, wait: float) -> RateLimited:
    seconds = max(1, min(_LONGEST_WAIT, math.ceil(wait)))
    return RateLimited(code, f"Rate limit reached: {limit}. Try again in {seconds} s.", retry_after=seconds)
