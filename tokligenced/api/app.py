"""The routes for machines, and what answers where there is none."""

from collections.abc import Callable
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler

from tokligenced.api import account, catalog, conversations, messages, metrics, responses, tasks
from tokligenced.api.admin import handlers as admin
from tokligenced.api.front import FRONT, JSON, SERVER, Front, check_head, endpoint
from tokligenced.dialects import clients
from tokligenced.dialects.chat import render_error
from tokligenced.errors import CallError, InvalidRequest

_PLAIN = {"Server": SERVER}


def build(front: Front, *more: Callable[[web.Application], None]) -> web.Application:
    """The application; it owns nothing and closes nothing. Each of `more` adds routes of its own, `/` too."""
    app = web.Application()
    app[FRONT] = front
    _add(
        app,
        "POST",
        "/v1/chat/completions",
        endpoint(front, "chat", conversations.conversation(clients.CHAT), booked=True),
    )
    legacy = conversations.conversation(clients.COMPLETIONS)
    _add(app, "POST", "/v1/completions", endpoint(front, "completions", legacy, booked=True))
    _add(app, "POST", "/v1/embeddings", endpoint(front, "embeddings", tasks.embeddings, booked=True))
    _add(app, "POST", "/v1/images/generations", endpoint(front, "images", tasks.images, booked=True))
    for path in ("/v1/rerank", "/v2/rerank"):
        _add(app, "POST", path, endpoint(front, "rerank", tasks.rerank, booked=True))
    answer = endpoint(front, "responses", responses.create, booked=True)
    _add(app, "POST", "/v1/responses", answer)
    kept = endpoint(front, "response", responses.retrieve, booked=False)
    forgotten = endpoint(front, "response", responses.delete, booked=False)
    _add(app, "GET", "/v1/responses/{id}", kept, DELETE=forgotten)
    told = conversations.conversation(clients.MESSAGES)
    counted = messages.count_tokens
    for path in ("/v1/messages", "/anthropic/v1/messages"):
        _add(app, "POST", path, endpoint(front, "messages", told, booked=True, inlet=clients.MESSAGES))
        counting = endpoint(front, "count_tokens", counted, booked=True, inlet=clients.MESSAGES)
        _add(app, "POST", f"{path}/count_tokens", counting)
    for path, ours, theirs in (
        ("/models", catalog.models, catalog.anthropic_models),
        ("/models/{model:.+}", catalog.model, catalog.anthropic_model),
    ):
        plain = endpoint(front, "models", ours, booked=False)
        anthropic = endpoint(front, "models", theirs, booked=False, inlet=clients.MESSAGES)
        _add(app, "GET", f"/v1{path}", _by_version(plain, anthropic))
        _add(app, "GET", f"/anthropic/v1{path}", anthropic)
    _add(app, "GET", "/v1/providers", endpoint(front, "providers", catalog.providers, booked=False))
    _add(app, "GET", "/v1/key", endpoint(front, "key", catalog.key, booked=False))
    _add(app, "GET", "/v1/credits", endpoint(front, "credits", account.balance, booked=False))
    _add(app, "GET", "/v1/generation", endpoint(front, "generation", account.generation, booked=False))
    for path, methods in admin.handlers(front).items():
        (method, handler), *others = methods.items()
        _add(app, method, path, handler, **dict(others))
    _add(app, "GET", "/healthz", _healthz)
    _add(app, "GET", "/readyz", partial(metrics.readyz, front))
    _add(app, "GET", "/metrics", partial(_metrics, front))
    for add in more or (_add_start,):
        add(app)
    app.router.add_route("*", "/{path:.*}", _not_found)
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler, **others: Handler) -> None:
    """Route a path by `method`, and by the names of `others`; any other method is refused."""
    resource = app.router.add_resource(path)
    handlers = {method: handler, **others}
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]
    for name, serves in handlers.items():
        resource.add_route(name, serves, expect_handler=_expect)
    allowed = list(handlers)

    async def other(request: web.Request) -> web.Response:
        if _upgrades(request):
            return _no_websocket()
        error = InvalidRequest(
            "method_not_allowed",
            f"{request.method} is not allowed here; use {' or '.join(allowed)}.",
            status=405,
        )
        response = plain_refusal(error)
        response.headers["Allow"] = ", ".join(allowed)
        return response

    resource.add_route("*", other)


def _by_version(plain: Handler, anthropic: Handler) -> Handler:
    """One address for two dialects: Anthropic's clients say which version of it they speak."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await (anthropic if "anthropic-version" in request.headers else plain)(request)

    return handle


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"}, headers=_PLAIN)


async def _metrics(front: Front, request: web.Request) -> web.Response:
    shown = metrics.metrics(front, request)
    return await _not_found(request) if shown is None else shown


def _add_start(app: web.Application) -> None:
    _add(app, "GET", "/", _start)


async def _start(_request: web.Request) -> web.Response:
    return web.Response(text="tokligenced: the API is at /v1\n", headers=_PLAIN)


async def _not_found(request: web.Request) -> web.Response:
    if _upgrades(request):
        return _no_websocket()
    return plain_refusal(InvalidRequest("not_found", f"There is nothing at {request.path}.", status=404))


def _upgrades(request: web.Request) -> bool:
    """Whether a client asks to go on by WebSocket, as Codex does before it falls back to HTTP."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _no_websocket() -> web.Response:
    message = "There are no WebSockets here; ask by POST, and set stream for a stream."
    return plain_refusal(InvalidRequest("websocket_unsupported", message, status=426))


def plain_refusal(error: CallError) -> web.Response:
    """The answer that an error makes where nobody has proved who they are."""
    return web.Response(
        status=error.status, body=render_error(error), headers={**_PLAIN, "Content-Type": JSON}
    )


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Say that the body may come, unless its head alone is enough to refuse it."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return plain_refusal(InvalidRequest("invalid_value", "Unknown expectation.", status=417))
    try:
        check_head(request.app[FRONT], request)
    except CallError as error:
        response = plain_refusal(error)
        response.force_close()
        return response
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None
