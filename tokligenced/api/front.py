"""What every endpoint shares: authentication, the call's trail, errors in the client's dialect, headers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog
from aiohttp import StreamReader, web
from msgspec import Struct

from tokligenced.api import ready
from tokligenced.api.live import LiveStreams, cut_off
from tokligenced.clock import Clock, IdSource
from tokligenced.dialects import clients
from tokligenced.dialects.clients import Inlet
from tokligenced.domain import Key, Principal, decimal_usd
from tokligenced.errors import CallError, InternalError, InvalidRequest, RateLimited, Unauthenticated
from tokligenced.gateway.auth import Authenticator
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.limits import RateLimiter, effective
from tokligenced.gateway.operations import Operations
from tokligenced.gateway.relay import Relay
from tokligenced.gateway.reports import Reports
from tokligenced.gateway.responses import ResponseStore
from tokligenced.gateway.routing import Router
from tokligenced.gateway.trail import Trail
from tokligenced.gateway.vitals import Vitals

JSON = "application/json"
SERVER = "tokligenced"


class Front(Struct, frozen=True, kw_only=True):
    """The services that endpoints work with; sizes in bytes, time-outs in seconds."""

    authenticator: Authenticator
    router: Router
    limiter: RateLimiter
    relay: Relay
    ledger: Ledger
    reports: Reports
    responses: ResponseStore
    live: LiveStreams
    vitals: Vitals
    operations: Operations
    clock: Clock
    ids: IdSource
    max_request_bytes: int
    body_timeout: float


FRONT = web.AppKey("front", Front)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Endpoint = Callable[[Front, web.Request, Principal, Trail], Awaitable[web.StreamResponse]]


def endpoint(
    front: Front, name: str, serve: Endpoint, *, booked: bool, inlet: Inlet = clients.CHAT
) -> Handler:
    """Wrap an endpoint: `booked` ones leave an outcome for every call whose key proved somebody.

    Errors are told in the dialect of `inlet`.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        trail = Trail(
            front.ids.new("req_"),
            name,
            started_at=front.clock.wall_ms(),
            started=front.clock.monotonic(),
        )
        trail.idempotency_key = request.headers.get("Idempotency-Key")
        trail.cache_control = request.headers.get("Cache-Control")
        front.live.started(request)
        try:
            trail.principal = principal = front.authenticator.authenticate(
                request.headers.get("Authorization"),
                request.headers.get("x-api-key") if inlet.takes_api_key else None,
            )
            return await serve(front, request, principal, trail)
        except (Exception, asyncio.CancelledError) as error:
            trail.failed(error)
            if isinstance(error, Unauthenticated):
                front.vitals.metrics.refused_key(error)
            reason = reason_for(trail, error)
            if request.writer.output_size:
                # An answer is under way already, and a second one must not get into it.
                raise ConnectionResetError("the answer broke off") from error
            return refusal(front, trail, reason, inlet)
        finally:
            front.live.ended(request)
            if booked and trail.principal is not None and not trail.settled:
                front.ledger.settle(None, trail.outcome(front.clock.monotonic()), trail.principal)

    return handle


def reason_for(trail: Trail, error: BaseException) -> CallError:
    """What the client is told about `error`, whatever it is; raises it again when the client has left."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, asyncio.CancelledError) and (reason := cut_off(error)) is not None:
        return reason
    if isinstance(error, asyncio.CancelledError | ConnectionError):
        raise error
    structlog.get_logger().error("call.crashed", request_id=trail.id, exc_info=error)
    return InternalError("internal_error", f"Internal error; request {trail.id}.")


def answer_headers(front: Front, trail: Trail, content_type: str) -> dict[str, str]:
    """The headers of every authenticated answer."""
    headers = {"Content-Type": content_type, "Server": SERVER, "x-request-id": trail.id}
    if trail.principal is not None:
        headers |= front.limiter.headers(trail.principal)
    if trail.provider is not None:
        headers["x-tokligence-provider"] = trail.provider
        headers["x-tokligence-attempts"] = str(trail.attempts)
    if trail.cache is not None:
        headers["x-tokligence-cache"] = trail.cache
    if trail.replayed:
        headers["idempotent-replayed"] = "true"
    return headers


def whole_answer(
    front: Front,
    request: web.Request,
    trail: Trail,
    body: bytes,
    content_type: str = JSON,
    *,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> web.Response:
    """An answer that is not streamed, with what it cost, and `extra` headers."""
    headers = {**answer_headers(front, trail, content_type), **extra}
    if trail.settled:
        headers["x-tokligence-cost"] = decimal_usd(trail.cost_nano)
    return ready.whole(request, body, headers)


def refusal(front: Front, trail: Trail, error: CallError, inlet: Inlet) -> web.Response:
    """The answer that an error makes, in the client's dialect."""
    headers = answer_headers(front, trail, JSON)
    if isinstance(error, RateLimited) and trail.principal is not None:
        headers |= front.limiter.headers(trail.principal, error)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    body = inlet.render_error(error, trail.id)
    response = web.Response(status=error.status, body=body, headers=headers)
    if error.status in (408, 413):
        # The rest of the body is still on its way, and nobody will read it.
        response.force_close()
    return response


def check_head(front: Front, request: web.Request) -> None:
    """Refuse by the head alone what need not be read: raises `InvalidRequest` (413, 415)."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise InvalidRequest("unsupported_media_type", "Send the body uncompressed.", status=415)
    if "json" not in request.headers.get("Content-Type", JSON):
        raise InvalidRequest("unsupported_media_type", "Send Content-Type: application/json.", status=415)
    if (request.content_length or 0) > front.max_request_bytes:
        raise _too_large(front)


async def read_body(front: Front, request: web.Request, key: Key) -> bytes:
    """The request's body. Raises `InvalidRequest`: 408 when it drips, 413, 415.

    Raises `RateLimited` when as many bodies are still arriving for this key as it may run calls.
    """
    check_head(front, request)
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
        if len(body) > front.max_request_bytes:
            raise _too_large(front)
        return body
    limits = effective(key.limits, front.router.catalog.default_limits)
    with front.live.reading(key.id, limits.concurrency or 1):
        return await arriving(front, content)


async def arriving(front: Front, content: StreamReader) -> bytes:
    """A body whose head was let through. Raises `InvalidRequest`: 408 when it drips, 413."""
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(front.body_timeout):
            while chunk := await content.readany():
                size += len(chunk)
                if size > front.max_request_bytes:
                    raise _too_large(front)
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest("request_timeout", "The body did not arrive in time.", status=408) from None
    return b"".join(chunks)


def _too_large(front: Front) -> InvalidRequest:
    return InvalidRequest(
        "payload_too_large", f"The body is larger than {front.max_request_bytes} bytes.", status=413
    )
