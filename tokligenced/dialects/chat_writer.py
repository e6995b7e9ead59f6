"""OpenAI Chat Completions: answers written from the hub's events."""

from collections.abc import Iterable

from tokligenced.dialects.conversation import Event
from tokligenced.domain import Call


class Writer:
    """Writes one answer; not shared."""

    def __init__(self, call: Call, model: str) -> None:
        self._call = call
        self._model = model

    def stream(self, events: Iterable[Event]) -> bytes:
        """What goes to the client now."""
        raise NotImplementedError

    def end(self) -> bytes:
        """What ends a complete stream."""
        raise NotImplementedError

    def whole(self, events: Iterable[Event]) -> bytes:
        """The body of an answer that is not streamed."""
        raise NotImplementedError
