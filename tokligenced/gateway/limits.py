"""Rate limits: of each key, and of the organization it belongs to, where that has any.

A bucket of requests, a bucket of tokens and a count of running calls for each. Admission is one
synchronous step on the loop, so parallel calls can't race past a limit. Inside all is monotonic time;
only the headers and the file speak of the wall clock.
"""

import math
from collections.abc import Callable, Mapping

from tokligenced.clock import Clock
from tokligenced.domain import Limits, Organization, Principal
from tokligenced.errors import RateLimited
from tokligenced.store.buckets import BUCKETS
from tokligenced.store.statements import Params, Write

_MINUTE = 60.0


class Bucket:
    """A rate limiter: it holds `capacity`, refills evenly within a minute, and may be overdrawn.

    `level` is what was in it when `refill` was last called.
    """

    __slots__ = ("_at", "_rate", "capacity", "level")

    def __init__(self, capacity: int, now: float, level: float | None = None) -> None:
        self.capacity = capacity
        self.level = float(capacity) if level is None else level
        self._rate = capacity / _MINUTE
        self._at = now

    def refill(self, now: float) -> float:
        """Bring `level` up to date; below zero after a correction that it could not cover."""
        level = self.level + (now - self._at) * self._rate
        self.level = level if level < self.capacity else float(self.capacity)
        self._at = now
        return self.level

    def take(self, amount: float) -> None:
        """Take out `amount`, or put it back where it is negative."""
        self.level = min(self.capacity, self.level - amount)

    def wait(self, amount: float) -> float:
        """The seconds until `amount` is there; 0 when it is."""
        missing = amount - self.level
        return missing / self._rate if missing > 0 else 0.0

    def resize(self, capacity: int, now: float) -> None:
        """Change the capacity, keeping what has been used up as it is."""
        used = self.capacity - self.refill(now)
        self.capacity = capacity
        self.level = capacity - used
        self._rate = capacity / _MINUTE


class _Scope:
    """The state of one owner of limits: a key or an organization."""

    __slots__ = ("concurrency", "owner", "requests", "running", "tokens")

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.concurrency: int | None = None
        self.running = 0

    def refusals(self, tokens: int, now: float) -> list[RateLimited]:
        """Every reason why a call can't get in; takes nothing."""
        found = []
        if self.concurrency is not None and self.running >= self.concurrency:
            found.append(_refused("concurrency", f"{self.concurrency} calls at a time", 1.0))
        if (requests := self.requests) is not None and requests.refill(now) < 1:
            limit = f"{requests.capacity} requests per minute"
            found.append(_refused("requests_per_minute", limit, requests.wait(1)))
        if (bucket := self.tokens) is not None and bucket.refill(now) < tokens:
            limit = f"{bucket.capacity} tokens per minute"
            found.append(_refused("tokens_per_minute", limit, bucket.wait(tokens)))
        return found

    def refill(self, now: float) -> None:
        """Bring the buckets up to date."""
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.refill(now)

    def row(self, at: int) -> Params:
        """What `BUCKETS` writes, at a Unix millisecond."""
        requests, tokens = self.requests, self.tokens
        return (
            self.owner,
            None if requests is None else requests.level,
            None if tokens is None else tokens.level,
            at,
        )


class Admission:
    """Leave to run one call; ended once, by `RateLimiter.release` or `RateLimiter.undo`."""

    __slots__ = ("scopes", "tokens")

    def __init__(self, scopes: tuple[_Scope, ...], tokens: int) -> None:
        self.scopes = scopes
        self.tokens = tokens


class RateLimiter:
    """All limits. `defaults` is asked at each call, so that a reload takes effect at once.

    `saved` are the levels that an earlier process left: see `store.buckets.load`.
    """

    def __init__(
        self,
        clock: Clock,
        defaults: Callable[[], Limits],
        saved: Mapping[str, tuple[float | None, float | None, int]] | None = None,
    ) -> None:
        self._clock = clock
        self._defaults = defaults
        self._saved = dict(saved or {})
        self._scopes: dict[str, _Scope] = {}

    def admit(self, principal: Principal, tokens: int) -> Admission:
        """Let a call in that is expected to take `tokens`, or raise `RateLimited`; refusals take nothing."""
        now = self._clock.monotonic()
        scopes = self._scopes_of(principal, now)
        for scope in scopes:
            # A call larger than a whole bucket is let in when the bucket is full.
            tokens = min(tokens, scope.tokens.capacity) if scope.tokens is not None else tokens
        refusals = [refusal for scope in scopes for refusal in scope.refusals(tokens, now)]
        if refusals:
            # The one that lasts longest says when the same call really gets in.
            raise max(refusals, key=lambda refusal: refusal.wait)
        for scope in scopes:
            scope.running += 1
            if scope.requests is not None:
                scope.requests.take(1)
            if scope.tokens is not None:
                scope.tokens.take(tokens)
        return Admission(scopes, tokens)

    def release(self, admission: Admission, tokens: int) -> None:
        """End a call that took `tokens` in truth; the buckets are corrected by the difference."""
        now = self._clock.monotonic()
        for scope in admission.scopes:
            scope.running -= 1
            if scope.tokens is not None:
                scope.tokens.refill(now)
                scope.tokens.take(tokens - admission.tokens)

    def undo(self, admission: Admission) -> None:
        """Take an admission back as if it had not been: the call was refused after it."""
        self.release(admission, 0)
        for scope in admission.scopes:
            if scope.requests is not None:
                scope.requests.take(-1)

    def writes(self, admission: Admission) -> list[Write]:
        """What the file must know of the buckets that an admission has just touched.

        It belongs in the commit of the hold. The correction at a call's end goes with the next one.
        """
        at = self._clock.wall_ms()
        return [(BUCKETS, scope.row(at)) for scope in admission.scopes]

    def all_writes(self) -> list[Write]:
        """What the file must know at a clean stop."""
        now, at = self._clock.monotonic(), self._clock.wall_ms()
        for scope in self._scopes.values():
            scope.refill(now)
        return [(BUCKETS, scope.row(at)) for scope in self._scopes.values()]

    def headers(self, principal: Principal, refused: RateLimited | None = None) -> dict[str, str]:
        """The state of the tightest buckets, for an answer.

        `Reset` is a wall time in full seconds: for a call that was `refused`, when it would get in; else when
        an emptied bucket admits the next request, or one that is not empty is full again. OpenAI's form gives
        the latter as a duration.
        """
        now = self._clock.monotonic()
        wall = self._clock.wall_ms() / 1000
        scopes = self._scopes_of(principal, now)
        requests = [scope.requests for scope in scopes if scope.requests is not None]
        tokens = [scope.tokens for scope in scopes if scope.tokens is not None]
        limit, left, wait = _tightest(requests, now)
        reset = wait if refused is None else refused.wait
        token_limit, tokens_left, token_wait = _tightest(tokens, now)
        return {
            "X-RateLimit-Limit": limit,
            "X-RateLimit-Remaining": left,
            "X-RateLimit-Reset": str(math.ceil(wall + reset)),
            "x-ratelimit-limit-requests": limit,
            "x-ratelimit-remaining-requests": left,
            "x-ratelimit-reset-requests": f"{wait:.3f}s",
            "x-ratelimit-limit-tokens": token_limit,
            "x-ratelimit-remaining-tokens": tokens_left,
            "x-ratelimit-reset-tokens": f"{token_wait:.3f}s",
        }

    def _scopes_of(self, principal: Principal, now: float) -> tuple[_Scope, ...]:
        key = self._scope(principal.key.id, effective(principal.key.limits, self._defaults()), now)
        payer = principal.payer
        if isinstance(payer, Organization) and payer.limits != _NO_LIMITS:
            return key, self._scope(payer.id, payer.limits, now)
        return (key,)

    def _scope(self, owner: str, limits: Limits, now: float) -> _Scope:
        scope = self._scopes.get(owner)
        if scope is None:
            scope = self._scopes[owner] = self._remembered(owner, limits, now)
        scope.concurrency = limits.concurrency
        scope.requests = _fitted(scope.requests, limits.requests_per_minute, now)
        scope.tokens = _fitted(scope.tokens, limits.tokens_per_minute, now)
        return scope

    def _remembered(self, owner: str, limits: Limits, now: float) -> _Scope:
        scope = _Scope(owner)
        requests, tokens, at = self._saved.pop(owner, (None, None, 0))
        # A wall clock that was set back in between adds nothing.
        then = now - max(0, self._clock.wall_ms() - at) / 1000
        if requests is not None and limits.requests_per_minute is not None:
            scope.requests = Bucket(limits.requests_per_minute, then, requests)
        if tokens is not None and limits.tokens_per_minute is not None:
            scope.tokens = Bucket(limits.tokens_per_minute, then, tokens)
        return scope


def _fitted(bucket: Bucket | None, capacity: int | None, now: float) -> Bucket | None:
    """The bucket with this capacity, made or changed where needed; None where there is no limit."""
    if capacity is None:
        return None
    if bucket is None:
        return Bucket(capacity, now)
    if bucket.capacity != capacity:
        bucket.resize(capacity, now)
    return bucket


_NO_LIMITS = Limits()


def effective(limits: Limits, defaults: Limits) -> Limits:
    """The key's own limits, and the defaults where it sets none."""
    if limits == _NO_LIMITS:
        return defaults
    return Limits(
        requests_per_minute=limits.requests_per_minute or defaults.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute or defaults.tokens_per_minute,
        concurrency=limits.concurrency or defaults.concurrency,
    )


def _tightest(buckets: list[Bucket], now: float) -> tuple[str, str, float]:
    """Capacity and level of the emptiest bucket as headers show them, and the seconds until its reset.

    A key always has buckets, because the configuration has defaults for all limits.
    """
    for bucket in buckets:
        bucket.refill(now)
    bucket = buckets[0] if len(buckets) == 1 else min(buckets, key=lambda each: each.level)
    left = int(bucket.level) if bucket.level >= 1 else 0
    return str(bucket.capacity), str(left), bucket.wait(bucket.capacity if left else 1)


def _refused(code: str, limit: str, wait: float) -> RateLimited:
    return RateLimited(code, f"Rate limit reached: {limit}. Try again in {math.ceil(wait)} s.", wait=wait)
