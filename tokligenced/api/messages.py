"""POST /v1/messages/count_tokens: by the provider where it can count, else by the gateway's own estimate."""

import msgspec
from aiohttp import web

from tokligenced.api.conversations import with_head
from tokligenced.api.front import Front, read_body, whole_answer
from tokligenced.dialects import clients, messages
from tokligenced.domain import Principal
from tokligenced.gateway.pricing import input_tokens
from tokligenced.gateway.trail import Trail

_ESTIMATED = {"x-tokligence-estimated": "true"}


async def count_tokens(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Tell how many tokens a conversation has; an estimate is rather too high, and a header says so."""
    body = await read_body(front, request, principal.key)
    trail.received = front.clock.monotonic()
    call = messages.parse_counting(body, call_id=trail.id, at=trail.started_at)
    call = with_head(call, request, clients.MESSAGES)
    trail.model = call.model
    async with front.relay.open(call, principal, trail) as passage:
        pass
    if passage.body:
        return whole_answer(front, request, trail, passage.body, passage.content_type)
    estimate = msgspec.json.encode({"input_tokens": input_tokens(call)})
    return whole_answer(front, request, trail, estimate, extra=_ESTIMATED)
