"""A Gemini function call whose arguments come in pieces, each with the JSONPath of its place.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
https://www.rfc-editor.org/rfc/rfc9535
"""

import re
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from tokligenced.dialects.wire_error import not_the_dialect
from tokligenced.errors import UpstreamFailed

_STEP = re.compile(
    r"""\.(?P<plain>[^.\[\]'"]+)"""
    r"""|\[(?P<index>\d{1,6})\]"""
    r"""|\['(?P<single>(?:[^'\\]|\\.)*)'\]"""
    r"""|\["(?P<double>(?:[^"\\]|\\.)*)"\]"""
)
_ESCAPED = re.compile(r"\\(.)")
_DEEPEST = 100
_WIDEST_GAP = 100

Path = list[str | int]


class PartialArg(Struct, rename="camel"):
    """A piece: a value, or more of the text at the same place as long as the last one there went on."""

    json_path: str
    string_value: str | None = None
    number_value: int | float | None = None
    bool_value: bool | None = None
    will_continue: bool | None = None

    @property
    def value(self) -> str | float | bool | None:
        """The value; a piece without any is null."""
        if self.string_value is not None:
            return self.string_value
        return self.number_value if self.number_value is not None else self.bool_value


class OpenCall(Struct):
    """A call that is not complete yet; `begun` are arguments that came whole, at its start."""

    name: str
    id: str | None
    signature: str | None
    begun: dict[str, Any]
    # Each place once, in order; a text's pieces are joined when all are there.
    _values: list[tuple[Path, Any]] = msgspec.field(default_factory=list)
    _open: dict[str, list[str]] = msgspec.field(default_factory=dict)

    def add(self, pieces: list[PartialArg]) -> None:
        """Take more pieces. Raises `UpstreamFailed` for a path that can't be read."""
        for piece in pieces:
            value = piece.value
            texts = self._open.get(piece.json_path)
            if not isinstance(value, str):
                self._values.append((_path(piece.json_path), value))
            elif texts is not None:
                texts.append(value)
            else:
                texts = [value]
                self._values.append((_path(piece.json_path), texts))
            if piece.will_continue and texts is not None:
                self._open[piece.json_path] = texts
            else:
                self._open.pop(piece.json_path, None)

    def arguments(self) -> str:
        """The arguments as the text of a JSON object. Raises `UpstreamFailed` where they contradict."""
        root = self.begun
        for path, value in self._values:
            _put(root, path, "".join(value) if isinstance(value, list) else value)
        return msgspec.json.encode(root).decode()


def _path(text: str) -> Path:
    steps: Path = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or len(steps) == _DEEPEST:
            raise _contradiction()
        at = step.end()
        if step["index"] is not None:
            steps.append(int(step["index"]))
        elif step["plain"] is not None:
            steps.append(step["plain"])
        else:
            steps.append(_ESCAPED.sub(r"\1", step["single"] or step["double"] or ""))
    if not text.startswith("$") or not steps:
        raise _contradiction()
    return steps


def _put(root: dict[str, Any], path: Path, value: object) -> None:
    here: Any = root
    for step, following in pairwise(path):
        _settle(here, step, [] if isinstance(following, int) else {}, anew=False)
        here = here[step]
    _settle(here, path[-1], value, anew=True)


def _settle(here: object, step: str | int, value: object, *, anew: bool) -> None:
    """Put a value where there is none, or where `anew` wants it."""
    match here, step:
        case dict(), str():
            if anew or here.get(step) is None:
                here[step] = value
        case list(), int() if step < len(here) + _WIDEST_GAP:
            # Places before it that are empty objects or lists have no pieces.
            here.extend([None] * (step + 1 - len(here)))
            if anew or here[step] is None:
                here[step] = value
        case _:
            raise _contradiction()


def _contradiction() -> UpstreamFailed:
    return not_the_dialect("a function call that can be put together")
