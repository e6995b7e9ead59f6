"""To see: /metrics as Prometheus reads it and who may, /readyz with its reasons, status, calls under way."""

import asyncio
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession, UnixConnector, web
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.api.customers import REQUEST, STREAMED, Customer
from tests.api.whole_gateway import CONFIG, Gateway, running
from tests.cli.pictures import STATUS, TOP
from tests.fakes import FakeUpstream, body, chat_chunks, chat_completion, error, events, stream
from tests.gateway.books import full_disk
from tests.gateway.test_tracing import Collector, collector
from tokligenced import daemon
from tokligenced.api import app, metrics
from tokligenced.api.server import Runner
from tokligenced.domain import Outcome
from tokligenced.errors import ConfigError
from tokligenced.gateway import operations
from tokligenced.gateway.exposition import exposition
from tokligenced.gateway.runtime import runtime_operations

__all__ = ["collector"]  # a fixture of another file

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(gateway: Gateway) -> Samples:
    """Every sample, by its name and labels, as Prometheus' own parser reads them."""
    async with gateway.get("/metrics", headers={}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            name = sample.name, frozenset(sample.labels.items())
            assert name not in found
            found[name] = sample.value
    return found


def one(samples: Samples, name: str, **labels: str) -> float:
    """The only sample of this name that has these labels."""
    (value,) = [
        value for (found, has), value in samples.items() if found == name and labels.items() <= set(has)
    ]
    return value


@pytest.fixture
def settled(gateway: Gateway) -> Any:
    """Waits until all calls are in the books."""

    async def wait() -> None:
        await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
        await gateway.assembly.database.flush()

    return wait


async def test_calls_are_counted_by_endpoint_model_and_provider(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, settled: Any
) -> None:
    """After a whole call, a stream and two refusals the numbers are those of the books."""
    upstream.serve(
        body(chat_completion(prompt_tokens=7, completion_tokens=3)),
        stream(*events(*chat_chunks(prompt_tokens=10, completion_tokens=5))),
        error(400, "no"),
    )
    for request in (REQUEST, STREAMED, REQUEST):
        async with rich.call(request) as response:
            await response.read()
    async with rich.call({**REQUEST, "model": "what users write"}) as response:
        assert response.status == 400
    await settled()
    samples = await scraped(gateway)
    here = {"endpoint": "chat", "model": "gpt-4o", "provider": "fake"}
    assert one(samples, "tokligence_calls_total", status="200", **here) == 2
    assert one(samples, "tokligence_tokens_total", part="input", **here) == 17
    assert one(samples, "tokligence_tokens_total", part="output", **here) == 8
    assert one(samples, "tokligence_cost_usd_total", **here) == pytest.approx(17 * 2.5e-6 + 8 * 10e-6)
    assert one(samples, "tokligence_first_token_seconds_count", **here) == 1
    assert one(samples, "tokligence_inter_token_seconds_count", **here) == 1
    assert one(samples, "tokligence_call_duration_seconds_count", **here) == 3
    assert one(samples, "tokligence_overhead_seconds_count") == 3
    assert one(samples, "tokligence_errors_total", model="other", provider="none") == 1
    assert "what users write" not in str(samples)
    assert one(samples, "tokligence_holds_open") == one(samples, "tokligence_held_usd") == 0
    assert one(samples, "tokligence_ledger_commits_total") > 0
    assert one(samples, "process_resident_memory_bytes") > 10_000_000


async def test_what_is_under_way_shows(gateway: Gateway, upstream: FakeUpstream, rich: Customer) -> None:
    """While a stream runs it is open, its hold is held, and `top` lists it with what has come of it."""
    first, *rest = events(*chat_chunks(["word after word "]))
    gate = asyncio.Event()
    upstream.serve(stream(first, rest[0], gate, *rest[1:]))
    vitals = gateway.assembly.front.vitals
    async with rich.call(STREAMED) as running:
        await running.content.readuntil(b"\n\n")
        await running.content.readuntil(b"\n\n")
        samples = await scraped(gateway)
        assert one(samples, "tokligence_calls_running") == 1
        assert one(samples, "tokligence_streams_open") == 1
        assert one(samples, "tokligence_holds_open") == 1
        assert one(samples, "tokligence_held_usd") > 0
        (call,) = vitals.running(10)
        assert call.keys() == TOP["calls"][0].keys()
        assert (call["model"], call["provider"], call["stream"]) == ("gpt-4o", "fake", True)
        assert call["key"] == rich.headers["Authorization"].removeprefix("Bearer ")[:9]
        assert call["tokens"] > 0
        assert vitals.running(0) == []
        gate.set()
        await running.read()
    await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
    samples = await scraped(gateway)
    assert one(samples, "tokligence_calls_running") == one(samples, "tokligence_holds_open") == 0
    assert vitals.running(10) == []


async def test_refused_keys_are_counted_by_reason(gateway: Gateway) -> None:
    """Calls without a key and with a wrong one show, though nobody's books have them."""
    for headers in ({}, {"Authorization": "Bearer tk-wrong"}, {"Authorization": "Bearer tk-wrong"}):
        async with gateway.call(json=REQUEST, headers=headers) as response:
            assert response.status == 401
    async with gateway.get("/v1/models", headers={"Authorization": "Bearer tk-wrong"}) as response:
        assert response.status == 401
    samples = await scraped(gateway)
    assert one(samples, "tokligence_key_refusals_total", code="missing_api_key") == 1
    assert one(samples, "tokligence_key_refusals_total", code="invalid_api_key") == 3
    assert one(samples, "tokligence_key_refusals_total", code="key_revoked") == 0


async def test_limit_refusals_are_counted_by_limit(gateway: Gateway, settled: Any) -> None:
    """A call that a limit refuses is counted under the limit's name."""
    who = await Customer.with_balance(gateway, 10**12, "limited", requests_per_minute=1)
    assert (await who.told({**REQUEST, "model": "unreachable"}))[0] == 503
    assert await who.told(REQUEST) == (429, "requests_per_minute")
    await settled()
    samples = await scraped(gateway)
    assert one(samples, "tokligence_limit_refusals_total", limit="requests_per_minute") == 1
    assert one(samples, "tokligence_limit_refusals_total", limit="concurrency") == 0


async def test_an_open_breaker_shows(gateway: Gateway, upstream: FakeUpstream) -> None:
    """A deployment that is left alone says so in the metrics and in the status of its provider."""
    breakers = gateway.assembly.front.relay.failover.breakers
    (deployment,) = gateway.assembly.front.router.catalog.names["gpt-4o"].deployments
    for _ in range(20):
        breakers.of(deployment).failed(gateway.assembly.front.clock.monotonic())
    samples = await scraped(gateway)
    assert one(samples, "tokligence_breaker_state", provider="fake", upstream_model=deployment.model) == 2
    assert one(samples, "tokligence_breaker_state", provider="nowhere") == 0
    told = {
        each["provider"]: each["state"]
        for each in (await gateway.assembly.front.vitals.status())["providers"]
    }
    assert (told["fake"], told["second"]) == ("open", "closed")
    assert upstream.received == []


async def test_metrics_are_for_this_machine_and_administrators(gateway: Gateway) -> None:
    """By way of a proxy, with no key or anybody's, there is nothing; with an administrator's there is."""
    directory = gateway.assembly.directory
    boss = await directory.create_account("boss@example.com", admin=True, actor="test")
    _, key = await directory.create_key(boss, name="scraper", actor="test")
    proxied = {"X-Forwarded-For": "203.0.113.7"}
    for headers, status in (
        ({}, 200),
        (proxied, 404),
        ({**proxied, "Authorization": f"Bearer {gateway.key}"}, 404),
        ({**proxied, "Authorization": "Bearer nonsense"}, 404),
        ({**proxied, "Authorization": f"Bearer {key}"}, 200),
    ):
        async with gateway.get("/metrics", headers=headers) as response:
            assert response.status == status
            if status == 404:
                assert (await response.json())["error"]["code"] == "not_found"


async def test_a_unix_socket_is_not_this_machine(gateway: Gateway, tmp_path: Path) -> None:
    """Who listens on a Unix socket has a proxy before it, which speaks for anybody."""
    runner = Runner(app.build(gateway.assembly.front), gateway.assembly.live, **daemon.SERVER_OPTIONS)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "http.sock")).start()
    connector = UnixConnector(str(tmp_path / "http.sock"))
    async with ClientSession(connector=connector) as http:
        async with http.get("http://localhost/metrics") as response:
            assert response.status == 404
        async with http.get("http://localhost/readyz") as response:
            assert response.status == 200
    await runner.cleanup()


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 5), True),
        (("127.8.9.10", 5), True),
        (("::1", 5, 0, 0), True),
        (("::ffff:127.0.0.1", 5, 0, 0), True),
        (("192.168.1.1", 5), False),
        (("::ffff:192.168.1.1", 5, 0, 0), False),
        (("fe80::1%eth0", 5, 0, 2), False),
        ("", False),
        (None, False),
    ],
)
def test_which_peers_are_this_machine(peer: object, local: bool) -> None:
    """Loopback in both families, also v4 within v6; a Unix socket and a closed connection are nobody."""

    class Transport:
        def get_extra_info(self, _name: str) -> object:
            return peer

    class Request:
        def __init__(self) -> None:
            self.headers: dict[str, str] = {}
            self.transport = Transport()

    assert metrics.is_local(Request()) is local  # type: ignore[arg-type]


async def test_ready_while_all_is_well(gateway: Gateway) -> None:
    """A gateway that may be sent calls says so."""
    async with gateway.get("/readyz", headers={}) as response:
        assert (response.status, await response.json()) == (200, {"status": "ready"})
    assert one(await scraped(gateway), "tokligence_ready") == 1


async def test_not_ready_while_draining(gateway: Gateway) -> None:
    """While draining it gives that as the reason, though it still lives."""
    gateway.assembly.lifecycle.drain()
    async with gateway.get("/readyz", headers={}) as response:
        assert response.status == 503
        assert await response.json() == {"status": "not_ready", "reasons": ["draining"]}
        assert int(response.headers["Retry-After"]) > 0
    async with gateway.get("/healthz", headers={}) as response:
        assert response.status == 200
    assert one(await scraped(gateway), "tokligence_ready") == 0


async def test_not_ready_without_a_ledger(gateway: Gateway, rich: Customer) -> None:
    """A ledger that can't commit or is broken is a reason; the file's path is nobody's business."""
    database, ledger = gateway.assembly.database, gateway.assembly.ledger
    with full_disk(database.path):
        assert await rich.told(REQUEST) == (503, "ledger_unavailable")
        ledger.broken = ("the sum is wrong",)
        async with gateway.get("/readyz", headers={}) as response:
            assert response.status == 503
            assert (await response.json())["reasons"] == ["ledger_unavailable", "ledger_broken"]
            assert str(database.path) not in await response.text()


async def test_status_has_what_it_is_shown_with(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, settled: Any
) -> None:
    """The fields of `status` are those that the command line shows, and a call is in all of them."""
    upstream.serve(body(chat_completion(prompt_tokens=7, completion_tokens=3)))
    assert await rich.told(REQUEST) == (200, "")
    await settled()
    status = await gateway.assembly.front.vitals.status()
    assert status.keys() == STATUS.keys()
    assert status["ledger"].keys() == STATUS["ledger"].keys()
    assert status["providers"][0].keys() == STATUS["providers"][0].keys()
    used = {"calls": 1, "errors": 0, "tokens": 10, "cost": "0.0000475"}
    assert status["last_minute"] == status["today"] == status["providers"][0]["today"] == used
    assert json.loads(json.dumps(status)) == status


async def test_the_last_minute_forgets(
    gateway: Gateway, upstream: FakeUpstream, rich: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than a minute is no longer in the rates of the last one."""
    upstream.serve(body(chat_completion()))
    assert await rich.told(REQUEST) == (200, "")
    await asyncio.wait_for(gateway.assembly.lifecycle.idle(), 5)
    vitals = gateway.assembly.front.vitals
    assert vitals.last_minute().calls == 1
    vitals.sample(0.0)
    clock = gateway.assembly.front.clock
    later = clock.monotonic() + 61
    monkeypatch.setattr(type(clock), "monotonic", lambda _clock: later)
    vitals.sample(0.0)
    assert vitals.last_minute().calls == 0


async def test_a_reload_is_counted_and_audited(gateway: Gateway) -> None:
    """A reload leaves its line in the audit and in the log with who asked; a refused one only in the log."""
    reloader, database = gateway.assembly.reloader, gateway.assembly.database
    services = operations.Services(
        directory=gateway.assembly.directory,
        ledger=gateway.assembly.ledger,
        database=database,
        clock=gateway.assembly.front.clock,
    )
    does = operations.Operations(services, runtime_operations(reloader, gateway.assembly.front.vitals))
    caller = operations.Caller(actor="cli", progress=lambda _said: None)
    structlog.reset_defaults()
    with pytest.MonkeyPatch.context() as patch, capture_logs() as logged:
        patch.setenv("FAKE_KEY", "sk")
        await does.perform("reload", {}, caller)
        reloader.reload_on_signal()
        (gateway.folder / "config.toml").write_text("[nonsense]")
        with pytest.raises(ConfigError):
            await does.perform("reload", {}, caller)
    await database.flush()
    rows = await database.read("SELECT actor, subject FROM audit WHERE action = 'config.reloaded'")
    assert rows == [("cli", "config"), ("signal", "config")]
    told = [(line["event"], line["actor"]) for line in logged if line["event"].startswith("config.re")]
    assert told == [("config.reloaded", "cli"), ("config.reloaded", "signal"), ("config.refused", "cli")]
    samples = await scraped(gateway)
    assert one(samples, "tokligence_config_reloads_total", result="applied") == 2
    assert one(samples, "tokligence_config_reloads_total", result="refused") == 1


async def test_the_dashboard_asks_for_what_there_is(gateway: Gateway) -> None:
    """Every metric that the Grafana dashboard queries is one that /metrics has."""
    text = resources.files("tokligenced").joinpath("grafana.json").read_text(encoding="utf-8")
    asked = set(re.findall(r"\b(?:tokligence|process)_[a-z_]+", text))
    async with gateway.get("/metrics", headers={}) as response:
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", await response.text(), re.MULTILINE))
    there = {name if kind != "histogram" else f"{name}_bucket" for name, kind in kinds.items()}
    assert len(asked) > 20
    assert asked - there == set()


async def test_calls_are_traced_where_the_configuration_says_so(
    upstream: FakeUpstream, tmp_path: Path, collector: Collector
) -> None:
    """With an endpoint the gateway's calls become spans there, sent at the latest when it ends."""
    upstream.serve(body(chat_completion()))
    settings = CONFIG.format(folder=tmp_path, url=upstream.url)
    settings += f'[tracing]\nendpoint = "{collector.url}"\n'
    async with (
        running(upstream, tmp_path, settings=settings) as gateway,
        gateway.call(json=REQUEST) as response,
    ):
        assert response.status == 200
    assert [span.name for span in collector.spans] == ["chat gpt-4o"]


async def test_a_crowd_of_series_is_scraped_in_no_time(gateway: Gateway) -> None:
    """Hundreds of series hold the loop up for less than a tenth of a second."""
    vitals = gateway.assembly.front.vitals
    outcome = {"started_at": 1, "key_id": "", "payer_id": "", "stream": True, "status": 200}
    for number in range(300):
        vitals.metrics.observe(
            Outcome(id="", endpoint=f"e{number}", model="", first_byte=0.1, duration=1.0, **outcome)  # type: ignore[arg-type]
        )
    loop = asyncio.get_running_loop()
    took = []
    for _ in range(5):
        began = loop.time()
        text = exposition(vitals)
        took.append(loop.time() - began)
    assert text.count(b"\n") > 10_000
    assert min(took) < 0.1
