"""POST /v1/embeddings, /v1/images/generations, /v1/rerank and /v2/rerank, where the operator wants them."""

from collections.abc import Callable

from aiohttp import web

from tokligenced.api.front import Front, read_body, whole_answer
from tokligenced.dialects import embeddings as embeddings_dialect
from tokligenced.dialects import images as images_dialect
from tokligenced.dialects import rerank as rerank_dialect
from tokligenced.domain import Call, Principal
from tokligenced.errors import InvalidRequest
from tokligenced.gateway.trail import Trail


async def embeddings(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Serve embeddings."""
    enabled = front.router.catalog.endpoints.embeddings
    return await _task(front, request, principal, trail, embeddings_dialect.parse, enabled=enabled)


async def images(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Serve images."""
    enabled = front.router.catalog.endpoints.images
    return await _task(front, request, principal, trail, images_dialect.parse, enabled=enabled)


async def rerank(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.StreamResponse:
    """Serve a ranking."""
    enabled = front.router.catalog.endpoints.rerank
    return await _task(front, request, principal, trail, rerank_dialect.parse, enabled=enabled)


async def _task(
    front: Front,
    request: web.Request,
    principal: Principal,
    trail: Trail,
    parse: Callable[..., Call],
    *,
    enabled: bool,
) -> web.StreamResponse:
    if not enabled:
        raise InvalidRequest("endpoint_disabled", "This gateway does not serve this endpoint.", status=404)
    body = await read_body(front, request, principal.key)
    trail.received = front.clock.monotonic()
    call = parse(body, call_id=trail.id, at=trail.started_at)
    trail.model = call.model
    async with front.relay.open(call, principal, trail) as passage:
        pass
    return whole_answer(front, request, trail, passage.body, passage.content_type)
