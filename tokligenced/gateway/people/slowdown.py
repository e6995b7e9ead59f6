"""Who guesses waits: after some failures for a second, and twice as long after each further one."""

from collections import OrderedDict

from tokligenced.clock import Clock

_LONGEST = 300.0
_FORGOTTEN = 900.0  # seconds after the last failure
_MOST = 10_000


class SlowDown:
    """Failures by name: of accounts, or of network addresses.

    An attempt counts as a failure until it is pardoned, so that a hundred at once get no further than one
    after another. What is remembered is bounded: of too many names the longest untouched is forgotten.
    """

    def __init__(self, clock: Clock, *, free: int, most: int = _MOST) -> None:
        """`free` failures cost no waiting."""
        self._clock = clock
        self._free = free
        self._most = most
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait(self, name: str) -> float:
        """In how many seconds this name may try; 0: now."""
        count, last = self._known(name)
        if count < self._free:
            return 0.0
        delay = min(_LONGEST, 2.0 ** min(count - self._free, 16))
        return max(0.0, last + delay - self._clock.monotonic())

    def count(self, name: str) -> None:
        """An attempt begins."""
        count, _ = self._known(name)
        self._failures[name] = count + 1, self._clock.monotonic()
        self._failures.move_to_end(name)
        if len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def pardon(self, name: str) -> None:
        """An attempt that was counted was no failure."""
        count, last = self._known(name)
        if count > 1:
            self._failures[name] = count - 1, last
        else:
            self.forget(name)

    def forget(self, name: str) -> None:
        """The name has proved itself."""
        self._failures.pop(name, None)

    def _known(self, name: str) -> tuple[int, float]:
        count, last = self._failures.get(name, (0, 0.0))
        return (count, last) if self._clock.monotonic() - last < _FORGOTTEN else (0, 0.0)
