"""The output of an OpenAI Responses answer, assembled of items from the hub's events.

Items follow each other; only a tool call whose arguments may still go on stays open beside the next one.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from tokligenced.dialects.conversation import (
    CallBegan,
    CallGrew,
    Carried,
    ChoiceEvent,
    Cited,
    Drew,
    Logged,
    Refused,
    Said,
    Sealed,
    Signed,
    Thought,
)
from tokligenced.dialects.responses_events import Wire
from tokligenced.dialects.responses_output import Message, Picture, Reasoning, Status
from tokligenced.dialects.responses_output_calls import GrowingCall, NativeCall, TextCall
from tokligenced.dialects.responses_reasoning import Secret
from tokligenced.dialects.responses_response import Item, Response
from tokligenced.dialects.responses_tools import Origin, Tools
from tokligenced.domain import Call

_PREFIXES = {"function": "fc", "custom": "ctc", "tool_search": "tsc", "local_shell": "lsh"}


class Output:
    """The items of one answer to a call, told on a wire as they grow; not shared."""

    def __init__(self, call: Call, wire: Wire, response: Response) -> None:
        self._call = call
        self._wire = wire
        self._response = response
        self._items: list[Item | None] = []
        self._message: Message | None = None
        self._reasoning: Reasoning | None = None
        self._calls: dict[int, tuple[int, GrowingCall]] = {}
        # What belongs to the message, and can be told only with its end or after it.
        self._logprobs: list[Item] = []
        self._seal: str | None = None
        self._steps: Mapping[type, Callable[[Any], None]] = {
            Said: self._say,
            Refused: self._say,
            Thought: self._think,
            Signed: self._sign,
            Sealed: self._seal_text,
            Carried: self._carry,
            CallBegan: self._begin_call,
            CallGrew: self._grow_call,
            Drew: self._draw,
            Cited: self._cite,
            Logged: self._log,
        }

    def take(self, event: ChoiceEvent) -> None:
        """What an event adds."""
        if (step := self._steps.get(type(event))) is not None:
            step(event)

    def end(self, status: Status) -> None:
        """There is no more; `status` is of the items that are still open."""
        self._close(status)
        for index, call in self._calls.values():
            self._items[index] = call.close(status)
        self._calls.clear()

    def items(self) -> list[Item]:
        """The items that are whole."""
        return [item for item in self._items if item is not None]

    @cached_property
    def _tools(self) -> Tools:
        return Tools(self._call)

    def _next(self, prefix: str) -> tuple[str, int]:
        """The id and place of a new item; what can't go on beside it is closed."""
        self._close("completed")
        for number, (index, call) in [*self._calls.items()]:
            if call.is_whole():
                self._items[index] = call.close("completed")
                del self._calls[number]
        self._items.append(None)
        index = len(self._items) - 1
        return self._response.item_id(prefix, index), index

    def _close(self, status: Status) -> None:
        if (message := self._message) is not None:
            self._message = None
            self._items[message.index] = message.close(status)
            if (signature := self._seal) is not None:
                self._seal = None
                self._keep(Secret(text_signature=signature))
        if (reasoning := self._reasoning) is not None:
            self._reasoning = None
            self._items[reasoning.index] = reasoning.close()

    def _said_in(self) -> Message:
        """The message that goes on."""
        if self._message is None:
            self._message = Message(self._wire, *self._next("msg"), self._logprobs)
            self._logprobs = []
        return self._message

    def _thought_in(self) -> Reasoning:
        """The reasoning that goes on."""
        if self._reasoning is None:
            self._reasoning = Reasoning(self._wire, *self._next("rs"))
        return self._reasoning

    def _keep(self, secret: Secret) -> None:
        """What must come back; the reasoning that is open ends with it, or an item is made for it."""
        reasoning = self._thought_in()
        reasoning.keep(secret)
        self._close("completed")

    def _say(self, event: Said | Refused) -> None:
        if not event.text:
            return
        if self._seal is not None:
            self._close("completed")
        self._said_in().say(event.text, "output_text" if isinstance(event, Said) else "refusal")

    def _think(self, event: Thought) -> None:
        if event.text:
            self._thought_in().think(event.text)

    def _sign(self, event: Signed) -> None:
        if event.block.redacted is not None:
            self._close("completed")  # what is open is another block
        self._keep(Secret(thinking=event.block))

    def _carry(self, event: Carried) -> None:
        self._close("completed")
        self._keep(Secret(foreign=event.block))

    def _seal_text(self, event: Sealed) -> None:
        if self._message is None:
            self._keep(Secret(text_signature=event.signature))
        else:
            self._seal = event.signature

    def _begin_call(self, event: CallBegan) -> None:
        if event.signature is not None:
            self._keep(Secret(call_signature=event.signature))
        origin = self._tools.origin(event.name) or Origin("function", event.name)
        kind = "custom" if event.kind == "custom" else origin.kind
        make = NativeCall if kind in {"tool_search", "local_shell"} else TextCall
        item_id, index = self._next(_PREFIXES[kind])
        self._calls[event.index] = index, make(self._wire, item_id, index, event, origin)

    def _grow_call(self, event: CallGrew) -> None:
        # After a whole object of arguments there can only be white space.
        if event.text and (found := self._calls.get(event.index)) is not None:
            found[1].grow(event.text)

    def _draw(self, event: Drew) -> None:
        # There are items for pictures only.
        if event.media.kind == "image":
            item_id, index = self._next("ig")
            self._items[index] = Picture(self._wire, item_id, index).close(event.media)

    def _cite(self, event: Cited) -> None:
        self._said_in().cite(event)

    def _log(self, event: Logged) -> None:
        if self._message is None:
            self._logprobs += event.tokens
        else:
            self._message.log(event.tokens)
