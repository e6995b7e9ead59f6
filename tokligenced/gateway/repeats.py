"""Calls made again: under an idempotency key they get the answer they got, else perhaps a cached one."""

from tokligenced.domain import LIST_PRICE, Call, Principal, Usage
from tokligenced.gateway.cache import CACHE, AnswerCache, Slot
from tokligenced.gateway.idempotency import Claim, Idempotency
from tokligenced.gateway.kept import Kept
from tokligenced.gateway.trail import Trail
from tokligenced.store.database import Write


class Repeat:
    """What one call may repeat: `kept` is an answer given before, None where this call is the first.

    To be released once, however the call ends.
    """

    __slots__ = ("_claim", "_slot", "_trail", "kept")

    def __init__(self, trail: Trail, claim: Claim | None, slot: Slot | None) -> None:
        self._trail = trail
        self._claim = claim
        self._slot = slot
        self.kept: Kept | None = claim.kept if claim is not None else None
        if self.kept is None and slot is not None:
            self.kept = slot.kept
            if slot.kept is None:
                trail.cache = "miss"

    @property
    def is_paid(self) -> bool:
        """Whether what is kept was charged for in this very call's name."""
        return self._claim is not None and self._claim.kept is not None

    def given(self, now: float) -> Kept | None:
        """What is kept, now that the call has been let in; the trail says where it is from."""
        if self.kept is not None:
            if self.is_paid:
                self._trail.replayed = True
            else:
                self._trail.cache, self._trail.provider = "hit", CACHE
            self._trail.first_byte = now
        return self.kept

    def add(self, piece: bytes) -> None:
        """Note what of a stream the client gets."""
        if self._slot is not None:
            self._slot.add(piece)

    def keep(self, call: Call, head: bytes, content_type: str, usage: Usage) -> list[Write]:
        """Keep a whole answer, `head` and all that was noted after it; what is to land with its charge.

        What had to be cut short for want of money is no answer for another time.
        """
        if self._slot is not None and self.kept is None and call.imposed_output_tokens is None:
            self._slot.fill(head, content_type, usage)
        return [] if self._claim is None else self._claim.writes(head, content_type)

    def release(self) -> None:
        """Let others come under the same idempotency key."""
        if self._claim is not None:
            self._claim.release()

    async def landed(self) -> None:
        """Wait until an answer that will be given again after a crash is in the file, with its charge."""
        if self._claim is not None and not self.is_paid:
            await self._claim.landed()


class Repeats:
    """Finds what calls repeat."""

    def __init__(self, cache: AnswerCache, idempotency: Idempotency) -> None:
        self._cache = cache
        self._idempotency = idempotency

    def part(self, price_millionths: int) -> int:
        """What part of the list price a cached answer costs, where another costs this part; millionths."""
        return price_millionths * self._cache.share // LIST_PRICE

    async def look(self, call: Call, principal: Principal, trail: Trail) -> Repeat:
        """What a call repeats. Raises `InvalidRequest` and `Unavailable` as `Idempotency.claim` does."""
        claim = await self._idempotency.claim(call, principal.key, trail.idempotency_key)
        if claim is not None and claim.kept is not None:
            return Repeat(trail, claim, None)
        return Repeat(trail, claim, self._cache.slot(call, principal, trail.cache_control))
