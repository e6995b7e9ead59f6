"""What a provider is to the gateway: a maker of exchanges, pure, knowing no sockets, keys or money."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from tokligenced.config import ProviderSettings
from tokligenced.domain import Call, Deployment, Usage
from tokligenced.errors import CallError


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """What goes to an upstream; `headers` hold credentials, so a request is never logged.

    Time-outs are in seconds: for the connection to stand, and for silence once it does.
    """

    method: str = "POST"
    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_timeout: float
    idle_timeout: float


class Exchange(Protocol):
    """One attempt at one upstream: stateful, not shared, never awaits.

    A stream's chunks go through `feed` one by one; a whole body goes through it once. What comes
    back is for the client, empty when there is nothing to say yet. `finish` comes after the last
    chunk. Both raise `UpstreamFailed` when the upstream broke its protocol.
    """

    request: UpstreamRequest

    @property
    def usage(self) -> Usage | None:
        """What the upstream said it counted; None as long as it said nothing."""

    @property
    def told_at(self) -> int:
        """How much was `delivered` when the upstream last told its usage."""

    @property
    def disbelieved(self) -> bool:
        """Whether the upstream told a usage that can't be: negative, or beyond all size."""

    @property
    def delivered(self) -> int:
        """UTF-8 bytes of generated text, tool arguments and reasoning that passed so far."""

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent, give what the client gets."""

    def finish(self) -> bytes:
        """The upstream's answer is over; give what is left, or raise if it ended too early."""

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""


class Provider(Protocol):
    """An account at an upstream, ready to make exchanges."""

    settings: ProviderSettings

    def exchange(self, call: Call, deployment: Deployment) -> Exchange:
        """A fresh exchange; raises `InvalidRequest` when this provider can't serve what is asked."""
