"""OpenAI Responses: the tools of a request, under names that every provider takes, and back to the client's.

Tools come flat, in namespaces (Codex sends groups of functions so), or within the input. A provider sees one
flat list: each tool under its own name where no other has it, else with its namespace before it.

What OpenAI itself would run has no counterpart behind the hub. A web search beside tools that the client runs
is one more ability, left out: coding agents offer it by default, whatever the model. Where it is all there
is, or is asked for by name, the answer would not be what was asked for, and the call is refused; so is any
other tool of OpenAI's own. A search for tools that OpenAI would run is left out, since what it could find
stands in the request and is offered at once.
https://platform.openai.com/docs/guides/tools
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tokligenced.dialects import body as json_body
from tokligenced.dialects.conversation import Tool
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

OriginKind = Literal["function", "custom", "tool_search", "local_shell"]

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64

# What other models are told of the shell that some of OpenAI's know by themselves.
_SHELL = Tool(
    name="local_shell",
    description="Run a program on the user's machine and get its output.",
    schema={
        "type": "object",
        "properties": {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The program and its arguments.",
            },
            "working_directory": {"type": "string"},
            "timeout_ms": {"type": "integer"},
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["command"],
    },
)


class _WireTool(Struct):
    type: str
    name: Annotated[str, Meta(min_length=1)] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None
    execution: str | None = None
    tools: "list[_WireTool] | None" = None


class _Item(Struct):
    """An item of the input that may bring tools: `additional_tools`, or what a search for tools found."""

    tools: list[_WireTool] | None = None


class _Request(Struct):
    tools: list[_WireTool] | None = None
    input: str | list[_Item] | None = None


_read_request = msgspec.json.Decoder(_Request)


class Origin(Struct, frozen=True):
    """What a tool is to the client."""

    kind: OriginKind
    name: str
    namespace: str | None = None


class Tools:
    """The tools of a request. `unsupported` are the places of those that nothing here stands for.

    Not changed once it is made.
    """

    def __init__(self, call: Call) -> None:
        """Read them. Raises `InvalidRequest` for a tool that is not whole."""
        request = json_body.decode(_read_request, call.body)
        lists = [("tools", request.tools or [])]
        if isinstance(request.input, list):
            lists += [
                (f"input[{at}].tools", item.tools) for at, item in enumerate(request.input) if item.tools
            ]
        self.unsupported: list[str] = []
        found: dict[Origin, Tool] = {}
        searches: list[str] = []
        for where, tools in lists:
            for place, tool, namespace in _flat(tools, where):
                if (offered := _offered(tool, place, namespace)) is not None:
                    # One that is told of again, as a search may do, is the same tool.
                    found[offered[0]] = offered[1]
                elif tool.type.startswith("web_search"):
                    searches.append(f"{place}.{tool.type}")
                elif tool.type != "tool_search":
                    self.unsupported.append(f"{place}.{tool.type}")
        if not found:
            self.unsupported += searches
        self._names: dict[tuple[str | None, str], str] = {}
        self._origins: dict[str, Origin] = {}
        # Those without a namespace come first, so that they keep their names.
        ordered = sorted(found.items(), key=lambda each: each[0].namespace is not None)
        self.offered = tuple(self._named(origin, tool) for origin, tool in ordered)

    def name(self, name: str, namespace: str | None = None) -> str:
        """What a model calls the client's tool; also one that is no longer offered has such a name."""
        known = self._names.get((namespace, name))
        return known or _legal(name if namespace is None else f"{namespace}__{name}")

    def origin(self, name: str) -> Origin | None:
        """The client's tool that a model calls so; None where there is none."""
        return self._origins.get(name)

    def _named(self, origin: Origin, tool: Tool) -> Tool:
        name = _legal(origin.name)
        if name in self._origins and origin.namespace is not None:
            name = _legal(f"{origin.namespace}__{origin.name}")
        free, number = name, 2
        while free in self._origins:
            ending = f"_{number}"
            free = name[: _LONGEST_NAME - len(ending)] + ending
            number += 1
        self._origins[free] = origin
        self._names[origin.namespace, origin.name] = free
        return msgspec.structs.replace(tool, name=free)


def _legal(name: str) -> str:
    """The name as all providers take it."""
    return _ILLEGAL.sub("_", name)[:_LONGEST_NAME]


def _flat(tools: Sequence[_WireTool], where: str) -> Iterator[tuple[str, _WireTool, str | None]]:
    """Each tool with its place and namespace; what a namespace is for is told with its first tool."""
    for at, tool in enumerate(tools):
        place = f"{where}[{at}]"
        if tool.type != "namespace":
            yield place, tool, None
            continue
        namespace = _name(tool, place)
        for inner, each in enumerate(tool.tools or ()):
            if inner == 0 and tool.description:
                each.description = f"{each.description or ''}\n\n{namespace}: {tool.description}".strip()
            yield f"{place}.tools[{inner}]", each, namespace


def _offered(tool: _WireTool, place: str, namespace: str | None) -> tuple[Origin, Tool] | None:
    """What the client runs itself, as the hub has it."""
    match tool.type:
        case "function":
            name = _name(tool, place)
            made = Tool(name=name, description=tool.description, schema=tool.parameters, strict=tool.strict)
            return Origin("function", name, namespace), made
        case "custom":
            name = _name(tool, place)
            made = Tool(name=name, description=tool.description, kind="custom", format=tool.format)
            return Origin("custom", name, namespace), made
        case "tool_search" if tool.execution == "client":
            made = Tool(name="tool_search", description=tool.description, schema=tool.parameters)
            return Origin("tool_search", "tool_search"), made
        case "local_shell":
            return Origin("local_shell", "local_shell"), _SHELL
        case _:
            return None


def _name(tool: _WireTool, place: str) -> str:
    if tool.name is None:
        raise InvalidRequest(
            "missing_required_parameter",
            f"Missing required parameter: '{place}.name'.",
            param=f"{place}.name",
        )
    return tool.name
