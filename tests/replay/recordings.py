"""The recorded exchanges with providers: `shared/corpus/given`, beside the clone and described there."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.json import Decoder

SHARED = Path(__file__).parents[3] / "shared"
CORPUS = SHARED / "corpus" / "given"

Wire = Literal["openai", "anthropic", "gemini"]
_LINE = re.compile(r"\r\n|\n|\r")
# What a recorded path calls for, where the provider's name alone does not tell.
_AZURE_BY_DEPLOYMENT = "/openai/deployments/"


class Asked(Struct, frozen=True):
    """What was sent to the provider; the body is None where only the answer is known."""

    path: str = ""
    query: dict[str, str] = {}
    body: dict[str, Any] | None = None


class Answered(Struct, frozen=True):
    """What the provider gave back."""

    status: int
    body: str
    sse: bool
    headers: dict[str, str] = {}


class Recording(Struct, frozen=True, kw_only=True):
    """One exchange, or one that was made of it by serving the same answer in the other way."""

    id: str
    provider: str
    kind: str
    tags: list[str]
    response: Answered
    model: str | None = None
    request: Asked | None = field(default=None)

    @property
    def path(self) -> str:
        """Where the request went."""
        return self.request.path if self.request else ""

    @property
    def wire(self) -> Wire:
        """Which language the answer is in."""
        if "/chat/completions" in self.path:
            return "openai"
        if self.provider == "anthropic":
            return "anthropic"
        return "gemini" if self.provider in {"gemini", "vertex"} else "openai"

    @property
    def type(self) -> str:
        """The `type` of a provider in the configuration that speaks to it."""
        if self.wire != "openai":
            return self.wire
        if _AZURE_BY_DEPLOYMENT in self.path:
            return "azure"
        return "deepseek" if self.provider == "deepseek" else "openai"

    @property
    def streamed(self) -> bool:
        """Whether it is a stream on the wire; the gateway asks Gemini for events, never for an array."""
        return self.response.sse or "json-array-stream" in self.tags

    @property
    def body(self) -> bytes:
        """What an upstream sends."""
        if "json-array-stream" in self.tags:
            return as_events(json.loads(self.response.body))
        ended = self.response.sse and not self.response.body.endswith("\n")
        return (self.response.body + ("\n\n" if ended else "")).encode()

    @property
    def data(self) -> list[Any]:
        """The objects of all its events, or the one that it is."""
        if not self.streamed:
            return [json.loads(self.response.body)]
        return [json.loads(data) for data in _events(self.body.decode()) if data != "[DONE]"]

    @property
    def fails(self) -> bool:
        """Whether it is an error, by its status or by what it holds."""
        return self.response.status != 200 or any(
            data.get("error") or data.get("type") == "error" for data in self.data
        )


def as_events(data: list[Any]) -> bytes:
    """Objects as an event stream without names."""
    return "".join([f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in data]).encode()


def _events(text: str) -> Iterator[str]:
    lines: list[str] = []
    for line in [*_LINE.split(text), ""]:
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            yield "\n".join(lines)
            lines = []


_read = Decoder(Recording)


@cache
def chats() -> tuple[Recording, ...]:
    """All recorded chats; raises when the recordings are not there, for then nothing would be proved."""
    found = [_read.decode(path.read_bytes()) for path in sorted(CORPUS.glob("cases/*/*.json"))]
    # Cohere's own chat is not spoken: its compatibility endpoint is.
    spoken = [each for each in found if each.kind == "chat" and each.provider != "cohere"]
    if not spoken:
        raise FileNotFoundError(f"no recordings under {CORPUS}: put shared/ beside the clone")
    return tuple(spoken)


def good() -> list[Recording]:
    """Those that hold an answer."""
    return [each for each in chats() if not each.fails]


def bad() -> list[Recording]:
    """Those that hold an error."""
    return [each for each in chats() if each.fails]
