"""What a provider is to the gateway: a maker of exchanges, pure, knowing no sockets, keys or money."""

from collections.abc import Callable, Mapping
from typing import NoReturn, Protocol

from msgspec import Struct

from tokligenced.config import ProviderSettings
from tokligenced.dialects import clients
from tokligenced.dialects.conversation import Target
from tokligenced.domain import Call, Deployment, Dialect, Model, Usage
from tokligenced.errors import CallError, InvalidRequest


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
    content_type: str | None
    """What the client gets; None for what the upstream says."""

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

    @property
    def complete(self) -> bool:
        """Whether the client has all of the answer, though the connection may not be over yet."""

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent, give what the client gets."""

    def finish(self) -> bytes:
        """The upstream's answer is over; give what is left, or raise if it ended too early."""

    def fail(self, error: CallError) -> bytes:
        """What tells the client of a stream that it broke off, in the client's dialect."""

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""


class Provider(Protocol):
    """An account at an upstream, ready to make exchanges.

    `counts_tokens` says whether it can be asked how many tokens a call has.
    """

    settings: ProviderSettings
    counts_tokens: bool

    def exchange(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """A fresh exchange; raises `InvalidRequest` when this provider can't serve what is asked."""


class Remote:
    """What providers that are reached over HTTP share.

    A subclass says where its paths and headers differ, and makes the exchanges of the endpoints it serves.
    """

    counts_tokens = False

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self.headers: Mapping[str, str] = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "tokligenced",
            **settings.headers,
            **self.credentials(),
        }
        # The same string object for all calls: the HTTP client remembers what it made of it.
        self._urls: dict[tuple[str, str], str] = {}
        self._makers: Mapping[Dialect, Callable[[Call, Model, Deployment], Exchange]] = {
            **dict.fromkeys(clients.CLIENTS, self.converse),
            "completions": self.complete,
            "embeddings": self.embed,
            "images": self.draw,
            "rerank": self.rank,
        }

    def credentials(self) -> dict[str, str]:
        """The headers that prove who is asking."""
        key = self.settings.api_key
        return {"Authorization": f"Bearer {key.reveal()}"} if key else {}

    def url(self, path: str, model: str) -> str:  # noqa: ARG002 - some have the model in their paths
        """Where requests for `path` (`/chat/completions`, …) go."""
        return self.settings.base_url + path

    def request(
        self, path: str, model: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> UpstreamRequest:
        """A request for `path`; `headers` replace the provider's own, and stay the same object."""
        url = self._urls.get((path, model))
        if url is None:
            url = self._urls[path, model] = self.url(path, model)
        return UpstreamRequest(
            url=url,
            headers=headers or self.headers,
            body=body,
            connect_timeout=self.settings.connect_timeout,
            idle_timeout=self.settings.idle_timeout,
        )

    def exchange(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """A fresh exchange; raises `InvalidRequest` when this provider can't serve what is asked."""
        make = self.count if call.counting else self._makers[call.dialect]
        return make(call, model, deployment)

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a conversation, in whichever dialect the client holds it."""
        return self.unserved(call)

    def complete(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a legacy completion."""
        return self.unserved(call)

    def count(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange that counts a conversation's tokens."""
        return self.unserved(call)

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for embeddings."""
        return self.unserved(call)

    def draw(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for images."""
        return self.unserved(call)

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a ranking."""
        return self.unserved(call)

    def target(self, model: Model, deployment: Deployment) -> Target:
        """Where a conversation with this deployment goes."""
        return Target(
            provider=self.settings.name,
            model=deployment.model,
            max_output_tokens=model.max_output_tokens,
        )

    def unserved(self, call: Call) -> NoReturn:
        """Refuse an endpoint that this provider does not have."""
        raise InvalidRequest(
            "invalid_value",
            f"The model '{call.model}' can't serve this endpoint: provider {self.settings.name} has no"
            f" {_ENDPOINTS[call.dialect]}.",
            param="model",
        )


_ENDPOINTS: Mapping[Dialect, str] = {
    "chat": "chat completions",
    "completions": "legacy completions",
    "messages": "messages",
    "responses": "responses",
    "embeddings": "embeddings",
    "images": "image generation",
    "rerank": "reranking",
}
