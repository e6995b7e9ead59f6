"""An attempt at an upstream that speaks the client's own dialect: bytes pass, a tap looks on."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from tokligenced.config import ProviderSettings
from tokligenced.dialects.wire_error import ErrorInside, WireError
from tokligenced.domain import Usage
from tokligenced.errors import CallError, InvalidRequest
from tokligenced.providers.base import UpstreamRequest
from tokligenced.providers.rejections import error_inside, rejection, without_secrets


class Tap(Protocol):
    """Looks at an answer that passes through; its members are as an exchange's."""

    @property
    def usage(self) -> Usage | None:
        """What the upstream counted."""

    @property
    def told_at(self) -> int:
        """How much was delivered when it last told that."""

    @property
    def delivered(self) -> int:
        """UTF-8 bytes of generated output that passed so far."""

    @property
    def disbelieved(self) -> bool:
        """Whether it told a usage that can't be."""

    @property
    def complete(self) -> bool:
        """Whether the answer is over by its own word."""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes of the answer, give those that go on. Raises `UpstreamFailed`, `ErrorInside`."""

    def finish(self) -> bytes:
        """What is left at the end. Raises as `feed`, also when the answer is not whole."""


class Passed:
    """One attempt; not shared.

    `read_error` reads the upstream's body of an answer that is not a success, `render_failure` tells the
    client of a stream that broke off. With `own_errors` the client gets the upstream's own body and status of
    an error that is about its request.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        settings: ProviderSettings,
        tap: Tap,
        *,
        read_error: Callable[[bytes], WireError],
        render_failure: Callable[[CallError], bytes],
        own_errors: bool = False,
    ) -> None:
        self.request = request
        self.content_type: str | None = None
        self._settings = settings
        self._tap = tap
        self._read_error = read_error
        self._render_failure = render_failure
        self._own_errors = own_errors

    @property
    def usage(self) -> Usage | None:
        """What the upstream said it counted."""
        return self._tap.usage

    @property
    def told_at(self) -> int:
        """How much was delivered when the upstream last told its usage."""
        return self._tap.told_at

    @property
    def disbelieved(self) -> bool:
        """Whether the upstream told a usage that can't be."""
        return self._tap.disbelieved

    @property
    def delivered(self) -> int:
        """UTF-8 bytes of generated output that passed so far."""
        return self._tap.delivered

    @property
    def complete(self) -> bool:
        """Whether the client has all of the answer."""
        return self._tap.complete

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent, give what the client gets."""
        try:
            return self._tap.feed(chunk)
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None

    def finish(self) -> bytes:
        """Give what is left; raises `UpstreamFailed` when the answer ended too early."""
        try:
            return self._tap.finish()
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None

    def fail(self, error: CallError) -> bytes:
        """What tells the client of a stream that it broke off."""
        return self._render_failure(error)

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""
        error = rejection(status, headers, self._read_error(body), self._settings)
        # Clients of the dialect read JSON; what a proxy between says in HTML is told as others' errors are.
        if self._own_errors and isinstance(error, InvalidRequest) and _is_object(body):
            error.status = status
            error.body = without_secrets(body.decode(), self._settings).encode()
        return error


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
