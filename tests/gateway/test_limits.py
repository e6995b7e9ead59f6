"""Rate limits: never one call more than the limit, and headers that tell the truth."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.domain import Account, Key, Limits, Organization, Principal
from tokligenced.errors import RateLimited
from tokligenced.gateway.limits import Bucket, RateLimiter


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + round((self.now - 1000.0) * 1000)


ACCOUNT = Account(id="acct_1", email="a@example.com", created_at=0)


def key(number: int = 1, payer: Account | Organization = ACCOUNT, **limits: int) -> Principal:
    return Principal(
        key=Key(
            id=f"key_{number}",
            digest=b"",
            prefix="tk-abcdef",
            name="n",
            payer_kind="account",
            payer_id=payer.id,
            limits=Limits(**limits),
            created_at=0,
        ),
        payer=payer,
    )


DEFAULTS = Limits(requests_per_minute=60, tokens_per_minute=1000, concurrency=5)


def limiter(clock: Hands) -> RateLimiter:
    return RateLimiter(clock, lambda: DEFAULTS)


def assert_refused(limits: RateLimiter, who: Principal, tokens: int, code: str) -> RateLimited:
    with pytest.raises(RateLimited) as refused:
        limits.admit(who, tokens)
    error = refused.value
    assert (error.status, error.code) == (429, code)
    assert error.retry_after is not None
    assert 1 <= error.retry_after <= 60
    return error


def test_exactly_the_limit_is_admitted_at_once() -> None:
    """Of 200 calls at one moment on a limit of 60, 60 are admitted."""
    limits, who = limiter(Hands()), key(concurrency=1000)
    admitted = 0
    for _ in range(200):
        try:
            limits.admit(who, 1)
        except RateLimited:
            continue
        admitted += 1
    assert admitted == 60


@pytest.mark.parametrize("kind", ["requests_per_minute", "tokens_per_minute"])
def test_a_refused_call_is_admitted_at_the_time_it_was_told(kind: str) -> None:
    """`Retry-After` and `X-RateLimit-Reset` name a moment at which the same call gets in."""
    clock = Hands()
    limits = limiter(clock)
    who = key(requests_per_minute=7, tokens_per_minute=100, concurrency=1000)
    tokens = 1 if kind == "requests_per_minute" else 33
    with pytest.raises(RateLimited) as refused:
        for _ in range(10):
            limits.admit(who, tokens)
    assert refused.value.code == kind
    reset = int(limits.headers(who, refused.value)["X-RateLimit-Reset"])
    assert 0 <= reset - clock.wall_ms() / 1000 - refused.value.wait <= 1
    clock.now += refused.value.retry_after - 1.01
    assert_refused(limits, who, tokens, kind)
    clock.now += 1.01
    limits.admit(who, tokens)


def test_concurrency_counts_running_calls() -> None:
    """The sixth call of five at a time is refused until one ends."""
    limits, who = limiter(Hands()), key()
    running = [limits.admit(who, 1) for _ in range(5)]
    assert_refused(limits, who, 1, "concurrency")
    limits.release(running[0], 1)
    limits.admit(who, 1)


def test_a_refusal_takes_nothing() -> None:
    """A call refused for its tokens does not use up a request, nor a place."""
    limits, who = limiter(Hands()), key()
    limits.admit(who, 1000)
    before = limits.headers(who)
    assert_refused(limits, who, 1, "tokens_per_minute")
    assert limits.headers(who) == before


def test_the_estimate_is_corrected_at_the_end() -> None:
    """What a call did not use comes back; what it used beyond the estimate is owed."""
    limits, who = limiter(Hands()), key()
    limits.release(limits.admit(who, 900), 100)
    assert limits.headers(who)["x-ratelimit-remaining-tokens"] == "900"
    limits.release(limits.admit(who, 100), 2000)
    assert limits.headers(who)["x-ratelimit-remaining-tokens"] == "0"
    assert_refused(limits, who, 1, "tokens_per_minute")


def test_a_call_larger_than_the_bucket_gets_in_when_it_is_full() -> None:
    """A key is not locked out for ever by one call that expects more tokens than a minute gives."""
    clock = Hands()
    limits, who = limiter(clock), key()
    limits.admit(who, 5000)
    assert_refused(limits, who, 5000, "tokens_per_minute")
    clock.now += 60
    limits.admit(who, 5000)


def test_of_two_reasons_the_longer_wait_is_told() -> None:
    """A call that lacks both a request and tokens hears when it really gets in."""
    clock = Hands()
    limits = limiter(clock)
    who = key(requests_per_minute=60, tokens_per_minute=600, concurrency=1000)
    for _ in range(60):
        limits.admit(who, 10)
    refused = assert_refused(limits, who, 300, "tokens_per_minute")
    clock.now += refused.wait
    limits.admit(who, 300)


def test_a_correction_counts_from_its_own_moment() -> None:
    """What a long call used beyond its estimate is owed from its end on, whatever was read in between."""
    clock = Hands()
    limits, who = limiter(clock), key()
    admission = limits.admit(who, 0)
    clock.now += 120
    limits.release(admission, 1000)
    assert limits.headers(who)["x-ratelimit-remaining-tokens"] == "0"


def test_a_changed_limit_takes_effect_at_the_next_call() -> None:
    """A raised or lowered limit counts from the next call on; what was used stays used."""
    limits = limiter(Hands())
    limits.admit(key(), 1)
    assert limits.headers(key(requests_per_minute=100))["X-RateLimit-Remaining"] == "99"
    assert limits.headers(key(requests_per_minute=1))["X-RateLimit-Remaining"] == "0"


def test_an_organization_s_limits_bound_all_its_keys() -> None:
    """Keys of one organization share its limits, and the headers show the tighter of the two."""
    limits = limiter(Hands())
    org = Organization(
        id="org_1", slug="o", owner_id="acct_1", limits=Limits(requests_per_minute=3), created_at=0
    )
    for number in (1, 2, 3):
        limits.admit(key(number, org), 1)
    assert limits.headers(key(4, org))["X-RateLimit-Remaining"] == "0"
    assert_refused(limits, key(4, org), 1, "requests_per_minute")
    assert limits.headers(key(4))["X-RateLimit-Remaining"] == "60"


def test_an_admission_that_is_undone_leaves_no_trace() -> None:
    """A call that is refused after its admission gives everything back."""
    limits, who = limiter(Hands()), key()
    before = limits.headers(who)
    limits.undo(limits.admit(who, 500))
    assert limits.headers(who) == before


@pytest.mark.parametrize(("away", "expected"), [(0, 10), (30, 40), (3600, 60), (-3600, 10)])
def test_buckets_outlive_the_process(away: int, expected: int) -> None:
    """What was written is where the next process goes on, refilled for the time in between."""
    clock = Hands()
    limits, who = limiter(clock), key(concurrency=100)
    admissions = [limits.admit(who, 1) for _ in range(50)]
    ((_, (owner, requests, tokens, at)),) = limits.writes(admissions[-1])
    clock.now += away
    again = RateLimiter(clock, lambda: DEFAULTS, {owner: (requests, tokens, at)})
    assert again.headers(who)["X-RateLimit-Remaining"] == str(expected)


@given(st.integers(1, 10_000), st.lists(st.tuples(st.floats(0, 90), st.floats(-500, 20_000)), max_size=20))
def test_a_bucket_keeps_its_laws(capacity: int, steps: list[tuple[float, float]]) -> None:
    """A bucket never holds more than its capacity, and `wait` is when the amount is there."""
    now = 0.0
    bucket = Bucket(capacity, now)
    for pause, amount in steps:
        now += pause
        bucket.refill(now)
        bucket.take(amount)
        assert bucket.level <= capacity
        wanted = min(abs(amount), capacity)
        wait = bucket.wait(wanted)
        assert Bucket(capacity, now, bucket.level).refill(now + wait) >= wanted - 1e-6
        assert wait == 0 or Bucket(capacity, now, bucket.level).refill(now + wait * 0.99) < wanted


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), max_size=60))
def test_headers_never_go_below_zero(steps: list[tuple[float, int]]) -> None:
    """Remaining is never negative and never above the limit, whatever happened."""
    clock = Hands()
    limits, who = limiter(clock), key(requests_per_minute=5)
    for pause, tokens in steps:
        clock.now += pause
        with contextlib.suppress(RateLimited):
            limits.release(limits.admit(who, tokens), tokens * 2)
        headers = limits.headers(who)
        assert 0 <= int(headers["X-RateLimit-Remaining"]) <= int(headers["X-RateLimit-Limit"]) == 5
        assert 0 <= int(headers["x-ratelimit-remaining-tokens"]) <= 1000
        assert int(headers["X-RateLimit-Reset"]) >= clock.wall_ms() // 1000
