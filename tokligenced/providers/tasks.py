"""An attempt at an endpoint that answers in one piece: embeddings, images, reranking."""

from collections.abc import Callable, Mapping
from typing import NoReturn

from tokligenced.config import ProviderSettings
from tokligenced.dialects.tasks import Answer
from tokligenced.dialects.wire_error import ErrorInside, WireError, utf8
from tokligenced.domain import Usage
from tokligenced.errors import CallError
from tokligenced.providers.base import UpstreamRequest
from tokligenced.providers.rejections import error_inside, rejection


class Task:
    """One attempt; not shared.

    `read` makes the client's answer of the upstream's, or raises `UpstreamFailed`; `read_error` reads the
    body of one that is not a success.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        settings: ProviderSettings,
        *,
        read: Callable[[bytes], Answer],
        read_error: Callable[[bytes], WireError],
    ) -> None:
        self.request = request
        self.content_type: str | None = "application/json"
        self.usage: Usage | None = None
        self.told_at = 0
        self.disbelieved = False
        self.delivered = 0
        self.complete = False
        self._settings = settings
        self._read = read
        self._read_error = read_error
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent; nothing is for the client before all of it has come."""
        self._chunks.append(chunk)
        return b""

    def finish(self) -> bytes:
        """The client's answer; raises `UpstreamFailed` when the upstream's is none."""
        try:
            answer = self._read(utf8(b"".join(self._chunks)))
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None
        self.usage = answer.usage
        self.disbelieved = answer.disbelieved
        self.delivered = self.told_at = answer.delivered
        return answer.body

    def fail(self, error: CallError) -> NoReturn:
        """There is no stream that could break off."""
        raise error

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""
        return rejection(status, headers, self._read_error(body), self._settings)
