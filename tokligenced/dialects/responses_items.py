"""OpenAI Responses: the items of an input, read into the hub's turns.

What a model said, thought and called in a row is one turn. What OpenAI's own tools did while it answered is
left out where the message after it tells the outcome (searches), and refused where it does not.
https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects import media
from tokligenced.dialects.conversation import (
    Media,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from tokligenced.dialects.responses_content import Content, invalid, parts, reasoning, result_parts
from tokligenced.dialects.responses_content import Part as WirePart
from tokligenced.dialects.responses_reasoning import Secret, opened
from tokligenced.dialects.responses_tools import Tools
from tokligenced.errors import InvalidRequest

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}
# They tell what was looked up, not what was found; and tools are read elsewhere.
_LOOKED_UP = frozenset({"web_search_call", "file_search_call", "additional_tools"})
# Tools that have no names of their own.
_NAMES = {"tool_search_call": "tool_search", "local_shell_call": "local_shell"}
_UNREADABLE = {
    "item_reference": "it refers to an item that is not stored here",
    "compaction": "only its maker can read what was compacted",
}


class _Found(Struct):
    name: str = ""
    type: str = ""


class Item(Struct):
    """An item as clients send it. One without a type is a message, or refers to a stored item."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: Content | None = None
    summary: list[WirePart] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: Raw = Raw(b"null")
    input: str | None = None
    action: Raw = Raw(b"{}")
    output: Content | dict[str, Raw] | None = None
    tools: list[_Found] | None = None
    result: str | None = None
    output_format: str | None = None


def turns(items: Sequence[Item], tools: Tools) -> list[Turn]:
    """The turns. Raises `InvalidRequest` naming the item at fault."""
    reader = _Reader(tools)
    for at, item in enumerate(items):
        reader.read(item, f"input[{at}]")
    return reader.turns()


class _Reader:
    """Turns so far; what a model gave in a row is gathered until somebody else speaks."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._done: list[Turn] = []
        self._said: list[Part] = []
        self._signature: str | None = None

    def turns(self) -> list[Turn]:
        """All that was read."""
        self._close()
        return self._done

    def read(self, item: Item, where: str) -> None:
        """Take the next item."""
        match item.type or ("message" if item.role else "item_reference"):
            case "message":
                self._message(item, where)
            case "reasoning":
                self._reasoning(item)
            case "tool_search_call" | "tool_search_output" if item.call_id is None:
                pass  # OpenAI searched, and what it found is offered
            case "function_call" | "custom_tool_call" | "tool_search_call" | "local_shell_call":
                self._called(item, where)
            case "tool_search_output":
                found = ", ".join(tool.name or tool.type for tool in item.tools or ())
                self._answered(item, where, (Text(text=f"Found: {found or 'nothing'}"),))
            case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
                self._answered(item, where, tuple(result_parts(_output(item, where), f"{where}.output")))
            case "image_generation_call":
                self._drew(item, where)
            case kind if kind not in _LOOKED_UP:
                raise invalid(f"{where}.type", _UNREADABLE.get(kind, f"'{kind}' means nothing here"))

    def _message(self, item: Item, where: str) -> None:
        role = _ROLES.get(item.role or "")
        if role is None:
            raise invalid(f"{where}.role", f"there is no role '{item.role}'")
        said = list(parts(item.content, f"{where}.content"))
        if role == "assistant":
            self._said += [part for part in said if not (isinstance(part, Text) and not part.text)]
        else:
            self._close()
            self._done.append(Turn(role=role, parts=tuple(said)))

    def _reasoning(self, item: Item) -> None:
        secrets = opened(item.encrypted_content) if item.encrypted_content else None
        if secrets is not None:
            for secret in secrets:
                self._reveal(secret)
        # A summary is not the reasoning itself: where somebody else has that under seal, it is lost here.
        elif text := reasoning(item.content) or ("" if item.encrypted_content else reasoning(item.summary)):
            self._said.append(Thinking(text=text))

    def _reveal(self, secret: Secret) -> None:
        if (block := secret.thinking or secret.foreign) is not None:
            self._said.append(block)
        if secret.call_signature is not None:
            self._signature = secret.call_signature
        if secret.text_signature is not None:
            last = self._said.pop() if self._said and isinstance(self._said[-1], Text) else Text(text="")
            self._said.append(msgspec.structs.replace(last, signature=secret.text_signature))

    def _called(self, item: Item, where: str) -> None:
        call = ToolCall(
            id=_id(item, where),
            name=self._tools.name(_NAMES.get(item.type or "") or item.name or "", item.namespace),
            arguments=_arguments(item, where),
            kind="custom" if item.type == "custom_tool_call" else "function",
            signature=self._signature,
        )
        if not call.name:
            raise _missing(f"{where}.name")
        self._signature = None
        self._said.append(call)

    def _answered(self, item: Item, where: str, given: tuple[Text | Media, ...]) -> None:
        self._close()
        self._done.append(Turn(role="tool", parts=(ToolResult(call_id=_id(item, where), parts=given),)))

    def _drew(self, item: Item, where: str) -> None:
        if item.result:
            kind = f"image/{item.output_format or 'png'}"
            data = media.base64_text(item.result, f"{where}.result")
            self._said.append(Media(kind="image", media_type=kind, data=data))

    def _close(self) -> None:
        """What the model gave in a row is whole."""
        if self._said:
            self._done.append(Turn(role="assistant", parts=tuple(self._said)))
            self._said = []
        self._signature = None


def _id(item: Item, where: str) -> str:
    """What a call and its outcome have in common; a shell's outcome may bear it as its own id."""
    call_id = item.call_id or (item.id if item.type == "local_shell_call_output" else None)
    if not call_id:
        raise _missing(f"{where}.call_id")
    return call_id


def _output(item: Item, where: str) -> Content | None:
    if isinstance(item.output, dict):
        raise invalid(f"{where}.output", "it is a text or a list of parts")
    return item.output


def _arguments(item: Item, where: str) -> str:
    if item.type == "custom_tool_call":
        return item.input or ""
    if item.type == "local_shell_call":
        return bytes(item.action).decode()
    written = bytes(item.arguments)
    if item.type == "tool_search_call" and written.startswith(b"{"):
        return written.decode()
    try:
        return msgspec.json.decode(written, type=str | None) or ""
    except msgspec.ValidationError:
        raise invalid(f"{where}.arguments", "it is the text of a JSON object") from None


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(
        "missing_required_parameter", f"Missing required parameter: '{param}'.", param=param
    )
