"""The yardstick: what any relay on aiohttp must at least do, and nothing more.

`python -m tests.bench.bare_relay PORT UPSTREAM_URL`. It forwards method, path and body and gives back
status and body as they arrive: no keys, no parsing, no counting. It is tuned as the gateway is
(uvloop, one session without a connection limit, no decompression, no cookies, no access log), so the
gateway's distance from it is what the gateway does besides relaying.
"""

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

_SESSION = web.AppKey("session", ClientSession)
_UPSTREAM = web.AppKey("upstream", str)
_FORWARDED = ("Content-Type", "Authorization")


async def relay(request: web.Request) -> web.StreamResponse:
    """Pass one request on and its answer back."""
    session, url = request.app[_SESSION], request.app[_UPSTREAM] + request.raw_path
    headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
    body = await request.read()
    async with session.request(request.method, url, data=body or None, headers=headers) as upstream:
        returned = {"Content-Type": upstream.headers.get("Content-Type", "application/octet-stream")}
        if upstream.content_length is not None:
            whole = await upstream.read()
            return web.Response(status=upstream.status, headers=returned, body=whole)
        response = web.StreamResponse(status=upstream.status, headers=returned)
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(
        connector=TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
    ) as session:
        app[_SESSION] = session
        yield


def main(port: int, upstream: str) -> None:
    """Serve until SIGTERM."""
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app[_UPSTREAM] = upstream
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", relay)
    web.run_app(
        app,
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        backlog=2048,
        shutdown_timeout=1,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
