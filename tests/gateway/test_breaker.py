"""Circuit breakers: when a deployment is left alone, and when it is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from tokligenced.domain import Deployment
from tokligenced.gateway.breaker import Breaker, Breakers


class Leg(Struct, frozen=True):
    deployment: Deployment


A, B = (Leg(Deployment(provider=name, model="m")) for name in "ab")


def failing(breaker: Breaker, times: int, now: float = 0.0, wait: float | None = None) -> Breaker:
    for _ in range(times):
        breaker.begin()
        breaker.failed(now, wait)
    return breaker


def test_a_few_failures_open_nothing() -> None:
    """Four failures in a row are bad luck, the fifth opens."""
    breaker = failing(Breaker(), 4)
    assert breaker.state(0.0) == "closed"
    assert failing(breaker, 1).state(0.0) == "open"
    assert not breaker.admits(0.0)


def test_a_success_in_between_begins_anew() -> None:
    """Only failures in a row count as such."""
    breaker = failing(Breaker(), 4)
    breaker.succeeded(0.0)
    assert failing(breaker, 4).state(0.0) == "closed"


def test_half_of_many_calls_failing_opens() -> None:
    """A deployment that fails every other call opens once there were enough calls to tell."""
    breaker = Breaker()
    for _ in range(9):
        breaker.succeeded(0.0)
        breaker.failed(0.0)
    assert breaker.state(0.0) == "closed"
    breaker.succeeded(0.0)
    assert failing(breaker, 1).state(0.0) == "open"


def test_old_failures_are_forgotten() -> None:
    """What was more than a minute ago does not count for the rate."""
    breaker = Breaker()
    for _ in range(9):
        breaker.succeeded(0.0)
        breaker.failed(0.0)
    breaker.succeeded(100.0)
    assert failing(breaker, 1, now=100.0).state(100.0) == "closed"


def test_one_probe_at_a_time() -> None:
    """After the pause one call may see how it is; the others wait for what it finds."""
    breaker = failing(Breaker(), 5)
    assert breaker.state(5.0) == "half_open"
    assert breaker.admits(5.0)
    breaker.begin()
    assert not breaker.admits(5.0)
    breaker.succeeded(5.0)
    assert (breaker.state(5.0), breaker.admits(5.0)) == ("closed", True)


def test_a_failed_probe_waits_longer() -> None:
    """Each probe that fails doubles the pause, up to two minutes."""
    breaker, now, pauses = failing(Breaker(), 5), 0.0, []
    for _ in range(7):
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        failing(breaker, 1, now)
    assert pauses == [5, 10, 20, 40, 80, 120, 120]


def test_a_probe_that_is_given_up_tells_nothing() -> None:
    """A client that leaves in a probe leaves it to the next one."""
    breaker = failing(Breaker(), 5)
    breaker.begin()
    breaker.abandoned()
    assert breaker.admits(5.0)


def test_an_upstream_s_own_wait_is_heeded() -> None:
    """One refusal with Retry-After is enough to leave a deployment alone for that long, and no longer."""
    breaker = failing(Breaker(), 1, wait=30)
    assert (breaker.state(29.0), breaker.state(30.0)) == ("open", "half_open")
    breaker.begin()
    breaker.succeeded(30.0)
    assert breaker.state(30.0) == "closed"


def test_the_open_are_passed_over_and_the_least_bad_probed() -> None:
    """Legs that may be tried keep their order; where none may, the one that opens soonest is tried."""
    breakers = Breakers()
    assert breakers.admitted([A, B], 0.0) == [A, B]
    failing(breakers.of(A.deployment), 1, wait=20)
    assert breakers.admitted([A, B], 0.0) == [B]
    failing(breakers.of(B.deployment), 1, wait=10)
    assert breakers.admitted([A, B], 0.0) == [B]
    assert breakers.admitted([], 0.0) == []
    assert breakers.of_provider("a", 0.0) == "open"
    assert breakers.of_provider("c", 0.0) == "closed"


@given(steps=st.lists(st.tuples(st.sampled_from(["begin", "ok", "fail", "left"]), st.floats(0, 30))))
def test_nothing_keeps_a_deployment_out_for_ever(steps: list[tuple[str, float]]) -> None:
    """Whatever happened, two minutes after the last call ended the deployment may be tried."""
    breaker, now = Breaker(), 0.0
    for step, pause in steps:
        now += pause
        match step:
            case "begin":
                breaker.begin()
            case "ok":
                breaker.succeeded(now)
            case "fail":
                breaker.failed(now)
            case _:
                breaker.abandoned()
    breaker.abandoned()
    assert breaker.admits(now + 120.0)


@pytest.mark.parametrize("failures", [0, 4])
def test_a_closed_breaker_probes_nothing(failures: int) -> None:
    """As long as it is closed any number of calls pass at once."""
    breaker = failing(Breaker(), failures)
    breaker.begin()
    breaker.begin()
    assert breaker.admits(0.0)
