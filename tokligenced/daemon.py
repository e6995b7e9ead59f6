"""The composition root: the one place where objects meet; listen, notify, drain, stop."""

import asyncio
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
import uvloop
from aiohttp import http_parser
from msgspec import Struct

from tokligenced import __version__, catalog, config, listening, logs, site
from tokligenced.api.control import ControlServer, socket_path
from tokligenced.api.front import Front
from tokligenced.api.live import LiveStreams
from tokligenced.api.server import Runner
from tokligenced.clock import Clock, IdSource, RandomIds, SystemClock, Tasks
from tokligenced.config import Config
from tokligenced.domain import NANO_PER_USD, Outcome, Principal
from tokligenced.errors import StoreError, StoreLocked, UpstreamFailed
from tokligenced.gateway import tracing
from tokligenced.gateway.auth import Authenticator
from tokligenced.gateway.breaker import Breakers
from tokligenced.gateway.cache import AnswerCache
from tokligenced.gateway.demo_upstream import DemoUpstream
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.failover import Failover
from tokligenced.gateway.idempotency import Idempotency
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.lifecycle import Lifecycle
from tokligenced.gateway.limits import RateLimiter
from tokligenced.gateway.metrics import Metrics
from tokligenced.gateway.operations import OPERATIONS, Operations, Services
from tokligenced.gateway.operations.links import link_operations
from tokligenced.gateway.people import People
from tokligenced.gateway.relay import Relay
from tokligenced.gateway.repeats import Repeats
from tokligenced.gateway.reports import Reports
from tokligenced.gateway.responses import ResponseStore
from tokligenced.gateway.routing import Router
from tokligenced.gateway.runtime import Reloader, runtime_operations
from tokligenced.gateway.serving import Serving
from tokligenced.gateway.upstream import HttpUpstream
from tokligenced.gateway.vitals import Vitals
from tokligenced.gateway.witnessing import witness, witness_now_and_then
from tokligenced.notify import Notifier
from tokligenced.store import buckets
from tokligenced.store.database import Database, Write

_LAST_WORDS = 1.0
_FAREWELL = 1.0
_ENDING = 30.0  # seconds a manager should allow for what follows the drain
_PATIENCE = 3.0
_DEMO_CREDIT = 10 * NANO_PER_USD

# aiohttp's server as this daemon wants it. `keepalive_timeout` is also the deadline for a request's head.
SERVER_OPTIONS: Mapping[str, Any] = {
    "handler_cancellation": True,
    "keepalive_timeout": 15.0,
    "lingering_time": 1.0,
    "access_log": None,
    "auto_decompress": False,
    "shutdown_timeout": 0.2,
}


# What is told once the daemon listens.
Ready = Callable[[Config, "Assembly"], Awaitable[None]]


def run(config_path: Path) -> None:
    """Run the daemon in the foreground until it is told to stop; raises `ConfigError`, `StoreError`."""

    async def no_more(_settings: Config, _gateway: Assembly) -> None:
        pass

    _run(config_path, no_more)


def demo() -> None:
    """Run the daemon with the demo provider in a folder that goes when it ends."""
    with tempfile.TemporaryDirectory(prefix="tokligenced-demo-") as folder:
        path = Path(folder) / "config.toml"
        text = resources.files("tokligenced").joinpath("demo.toml").read_text()
        path.write_text(text.replace("{folder}", folder))
        _run(path, _greet)


async def _greet(settings: Config, gateway: "Assembly") -> None:
    account = await gateway.directory.create_account("demo@example.com", actor="demo")
    await gateway.ledger.credit(account, _DEMO_CREDIT, reference="demo", note=None, actor="demo")
    _, key = await gateway.directory.create_key(account, name="demo", actor="demo")
    url = settings.server.public_url
    greeting = resources.files("tokligenced").joinpath("demo.txt").read_text()
    print(greeting.format(url=url, key=key), flush=True)  # noqa: T201 - it is for the person who ran it


def _run(config_path: Path, ready: Ready) -> None:
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise StoreError("aiohttp's C parser is missing; install aiohttp from its binary package")
    settings = config.load(config_path, os.environ)
    logs.configure(settings.log.level, settings.log.format)
    _raise_descriptor_limit()
    uvloop.run(_serve(config_path, settings, ready))


def _raise_descriptor_limit() -> None:
    """A call takes up to two descriptors, and the usual soft limit is for programs that call select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Assembly(Struct, frozen=True, kw_only=True):
    """A gateway put together: everything that runs, nothing that listens yet."""

    front: Front
    directory: Directory
    lifecycle: Lifecycle
    live: LiveStreams
    reloader: Reloader
    control: ControlServer
    database: Database
    ledger: Ledger
    people: People


async def assemble(
    stack: AsyncExitStack,
    config_path: Path,
    settings: Config,
    *,
    clock: Clock,
    ids: IdSource,
    live: LiveStreams,
    reloading: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Assembly:
    """Open the database and make every object; `stack` closes them in reverse order.

    `reloading` surrounds each reload. Raises `StoreError` when the database can't be used.
    """
    log = structlog.get_logger()
    tasks = Tasks(on_crash=_crashed)
    stack.push_async_callback(tasks.close)
    database = await _open(settings, tasks)
    stack.push_async_callback(database.close)
    directory = await Directory.load(database, clock=clock, ids=ids, audited=logs.audited)
    chance = random.SystemRandom().random
    router = Router(catalog.build(settings), chance)
    limiter = RateLimiter(clock, lambda: router.catalog.default_limits, await buckets.load(database))
    upstream = DemoUpstream(HttpUpstream())
    stack.push_async_callback(upstream.close)
    metrics = Metrics(lambda: router.catalog)
    reports: list[Callable[[Outcome], None]] = [metrics.observe]
    if settings.tracing.endpoint is not None:
        traces = tracing.begin(settings.tracing.endpoint, lambda: router.catalog)
        stack.push_async_callback(traces.end)
        reports.append(traces.report)
    ledger = await Ledger.open(
        database, clock=clock, report=_reporting(reports, logs.call_reporter()), audited=logs.audited
    )
    log.info("ledger.recovered", voided=ledger.recovery.voided, charged=ledger.recovery.charged)
    for line in ledger.broken:
        log.critical("ledger.broken", reason=line)
    stack.push_async_callback(witness, ledger)
    stack.callback(lambda: ledger.note(*limiter.all_writes()))
    # These end before the database does, so that what they settle lands.
    call_tasks = Tasks(on_crash=_crashed)
    stack.push_async_callback(call_tasks.close)
    lifecycle = Lifecycle()
    idempotency = Idempotency(database, clock)
    relay = Relay(
        router=router,
        limiter=limiter,
        ledger=ledger,
        upstream=upstream,
        repeats=Repeats(AnswerCache(lambda: router.catalog, clock), idempotency),
        failover=Failover(Breakers(), clock, chance),
        lifecycle=lifecycle,
        clock=clock,
        tasks=call_tasks,
        alert=_alert,
    )
    responses = ResponseStore(database, clock, lambda: router.catalog.responses)
    call_tasks.spawn("responses", responses.sweep())
    call_tasks.spawn("idempotency", idempotency.sweep())
    call_tasks.spawn("live", live.watch())
    call_tasks.spawn("progress", relay.note_progress())
    call_tasks.spawn("witness", witness_now_and_then(ledger))
    reloader = Reloader(config_path, settings, relay, metrics, reloading)
    people = await People.load(
        directory,
        database,
        clock=clock,
        ids=ids,
        ledger=ledger,
        settings=lambda: reloader.current.accounts,
        public_url=settings.server.public_url,
        audited=logs.audited,
    )
    stack.callback(people.close)
    vitals = Vitals(metrics=metrics, relay=relay, database=database, open_streams=live.open_streams)
    call_tasks.spawn("vitals", vitals.watch())
    operations = Operations(
        Services(directory=directory, ledger=ledger, database=database, clock=clock, audited=logs.audited),
        {
            **OPERATIONS,
            **link_operations(people),
            **runtime_operations(reloader, vitals),
            **Serving(relay, reloader).operations(),
        },
    )
    return Assembly(
        front=Front(
            authenticator=Authenticator(directory, clock),
            router=router,
            limiter=limiter,
            relay=relay,
            ledger=ledger,
            reports=Reports(database),
            responses=responses,
            live=live,
            vitals=vitals,
            operations=operations,
            clock=clock,
            ids=ids,
            max_request_bytes=settings.server.max_request_bytes,
            body_timeout=settings.server.body_timeout,
        ),
        directory=directory,
        lifecycle=lifecycle,
        live=live,
        reloader=reloader,
        database=database,
        ledger=ledger,
        people=people,
        control=ControlServer(
            socket_path(database.path),
            operations,
            on_failure=lambda name, error: log.error("control.failed", operation=name, error=repr(error)),
        ),
    )


def _reporting(
    reports: Sequence[Callable[[Outcome], None]], line: Callable[[Outcome, Principal], None]
) -> Callable[[Outcome, Principal], None]:
    """Whom the ledger tells of a call that has ended: all of `reports`, and the log."""

    def report(outcome: Outcome, principal: Principal) -> None:
        for each in reports:
            each(outcome)
        line(outcome, principal)

    return report


async def _open(settings: Config, tasks: Tasks) -> Database:
    """Open the database; a command that happens to have it is given a moment to finish."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return await Database.open(
                settings.database.path,
                durability=settings.database.durability,
                tasks=tasks,
                on_lost=_lost,
            )
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PATIENCE / 30)


def _lost(writes: Sequence[Write], error: StoreError) -> None:
    # The rows themselves are all that is left of what should have been booked.
    rows = [(statement.sql, params) for statement, params in writes]
    structlog.get_logger().error("store.lost", rows=rows, error=str(error))


async def _serve(config_path: Path, settings: Config, ready: Ready) -> None:
    log = structlog.get_logger()
    for warning in settings.warnings:
        log.warning("config.warning", warning=warning)
    clock = SystemClock()
    notifier = Notifier.of(os.environ)
    handed = listening.handed_over(os.environ)
    async with AsyncExitStack() as stack:
        gateway = await assemble(
            stack,
            config_path,
            settings,
            clock=clock,
            ids=RandomIds(clock),
            live=LiveStreams(),
            reloading=notifier.reloading,
        )
        await gateway.control.start()
        stack.push_async_callback(gateway.control.close)
        runner = Runner(site.application(gateway, settings.server.public_url), gateway.live, **SERVER_OPTIONS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stop = _signals(gateway.reloader)
        sites = await listening.listen(runner, settings.server.listen, handed)
        if link := await gateway.people.setup_link():
            log.warning("setup.link", url=link)  # good once and for a day: who has no mail reads it here
        await ready(settings, gateway)
        notifier.ready()
        tasks = Tasks(on_crash=_crashed)
        stack.push_async_callback(tasks.close)
        tasks.spawn("notify", notifier.watch(gateway.database.prove, partial(_status, gateway)))
        log.info(
            "daemon.ready", version=__version__, listen=settings.server.listen, models=len(settings.models)
        )
        await _until_stopped(stop, gateway, sites, notifier, settings.server.drain_timeout)
        log.info("daemon.stopping", running=gateway.lifecycle.running)


def _crashed(name: str, error: BaseException) -> None:
    structlog.get_logger().critical("task.crashed", task=name, error=repr(error))


def _alert(provider: str, error: UpstreamFailed) -> None:
    report = structlog.get_logger().error if error.operator_fault else structlog.get_logger().warning
    # Not its message: an upstream may quote in it what users wrote.
    report("upstream.failed", provider=provider, code=error.code, detail=error.detail)


def _signals(reloader: Reloader) -> asyncio.Queue[str]:
    """A queue that gets the name of each signal to stop; a hang-up reloads."""
    stop: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(stop.put_nowait, number.name))
    loop.add_signal_handler(signal.SIGHUP, reloader.reload_on_signal)
    return stop


async def _until_stopped(
    stop: asyncio.Queue[str],
    gateway: Assembly,
    sites: listening.Sites,
    notifier: Notifier,
    drain_timeout: float,
) -> None:
    """Wait for a first signal, let running calls finish, and cut them at a second one or at the deadline."""
    log = structlog.get_logger()
    lifecycle, live = gateway.lifecycle, gateway.live
    name = await stop.get()
    notifier.stopping(drain_timeout + _ENDING)
    # Where the next process takes the connections that come, what comes on open ones is served as well.
    lifecycle.drain(refuse=not sites.outlived)
    live.leave()
    await sites.leave()
    log.info("daemon.draining", signal=name, running=lifecycle.running, timeout=drain_timeout)
    notifier.status(_status(gateway))
    if await _first(_quiet(gateway, sites), stop.get(), timeout=drain_timeout):
        return
    log.warning("daemon.cut", running=lifecycle.running)
    lifecycle.drain()
    live.cut()
    await _first(_quiet(gateway), timeout=_LAST_WORDS)


async def _quiet(gateway: Assembly, sites: listening.Sites | None = None) -> None:
    """Wait until no call is on its way and every answer has been sent to its end.

    Clients that keep a connection to `sites` are given a moment to use it, and to learn that it closes.
    """
    if sites is not None and sites.outlived:
        await _first(gateway.live.left(), timeout=_FAREWELL)
    await gateway.lifecycle.idle()
    await gateway.live.idle()


def _status(gateway: Assembly) -> str:
    state = "draining" if gateway.lifecycle.draining else "serving"
    ledger = gateway.database.problem or (gateway.ledger.broken or ("ok",))[0]
    return f"{state}; {gateway.lifecycle.running} calls running; ledger: {ledger}"


async def _first(wanted: Awaitable[object], *others: Awaitable[object], timeout: float) -> bool:  # noqa: ASYNC109
    """Whether `wanted` was done when the first of all was, or `timeout` seconds were over."""
    tasks = [asyncio.ensure_future(each) for each in (wanted, *others)]
    await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    done = tasks[0].done()
    for task in tasks:
        task.cancel()
    return done
