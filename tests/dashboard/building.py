"""A gateway with its pages, on a real socket, and people who look at them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tokligenced import config, daemon, site
from tokligenced.api.live import LiveStreams
from tokligenced.api.server import Runner
from tokligenced.clock import RandomIds, SystemClock

CONFIG = """
[server]
public_url = "http://gateway.example"
[database]
path = "{folder}/test.db"
[accounts]
welcome_credit = "5.00"
[providers.demo]
type = "demo"
[models."demo-chat"]
context_window = 128_000
max_output_tokens = 4096
price = {{ input = "2.50", cached_input = "1.25", output = "10.00" }}
deployments = [{{ provider = "demo", model = "demo" }}]
[models."team/<b>bold</b>"]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "demo", model = "demo" }}]
"""
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A running gateway; `person` is a browser of its own, without a script."""

    assembly: daemon.Assembly
    url: str
    stack: AsyncExitStack

    async def visitor(self) -> "Browser":
        """Somebody who is not signed in."""
        # The server is at a number, whose cookies the default jar would not keep.
        jar = aiohttp.CookieJar(unsafe=True)
        http = await self.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        return Browser(http=http, url=self.url)

    async def person(self, email: str) -> "Browser":
        """Somebody who has just signed up."""
        browser = await self.visitor()
        status, text = await browser.post("/sign-up", email=email, password=PASSWORD)
        assert status == 200, text
        return browser


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """Follows redirections, keeps cookies, says where its forms come from."""

    http: aiohttp.ClientSession
    url: str

    async def get(self, path: str, **arguments: Any) -> tuple[int, str]:
        """Status and text of a page."""
        async with self.http.get(self.url + path, **arguments) as response:
            return response.status, await response.text()

    async def post(self, path: str, origin: str | None = None, **fields: str) -> tuple[int, str]:
        """Status and text of what a form leads to."""
        headers = {"Origin": origin or self.url}
        async with self.http.post(self.url + path, data=fields, headers=headers) as response:
            return response.status, await response.text()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Building]:
    """A gateway with its files in `folder`."""
    path = folder / "config.toml"
    path.write_text(CONFIG.format(folder=folder))
    settings = config.load(path, {})
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        assembly = await daemon.assemble(
            stack, path, settings, clock=clock, ids=RandomIds(clock), live=LiveStreams()
        )
        pages = site.application(assembly, settings.server.public_url)
        runner = Runner(pages, assembly.live, **daemon.SERVER_OPTIONS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Building(assembly=assembly, url=url, stack=stack)
