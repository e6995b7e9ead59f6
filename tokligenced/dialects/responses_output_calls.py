"""Tool calls of an OpenAI Responses answer while they grow, each in the form in which its tool was offered.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects.conversation import CallBegan
from tokligenced.dialects.responses_events import Wire, head
from tokligenced.dialects.responses_output import Growing, Status
from tokligenced.dialects.responses_response import Item
from tokligenced.dialects.responses_tools import Origin


class GrowingCall(Protocol):
    """A call from its beginning to its end."""

    def grow(self, text: str) -> None:
        """More of its arguments."""

    def is_whole(self) -> bool:
        """Whether its arguments can't go on."""

    def close(self, status: Status) -> Item:
        """The whole of it."""


class _Form(Struct, frozen=True):
    """How a kind of call is told: its type, the member that holds its arguments, and the events of that."""

    type: str
    member: str
    events: str


_FUNCTION = _Form("function_call", "arguments", "response.function_call_arguments")
_CUSTOM = _Form("custom_tool_call", "input", "response.custom_tool_call_input")


class TextCall(Growing):
    """A call of a function or of a custom tool."""

    def __init__(self, wire: Wire, item_id: str, index: int, began: CallBegan, origin: Origin) -> None:
        super().__init__(wire, item_id, index)
        self._form = _CUSTOM if began.kind == "custom" else _FUNCTION
        self._call_id = began.id
        self._origin = origin
        self._pieces: list[str] = []
        self._added(self._item("in_progress", ""))
        self._head = head(f"{self._form.events}.delta", self._place)

    def grow(self, text: str) -> None:
        """More of its arguments."""
        self._pieces.append(text)
        self._wire.grow(self._head, text)

    def is_whole(self) -> bool:
        """Whether its arguments can't go on; free text always can."""
        return self._form is _FUNCTION and _is_json("".join(self._pieces))

    def close(self, status: Status) -> Item:
        """The whole of it; a function without arguments has an empty object of them."""
        if self._form is _FUNCTION and status == "completed" and not any(self._pieces):
            self.grow("{}")
        text = "".join(self._pieces)
        self._wire.send(f"{self._form.events}.done", {**self._place, self._form.member: text})
        return self._done(self._item(status, text))

    def _item(self, status: str, text: str) -> Item:
        item: Item = {
            "id": self._id,
            "type": self._form.type,
            "status": status,
            self._form.member: text,
            "call_id": self._call_id,
            "name": self._origin.name,
        }
        if self._origin.namespace is not None:
            item["namespace"] = self._origin.namespace
        return item


class _Exec(Struct, omit_defaults=True):
    """What the shell shall do."""

    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    working_directory: str | None = None


_read_exec = msgspec.json.Decoder(_Exec)
_read_object = msgspec.json.Decoder(dict[str, Raw])
_UNREADABLE = (msgspec.DecodeError, RecursionError)


class NativeCall(Growing):
    """A call of a tool that has a type of its own; it is told when it is whole.

    Arguments that are not what that type needs are shown as a function's; the client may say what is wrong.
    """

    def __init__(self, wire: Wire, item_id: str, index: int, began: CallBegan, origin: Origin) -> None:
        super().__init__(wire, item_id, index)
        self._began = began
        self._origin = origin
        self._pieces: list[str] = []

    def grow(self, text: str) -> None:
        """More of its arguments."""
        self._pieces.append(text)

    def is_whole(self) -> bool:
        """Whether its arguments can't go on."""
        return _is_json("".join(self._pieces))

    def close(self, status: Status) -> Item:
        """The whole of it."""
        text = "".join(self._pieces)
        try:
            told = self._told(text)
        except _UNREADABLE:
            call = TextCall(self._wire, self._id, self.index, self._began, self._origin)
            call.grow(text)
            return call.close(status)
        item = {"id": self._id, "call_id": self._began.id, "status": status, **told}
        self._added({**item, "status": "in_progress"})
        return self._done(item)

    def _told(self, text: str) -> Mapping[str, Any]:
        if self._origin.kind == "tool_search":
            arguments = _read_object.decode(text or "{}")
            return {"type": "tool_search_call", "execution": "client", "arguments": arguments}
        action = _read_exec.decode(text)
        told = {"type": "exec", "command": action.command, "env": action.env}
        for name in ("timeout_ms", "working_directory"):
            if (value := getattr(action, name)) is not None:
                told[name] = value
        return {"type": "local_shell_call", "action": told}


def _is_json(text: str) -> bool:
    try:
        _read_object.decode(text)
    except _UNREADABLE:
        return False
    return True
