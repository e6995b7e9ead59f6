"""A whole gateway in the test's own process: real database, real sockets, a fake upstream behind it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes import FakeUpstream
from tokligenced import config, daemon
from tokligenced.api import app
from tokligenced.api.live import LiveStreams
from tokligenced.api.server import Runner
from tokligenced.clock import RandomIds, SystemClock
from tokligenced.domain import Limits

CONFIG = """
[server]
max_request_bytes = "64KiB"
body_timeout = "300ms"
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 1000000
concurrency = 100
[providers.fake]
type = "openai"
base_url = "{url}/v1"
api_key = {{ env = "FAKE_KEY" }}
[providers.second]
type = "openai"
base_url = "{url}/second"
on_disconnect = "drain"
[providers.nowhere]
type = "openai"
base_url = "http://127.0.0.1:9/v1"
[models."gpt-4o"]
context_window = 128_000
max_output_tokens = 4096
aliases = ["gpt"]
price = {{ input = "2.50", output = "10.00" }}
deployments = [{{ provider = "fake", model = "gpt-4o-2024-08-06" }}]
[models."team/two"]
context_window = 128_000
max_output_tokens = 4096
price = {{ input = "2.50", output = "10.00" }}
deployments = [
  {{ provider = "fake", model = "first", priority = 1 }},
  {{ provider = "second", model = "second", priority = 2 }},
]
[models.unreachable]
context_window = 128_000
max_output_tokens = 4096
free = true
deployments = [{{ provider = "nowhere", model = "m" }}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway: `call` sends to it with a key that may do everything."""

    assembly: daemon.Assembly
    http: aiohttp.ClientSession
    url: str
    key: str
    folder: Path
    new_key: Callable[..., Awaitable[str]]

    def call(self, path: str = "/v1/chat/completions", **arguments: Any) -> Any:
        """A POST with a key, unless `headers` say otherwise."""
        arguments.setdefault("headers", {"Authorization": f"Bearer {self.key}"})
        return self.http.post(self.url + path, **arguments)

    def get(self, path: str, **arguments: Any) -> Any:
        """A GET with a key, unless `headers` say otherwise."""
        arguments.setdefault("headers", {"Authorization": f"Bearer {self.key}"})
        return self.http.get(self.url + path, **arguments)

    async def rows(self) -> list[tuple[Any, ...]]:
        """What the calls left in the books: status, error, provider, attempts, prompt, completion, cost."""
        database = self.assembly.database
        await database.flush()
        return await database.read(
            "SELECT status, error, provider, attempts, input + cached_input, output + reasoning, cost_nano"
            " FROM calls ORDER BY rowid"
        )


@asynccontextmanager
async def running(
    upstream: FakeUpstream, folder: Path, *, live: LiveStreams | None = None, settings: str = ""
) -> AsyncIterator[Gateway]:
    """A gateway in front of the fake upstream, with its files in `folder`; `settings` is TOML of its own."""
    live = live or LiveStreams()
    path = folder / "config.toml"
    path.write_text(settings or CONFIG.format(folder=folder, url=upstream.url))
    loaded = config.load(path, {"FAKE_KEY": "sk-secret-of-the-upstream"})
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        assembly = await daemon.assemble(stack, path, loaded, clock=clock, ids=RandomIds(clock), live=live)
        runner = Runner(app.build(assembly.front), assembly.live, **daemon.SERVER_OPTIONS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        account = await assembly.directory.create_account("a@example.com", actor="test")
        await assembly.ledger.credit(account, 10**12, reference="test", note=None, actor="test")

        async def new_key(models: frozenset[str] | None = None, **limits: int) -> str:
            _, key = await assembly.directory.create_key(
                account, name="test", models=models, limits=Limits(**limits), actor="test"
            )
            return key

        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, connector=connector)
        )
        yield Gateway(
            assembly=assembly,
            http=http,
            url=f"http://127.0.0.1:{runner.addresses[0][1]}",
            key=await new_key(),
            folder=folder,
            new_key=new_key,
        )
