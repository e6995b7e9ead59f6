"""POST /v1/chat/completions."""

import asyncio

from aiohttp import web

from tokligenced.api.front import Front, answer_headers, read_body, whole_answer
from tokligenced.api.live import cut_off
from tokligenced.dialects import chat, sse
from tokligenced.domain import Call, Principal
from tokligenced.errors import CallError
from tokligenced.gateway.relay import Passage
from tokligenced.gateway.trail import Trail


async def completions(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Serve a chat completion, streamed or not."""
    call = chat.parse(await read_body(front, request))
    trail.model = call.model
    trail.stream = call.stream
    if call.stream:
        return await _stream(front, request, call, principal, trail)
    async with front.relay.open(call, principal, trail) as passage:
        pass
    return whole_answer(front, trail, passage.body, passage.content_type)


async def _stream(
    front: Front, request: web.Request, call: Call, principal: Principal, trail: Trail
) -> web.StreamResponse:
    response: web.StreamResponse | None = None
    try:
        async with front.relay.open(call, principal, trail) as passage:
            response = web.StreamResponse(headers=_stream_headers(front, trail, passage))
            await response.prepare(request)
            await _deliver(front, request, response, passage)
    except CallError as error:
        if response is None:
            raise
        response.force_close()
        await response.write(chat.render_error_event(error))
    return response


def _stream_headers(front: Front, trail: Trail, passage: Passage) -> dict[str, str]:
    headers = answer_headers(front, trail, passage.content_type)
    headers["Cache-Control"] = "no-cache"
    headers["X-Accel-Buffering"] = "no"
    return headers


async def _deliver(
    front: Front, request: web.Request, response: web.StreamResponse, passage: Passage
) -> None:
    stream = front.live.open(request, response, sse.KEEP_ALIVE)
    try:
        if passage.body:
            await stream.write(passage.body)
        async for chunk in passage.chunks():
            await stream.write(chunk)
        await response.write_eof()
    except asyncio.CancelledError as error:
        if (reason := cut_off(error)) is None:
            raise
        raise reason from None
    finally:
        front.live.close(stream)
