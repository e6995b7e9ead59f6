"""Conversations, streamed or not: one way through the gateway for every dialect that clients speak."""

import asyncio
from collections.abc import Callable

from aiohttp import HttpVersion11, web
from msgspec import structs

from tokligenced.api.front import Endpoint, Front, answer_headers, read_body, reason_for, whole_answer
from tokligenced.api.live import LiveStream
from tokligenced.dialects.clients import Inlet
from tokligenced.domain import Call, Principal
from tokligenced.gateway.relay import Passage
from tokligenced.gateway.trail import Trail


def conversation(inlet: Inlet) -> Endpoint:
    """The endpoint for conversations in a client's dialect."""

    async def endpoint(
        front: Front, request: web.Request, principal: Principal, trail: Trail
    ) -> web.StreamResponse:
        call = await read_call(front, request, principal, trail, inlet)
        passage = front.relay.open(call, principal, trail)
        return await serve(front, request, trail, inlet, passage)

    return endpoint


async def read_call(
    front: Front, request: web.Request, principal: Principal, trail: Trail, inlet: Inlet
) -> Call:
    """The call that a request makes. Raises `InvalidRequest` for what is none."""
    body = await read_body(front, request, principal.key)
    trail.received = front.clock.monotonic()
    call = with_head(inlet.parse(body, call_id=trail.id, at=trail.started_at), request, inlet)
    trail.model = call.model
    trail.stream = call.stream
    return call


async def serve(
    front: Front,
    request: web.Request,
    trail: Trail,
    inlet: Inlet,
    passage: Passage,
    *,
    watch: Callable[[bytes], None] | None = None,
) -> web.StreamResponse:
    """Answer a call, streamed or not; `watch` is shown all that the client gets for the first time."""
    if trail.stream:
        return await _stream(front, request, trail, inlet, passage, watch)
    async with passage:
        # Before it is settled, so that what is kept of an answer lands with its charge.
        if watch is not None and not trail.replayed:
            watch(passage.body)
    return whole_answer(front, request, trail, passage.body, passage.content_type)


def with_head(call: Call, request: web.Request, inlet: Inlet) -> Call:
    """The call with what of the request's head belongs to its dialect."""
    if not inlet.headers:
        return call
    names = {name.lower() for name in request.headers if name.lower().startswith(inlet.headers)}
    # A list may come as several lines: https://www.rfc-editor.org/rfc/rfc9110#section-5.3
    headers = {name: ",".join(request.headers.getall(name)) for name in names}
    query = inlet.query if inlet.query in request.query_string.split("&") else ""
    return structs.replace(call, headers=headers, query=query)


async def _stream(  # noqa: PLR0917 - as `serve`
    front: Front,
    request: web.Request,
    trail: Trail,
    inlet: Inlet,
    passage: Passage,
    watch: Callable[[bytes], None] | None,
) -> web.StreamResponse:
    stream: LiveStream | None = None
    try:
        async with passage:
            response = web.StreamResponse(headers=_stream_headers(front, trail, passage))
            if request.version < HttpVersion11:
                # Without chunks only the connection's end can tell where the stream ends.
                response.force_close()
            await response.prepare(request)
            stream = front.live.open(request, response, inlet.keep_alive)
            if passage.body:
                if watch is not None:
                    watch(passage.body)
                await stream.write(passage.body)
            async for chunk in passage.chunks():
                if watch is not None:
                    watch(chunk)
                await stream.write(chunk)
            await stream.finish()
    except (Exception, asyncio.CancelledError) as error:
        if stream is None or stream.ended:
            raise
        response.force_close()
        await stream.finish(passage.failure(reason_for(trail, error)))
    finally:
        if stream is not None:
            front.live.close(stream)
    return response


def _stream_headers(front: Front, trail: Trail, passage: Passage) -> dict[str, str]:
    headers = answer_headers(front, trail, passage.content_type)
    headers["Cache-Control"] = "no-cache"
    headers["X-Accel-Buffering"] = "no"
    return headers
