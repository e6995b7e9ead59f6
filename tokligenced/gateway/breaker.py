"""Circuit breakers: a deployment that fails is left alone for a while, then probed by one call at a time.

It opens after so many failures in a row, or when too many calls within the last minute failed. An upstream
that says how long to wait is left alone for that long. https://martinfowler.com/bliki/CircuitBreaker.html
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar

from tokligenced.domain import Deployment

State = Literal["closed", "open", "half_open"]

_IN_A_ROW = 5
_RATE = 0.5
_LEAST_CALLS = 20
_WINDOW = 30.0  # seconds; the rate is of this and the last one
_FIRST_PAUSE = 5.0
_LAST_PAUSE = 120.0


class Breaker:
    """The state of one deployment. Times are monotonic seconds."""

    __slots__ = ("_calls", "_failures", "_pause", "_probing", "_window", "in_a_row", "open_until")

    def __init__(self) -> None:
        self.open_until = 0.0
        self.in_a_row = 0
        self._pause = 0.0
        self._probing = False
        self._window = 0
        # Of the window before, and of this one.
        self._calls = [0, 0]
        self._failures = [0, 0]

    def state(self, now: float) -> State:
        """Whether calls pass: all, none, or one to see how it is."""
        if not self._pause:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def admits(self, now: float) -> bool:
        """Whether a call may be sent now."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self._probing)

    def begin(self) -> None:
        """A call is sent."""
        self._probing = bool(self._pause)

    def abandoned(self) -> None:
        """The call was given up for reasons of its own, which tells nothing."""
        self._probing = False

    def answers(self) -> None:
        """The upstream has begun to answer: calls pass again, though what it says may still break off."""
        self._pause = 0.0
        self._probing = False

    def succeeded(self, now: float) -> None:
        """The upstream answered as it should, if only that the request is wrong."""
        self.answers()
        self._note(now, failed=False)
        self.in_a_row = 0

    def failed(self, now: float, wait: float | None = None) -> None:
        """The upstream failed; `wait` are the seconds that it asked to be left alone."""
        self._note(now, failed=True)
        self.in_a_row += 1
        self._probing = False
        calls = sum(self._calls)
        too_many = calls >= _LEAST_CALLS and sum(self._failures) >= _RATE * calls
        if self._pause or self.in_a_row >= _IN_A_ROW or too_many:
            self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LAST_PAUSE)
            self.open_until = now + max(self._pause, wait or 0.0)
        elif wait is not None:
            self._pause = _FIRST_PAUSE / 2
            self.open_until = now + wait

    def _note(self, now: float, *, failed: bool) -> None:
        window = int(now // _WINDOW)
        if window != self._window:
            recent = window == self._window + 1
            self._calls = [self._calls[1] if recent else 0, 0]
            self._failures = [self._failures[1] if recent else 0, 0]
            self._window = window
        self._calls[1] += 1
        self._failures[1] += failed


class Served(Protocol):
    """What has a deployment."""

    @property
    def deployment(self) -> Deployment:
        """Which one."""


Leg = TypeVar("Leg", bound=Served)


class Breakers:
    """A breaker for each deployment; they outlive a reload of the configuration."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Breaker] = {}

    def of(self, deployment: Deployment) -> Breaker:
        """The breaker of a deployment, which others of the same provider and model share."""
        name = deployment.provider, deployment.model
        breaker = self._all.get(name)
        if breaker is None:
            breaker = self._all[name] = Breaker()
        return breaker

    def of_provider(self, provider: str, now: float) -> State:
        """The worst state of a provider's deployments."""
        states = {breaker.state(now) for (name, _), breaker in self._all.items() if name == provider}
        return "open" if "open" in states else "half_open" if "half_open" in states else "closed"

    def admitted(self, legs: Sequence[Leg], now: float) -> Sequence[Leg]:
        """Those that may be tried, in their order; where none may, the one that will be soonest."""
        admitted = [leg for leg in legs if self.of(leg.deployment).admits(now)]
        if admitted or not legs:
            return admitted
        return [min(legs, key=lambda leg: self.of(leg.deployment).open_until)]
