"""Retries and fail-over: what is tried next, how long after, and when it is enough."""

import pytest

from tests.fakes import FakeClock
from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects import chat
from tokligenced.domain import Deployment, Model, Timeouts
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed
from tokligenced.gateway.breaker import Breakers
from tokligenced.gateway.failover import Failover, Unfit
from tokligenced.gateway.routing import Leg
from tokligenced.providers import registry

BUSY = UpstreamFailed("upstream_error", "busy")
LIMITED = UpstreamFailed("upstream_rate_limited", "slow down", retry_after=3)
CUT = UpstreamFailed("upstream_error", "cut", safe_to_retry=False)
DENIED = UpstreamFailed("upstream_error", "no", operator_fault=True)
WRONG = InvalidRequest("invalid_value", "wrong")


def leg(
    name: str, *, total: float | None = None, keys: int = 1, retries: int = 0, after_send: bool = False
) -> Leg:
    settings = ProviderSettings(
        name=name,
        type="openai",
        base_url="http://x",
        api_key=Secret("0"),
        more_keys=tuple(Secret(str(number)) for number in range(1, keys)),
        retries=retries,
        retry_after_send=after_send,
    )
    deployment = Deployment(provider=name, model="m")
    return Leg(deployment, registry.build(settings), Timeouts(total=total))


class Course:
    """What attempts come to, in their order, and what became of them; sleep takes the clock's time alone."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers()
        self.tried: list[str] = []
        self.slept: list[float] = []
        self.told: list[UpstreamFailed] = []
        self._outcomes = list(outcomes)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def _attempt(self, tried: Leg) -> None:
        self.tried.append(tried.deployment.provider)
        if (outcome := self._outcomes.pop(0)) is not None:
            raise outcome

    async def run(self, *legs: Leg) -> None:
        failover = Failover(self.breakers, self.clock, lambda: 0.5, self._sleep)
        await failover.run(legs, self._attempt, lambda _leg, error: self.told.append(error))


async def test_the_first_that_answers_is_enough() -> None:
    """Nothing else is tried, and nothing is told."""
    course = Course(None)
    await course.run(leg("a"), leg("b"))
    assert (course.tried, course.told) == (["a"], [])


@pytest.mark.parametrize("failure", [BUSY, LIMITED, DENIED])
async def test_a_failure_goes_to_the_next(failure: UpstreamFailed) -> None:
    """What failed before anything was done is tried elsewhere at once."""
    course = Course(failure, None)
    await course.run(leg("a"), leg("b"))
    assert (course.tried, course.told, course.slept) == (["a", "b"], [failure], [])


async def test_the_last_failure_is_the_answer() -> None:
    """Where all fail the client hears of the last."""
    course = Course(BUSY, LIMITED)
    with pytest.raises(CallError) as raised:
        await course.run(leg("a"), leg("b"))
    assert raised.value is LIMITED


async def test_what_may_have_been_done_is_not_done_twice() -> None:
    """An upstream that had the request and fell silent ends it, unless the operator wants otherwise."""
    course = Course(CUT)
    with pytest.raises(UpstreamFailed):
        await course.run(leg("a"), leg("b"))
    assert course.tried == ["a"]
    course = Course(CUT, CUT, None)
    await course.run(leg("a", after_send=True, retries=1), leg("b"))
    assert course.tried == ["a", "a", "b"]


async def test_a_wrong_request_is_wrong_everywhere() -> None:
    """What an upstream says about the request is the answer."""
    course = Course(WRONG)
    with pytest.raises(InvalidRequest):
        await course.run(leg("a", retries=3), leg("b"))
    assert course.tried == ["a"]


async def test_a_deployment_that_can_not_serve_it_is_passed_over() -> None:
    """Another provider may have what one has not; where none has, the first one's reason is told."""
    course = Course(Unfit(WRONG), None)
    await course.run(leg("a"), leg("b"))
    assert course.tried == ["a", "b"]
    course = Course(Unfit(WRONG), Unfit(InvalidRequest("x", "other")))
    with pytest.raises(InvalidRequest) as raised:
        await course.run(leg("a"), leg("b"))
    assert raised.value is WRONG


async def test_retries_wait_longer_each_time() -> None:
    """Each retry waits a random part of a pause that doubles, then the next deployment is tried."""
    course = Course(*[BUSY] * 7, None)
    await course.run(leg("a", retries=6), leg("b"))
    assert course.tried == ["a"] * 7 + ["b"]
    assert course.slept == [0.125, 0.25, 0.5, 1.0, 2.0, 2.0]


async def test_an_upstream_s_wait_is_waited() -> None:
    """Who says how long to wait is asked again no sooner, and not at all where that is too long."""
    course = Course(LIMITED, None)
    await course.run(leg("a", retries=1))
    assert course.slept == [3]
    course = Course(UpstreamFailed("upstream_rate_limited", "slow", retry_after=60), None)
    await course.run(leg("a", retries=1), leg("b"))
    assert (course.tried, course.slept) == (["a", "b"], [])


async def test_retries_end_at_the_deadline() -> None:
    """A pause that would pass the call's deadline is not begun."""
    course = Course(*[BUSY] * 9)
    with pytest.raises(UpstreamFailed):
        await course.run(leg("a", retries=8, total=1.0))
    assert course.tried == ["a"] * 4
    assert sum(course.slept) < 1.0


@pytest.mark.parametrize("failure", [DENIED, LIMITED])
async def test_the_next_key_is_tried_at_once(failure: UpstreamFailed) -> None:
    """A key that is refused or limited says nothing of the account's others."""
    course = Course(failure, failure, None)
    await course.run(leg("a", keys=3))
    assert (course.tried, course.slept) == (["a"] * 3, [])
    course = Course(failure, failure, None)
    await course.run(leg("a", keys=2), leg("b"))
    assert course.tried == ["a", "a", "b"]


async def test_an_open_breaker_is_passed_over() -> None:
    """A deployment that keeps failing is no longer asked while another can serve."""
    course = Course(*[BUSY, None] * 5, None)
    for _ in range(6):
        await course.run(leg("a"), leg("b"))
    assert course.tried == ["a", "b"] * 5 + ["b"]


async def test_keys_take_turns() -> None:
    """With several keys each call goes out with the next one."""
    provider = leg("a", keys=3).provider
    call = chat.parse(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    deployment = Deployment(provider="a", model="m")
    model = Model(id="m", name="m", context_window=9, max_output_tokens=9, deployments=(deployment,))
    sent = [provider.exchange(call, model, deployment).request.headers["Authorization"] for _ in range(6)]
    assert sent == ["Bearer 0", "Bearer 1", "Bearer 2"] * 2
