"""The web server under the application: watched connections, and JSON even where a request is no HTTP."""

import asyncio
from typing import Any, cast

import structlog
from aiohttp import HttpVersion10, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from tokligenced.api.app import plain_refusal
from tokligenced.api.live import LiveStreams, Outlet
from tokligenced.errors import CallError, InternalError, InvalidRequest


class Runner(web.AppRunner):
    """Runs an application whose connections `live` looks after; `options` are those of `web.AppRunner`."""

    def __init__(self, app: web.Application, live: LiveStreams, **options: Any) -> None:  # noqa: ANN401
        super().__init__(app, **options)
        self._live = live

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self._live, **self._kwargs)


class _Server(web.Server):
    """Makes a connection for each client, and turns away what the application can't answer."""

    def __init__(self, made: web.Server, live: LiveStreams, **options: Any) -> None:  # noqa: ANN401
        super().__init__(self._serve, request_factory=self._request, **options)
        self._application = made.request_handler
        self._plain_request = made.request_factory
        self._live = live

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self._live, loop=self._loop, **self._kwargs)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        if self._live.leaving:  # as if the client had asked for it, so every kind of answer says so too
            message = message._replace(should_close=True)
        return self._plain_request(message, payload, protocol, writer, task)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.version < HttpVersion10:
            return _closing(InvalidRequest("invalid_value", "Speak HTTP/1.0 or 1.1."))
        try:
            return await self._application(request)
        except web.HTTPException:
            # A target that is no path, as of CONNECT, has no route, not even the one for all the rest.
            return _closing(InvalidRequest("not_found", "There is nothing here.", status=404))


class _Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_live", "_outlet")
    _outlet: Outlet

    def __init__(self, manager: web.Server, live: LiveStreams, **options: Any) -> None:  # noqa: ANN401
        super().__init__(manager, **options)
        self._live = live

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outlet = self._live.connected(cast("asyncio.Transport", transport))
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._live.disconnected(self._outlet)
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._outlet.moved = True
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text repeats the request, its key included
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, and to a handler that failed; either closes the connection."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status == 400:
            structlog.get_logger().info("request.malformed", error=type(exc).__name__)
            return _closing(InvalidRequest("invalid_value", "The request is not well-formed HTTP."))
        structlog.get_logger().error("request.crashed", exc_info=exc)
        if request.writer.output_size:
            raise ConnectionResetError("the answer broke off") from exc
        return _closing(InternalError("internal_error", "Internal error."))


def _closing(error: CallError) -> web.Response:
    response = plain_refusal(error)
    response.force_close()
    return response
