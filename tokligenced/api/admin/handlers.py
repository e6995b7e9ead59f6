"""Routes → request handlers: parameters are gathered, the operation is performed, its result is told."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from tokligenced.api.admin import access, openapi
from tokligenced.api.admin.table import ROUTES, Route
from tokligenced.api.front import JSON, SERVER, Front, arriving, check_head
from tokligenced.dialects.chat import render_error
from tokligenced.errors import (
    CallError,
    ConfigError,
    Conflict,
    InternalError,
    InvalidInput,
    InvalidRequest,
    NotFound,
    StoreError,
    TokligencedError,
    Unavailable,
)
from tokligenced.gateway.operations import Caller, Object

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What an operation refuses by, and how that is told.
_REFUSALS: tuple[tuple[type[TokligencedError], str, int], ...] = (
    (NotFound, "not_found", 404),
    (Conflict, "conflict", 409),
    (InvalidInput, "invalid_value", 400),
    (ConfigError, "invalid_config", 409),
)


class Paging(Struct, frozen=True, kw_only=True):
    """Which part of a whole list is wanted: after the item that is so named, at most so many."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


def handlers(front: Front) -> Mapping[str, Mapping[str, Handler]]:
    """By path and method, what serves it."""
    found: dict[str, dict[str, Handler]] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method] = _handler(front, route)
    document = msgspec.json.encode(openapi.document(front.operations.parameters))

    async def described(_request: web.Request) -> web.Response:
        return _answer(document, 200)

    return {**found, openapi.PATH: {"GET": described}}


def _handler(front: Front, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        front.live.started(request)
        try:
            caller = Caller(actor=access.actor(front, request), progress=lambda _told: None)
            parameters, paging = await _parameters(front, route, request)
            result = await front.operations.perform(
                route.operation, parameters, caller, strict=route.method != "GET"
            )
            told = result if paging is None else _page(result, paging, str(route.listed))
            return _answer(msgspec.json.encode(told), route.status)
        except TokligencedError as error:
            return _refusal(_told_as(error))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            structlog.get_logger().error("admin.crashed", operation=route.operation, exc_info=error)
            return _refusal(InternalError("internal_error", "Internal error; the log says what."))
        finally:
            front.live.ended(request)

    return handle


async def _parameters(front: Front, route: Route, request: web.Request) -> tuple[Object, Paging | None]:
    """The operation's parameters, and the part of its list that is wanted."""
    if route.method == "GET":
        given: Object = dict(request.query)
        if len(given) != len(request.query):
            raise InvalidInput("a parameter is there twice")
    elif request.can_read_body:
        check_head(front, request)
        given = _object(await arriving(front, request.content))
    else:
        given = {}
    paging = None
    if route.listed is not None:
        wanted = {name: given.pop(name) for name in Paging.__struct_fields__ if name in given}
        try:
            paging = msgspec.convert(wanted, Paging, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error)) from error
    for name in route.names:
        if name in given:
            raise InvalidInput(f"{name} stands in the path already")
        given[name] = request.match_info[name]
    return given, paging


def _object(body: bytes) -> Object:
    try:
        given = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise InvalidRequest("invalid_value", f"The body must be a JSON object: {error}.") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest("invalid_json", f"The body is not JSON: {error}.") from error
    return given


def _page(items: Any, paging: Paging, name: str) -> Object:  # noqa: ANN401 - JSON
    first = 0
    if paging.after is not None:
        names = [item[name] for item in items]
        if paging.after not in names:
            raise InvalidInput("after names nothing in this list")
        first = names.index(paging.after) + 1
    end = first + paging.limit
    return {"object": "list", "data": items[first:end], "has_more": end < len(items)}


def _told_as(error: TokligencedError) -> CallError:
    """What an operation's error is as an HTTP answer."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, StoreError):
        return Unavailable("ledger_unavailable", str(error))
    for kind, code, status in _REFUSALS:
        if isinstance(error, kind):
            return InvalidRequest(code, str(error), status=status)
    return InternalError("internal_error", str(error))


def _answer(body: bytes, status: int) -> web.Response:
    headers = {"Content-Type": JSON, "Server": SERVER, "Cache-Control": "no-store"}
    return web.Response(status=status, body=body, headers=headers)


def _refusal(error: CallError) -> web.Response:
    response = _answer(render_error(error), error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status in {408, 413}:
        # The rest of the body is still on its way, and nobody will read it.
        response.force_close()
    return response
