"""OpenAI Responses: answers written from the hub's events, streamed and whole by the same steps.

Nothing is sent before there is something of the answer, so that until then another deployment may be tried.
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterable, Mapping

import msgspec

from tokligenced.dialects.conversation import Began, Counted, Ended, Event, Finish
from tokligenced.dialects.responses_assembly import Output
from tokligenced.dialects.responses_events import Wire, error_members, failure
from tokligenced.dialects.responses_events import event as written
from tokligenced.dialects.responses_output import Status as ItemStatus
from tokligenced.dialects.responses_response import Item, Response
from tokligenced.domain import Call
from tokligenced.errors import CallError

# Why an answer is not complete.
_REASONS: Mapping[Finish, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_OPENING = ("response.created", "response.in_progress")


class Writer:
    """Writes one answer of a model to a call; not shared."""

    def __init__(self, call: Call, model: str) -> None:
        self._response = Response(call, model)
        self._wire = Wire(len(_OPENING), mute=not call.stream)
        self._output = Output(call, self._wire, self._response)
        self._begun = False
        self._reason: str | None = None

    def stream(self, events: Iterable[Event]) -> bytes:
        """What goes to the client now; empty when there is nothing to say yet."""
        for event in events:
            match event:
                case Began():
                    self._response.model = event.model or self._response.model
                case Counted():
                    self._response.usage = event.usage
                case Ended():
                    self._reason = _REASONS.get(event.finish)
                case _ if event.choice == 0:  # a response is one answer
                    self._output.take(event)
                case _:
                    pass
        return self._taken()

    def end(self) -> bytes:
        """What ends a complete stream: the items that are open, the response as it came out."""
        response = self._finished()
        self._wire.send(f"response.{response['status']}", {"response": response})
        return self._taken()

    def fail(self, error: CallError) -> bytes:
        """What ends a stream that broke off: the error, and the response as failed, as OpenAI ends one."""
        response = self._response.shown("failed", self._output.items(), error=failure(error))
        self._wire.send("error", error_members(error))
        self._wire.send("response.failed", {"response": response})
        return self._taken()

    def whole(self, events: Iterable[Event]) -> bytes:
        """The body of an answer that is not streamed."""
        self.stream(events)
        return msgspec.json.encode(self._finished())

    def _taken(self) -> bytes:
        said = self._wire.taken()
        if self._begun or not said:
            return said
        self._begun = True
        response = {"response": self._response.shown("in_progress")}
        return b"".join([*(written(kind, response, at) for at, kind in enumerate(_OPENING)), said])

    def _finished(self) -> Item:
        status: ItemStatus = "incomplete" if self._reason else "completed"
        self._output.end(status)
        return self._response.shown(status, self._output.items(), reason=self._reason)
