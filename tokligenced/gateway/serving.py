"""Operations on what a running daemon serves: providers, models with their prices, limits, configuration."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from tokligenced.dialects import clients
from tokligenced.domain import LIST_PRICE, PICO_PER_USD, Call, Limits, Model, Price, Rates, Usage, decimal_usd
from tokligenced.errors import CallError, Conflict, NotFound
from tokligenced.gateway import pricing
from tokligenced.gateway.operations import Caller, Nothing, Object, Operation, Result, Services, timestamp
from tokligenced.gateway.operations.access import price_millionths
from tokligenced.gateway.operations.base import Number, instant, payer_name, read
from tokligenced.gateway.relay import Relay
from tokligenced.gateway.routing import Leg
from tokligenced.gateway.runtime import Reloader
from tokligenced.gateway.settings_file import Change, SettingsFile

_LARGEST_ANSWER = 1024 * 1024
_PATIENCE = 30.0  # somebody waits for what comes of a trial
_TRIAL = {"messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16}


class ProviderName(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `providers.test`."""

    name: str


class Tokens(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A usage to be calculated with, in disjoint parts as `Usage` has them."""

    input: Number = 0
    cached_input: Number = 0
    cache_write_5m: Number = 0
    cache_write_1h: Number = 0
    audio_in: Number = 0
    image_in: Number = 0
    output: Number = 0
    reasoning: Number = 0
    audio_out: Number = 0
    image_out: Number = 0
    images: Number = 0
    searches: Number = 0


class Calculation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `models.cost`: `at` is a time, now if there is none; `price_factor` is like `0.8`."""

    model: str
    usage: Tokens
    price_factor: str = "1"
    at: str | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `config.set`: all of the changes are made, or none."""

    changes: Annotated[list[Change], Meta(min_length=1, max_length=1000)]


class Serving:
    """The operations, over what the daemon serves calls with."""

    def __init__(self, relay: Relay, reloader: Reloader) -> None:
        self._relay = relay
        self._reloader = reloader
        self._file = SettingsFile(reloader)

    def operations(self) -> Mapping[str, Operation[Any]]:
        """The operations by name."""
        return {
            "providers.list": Operation(Nothing, self._providers),
            "providers.test": Operation(ProviderName, self._try),
            "models.list": Operation(Nothing, self._models),
            "models.cost": Operation(Calculation, self._cost),
            "limits.list": Operation(Nothing, self._limits),
            "config.show": Operation(Nothing, self._config),
            "config.set": Operation(Settings, self._set),
        }

    async def _providers(self, _services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        """Each provider with the state of its breakers; never its secrets."""
        now = self._relay.clock.monotonic()
        breakers = self._relay.failover.breakers
        catalog = self._relay.router.catalog
        return [
            {
                "id": name,
                "type": settings.type,
                "base_url": settings.base_url,
                "has_key": settings.api_key is not None,
                "state": breakers.of_provider(name, now),
                "deployments": [
                    {
                        "model": model.id,
                        "upstream_model": deployment.model,
                        "state": breakers.of(deployment).state(now),
                        "weight": deployment.weight,
                        "priority": deployment.priority,
                    }
                    for model in catalog.models
                    for deployment in model.deployments
                    if deployment.provider == name
                ],
            }
            for name, settings in catalog.providers.items()
        ]

    async def _try(self, services: Services, parameters: ProviderName, _caller: Caller) -> Result:
        """One tiny call to the first model that the provider serves; in no books, and for no breaker."""
        model, leg = self._first(parameters.name)
        body = msgspec.json.encode({"model": model.id, **_TRIAL})
        call = clients.CHAT.parse(body, call_id="req_trial", at=services.clock.wall_ms())
        started = services.clock.monotonic()
        failure: str | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._answer(call, model, leg)
        except CallError as error:
            failure = error.message
        except TimeoutError:
            failure = f"There was no whole answer within {_PATIENCE:.0f} s."
        return {
            "provider": parameters.name,
            "model": model.id,
            "upstream_model": leg.deployment.model,
            "ok": failure is None,
            "error": failure,
            "duration_ms": round((services.clock.monotonic() - started) * 1_000, 3),
        }

    def _first(self, provider: str) -> tuple[Model, Leg]:
        catalog = self._relay.router.catalog
        if provider not in catalog.providers:
            raise NotFound(f"there is no provider {provider!r}")
        for model in catalog.models:
            # Of what it can be asked, only text is tiny.
            if "text" in model.output_modalities:
                for leg in self._relay.router.legs(model):
                    if leg.deployment.provider == provider:
                        return model, leg
        raise Conflict(f"provider {provider!r} serves no model that answers in text")

    async def _answer(self, call: Call, model: Model, leg: Leg) -> None:
        exchange = leg.provider.exchange(call, model, leg.deployment)
        response = await self._relay.upstream.send(leg.timed(exchange.request))
        try:
            answer = await response.read(_LARGEST_ANSWER)
        finally:
            response.close()
        if not 200 <= response.status < 300:
            raise exchange.reject(response.status, response.headers, answer)
        exchange.feed(answer)
        exchange.finish()

    async def _models(self, services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        now = services.clock.wall_ms()
        return [model_object(model, now) for model in self._relay.router.catalog.models]

    async def _cost(self, services: Services, parameters: Calculation, _caller: Caller) -> Result:
        """What such a call would cost, line by line; nothing is booked."""
        model = self._relay.router.catalog.names.get(parameters.model)
        if model is None:
            raise NotFound(f"there is no model {parameters.model!r}")
        at = services.clock.wall_ms() if parameters.at is None else read("at", instant, parameters.at)
        factor = read("price_factor", price_millionths, parameters.price_factor)
        usage = Usage(**structs.asdict(parameters.usage))
        price = pricing.price_at(model, at)
        lines = [] if price is None else pricing.lines(usage, price)
        return {
            "model": model.id,
            "at": timestamp(at),
            "price_factor": decimal_usd(factor, LIST_PRICE),
            "lines": [pricing.line_object(line) for line in lines],
            "cost": decimal_usd(pricing.cost_nano(usage, price, factor)),
        }

    async def _limits(self, services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        """The configured defaults, and whoever has limits of their own."""
        directory = services.directory
        return {
            "defaults": structs.asdict(self._relay.router.catalog.default_limits),
            "orgs": [
                {"org": org.slug, "limits": structs.asdict(org.limits)}
                for org in directory.list_organizations()
                if org.limits != Limits()
            ],
            "keys": [
                {
                    "id": key.id,
                    "name": key.name,
                    **payer_name(directory.payer(key.payer_id)),
                    "limits": structs.asdict(key.limits),
                }
                for key in directory.list_keys()
                if key.limits != Limits() and key.revoked_at is None
            ],
        }

    async def _config(self, _services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        """Which file owns each value that a file sets; no values, among which there are secrets."""
        current = self._reloader.current
        return {
            "sources": [{"path": path, "file": file} for path, file in sorted(current.origins.items())],
            "warnings": list(current.warnings),
            "needs_restart": self._reloader.needs_restart,
        }

    async def _set(self, _services: Services, parameters: Settings, caller: Caller) -> Result:
        """Write values into the administrators' own file, and serve by them."""
        needs_restart = self._file.change(parameters.changes, actor=caller.actor)
        return {"reloaded": True, "needs_restart": needs_restart}


def model_object(model: Model, now: int) -> Object:
    """A model as administrators see it: its deployments and every price, the one that counts now marked."""
    current = pricing.price_at(model, now)
    return {
        "id": model.id,
        "name": model.name,
        "aliases": list(model.aliases),
        "free": model.free,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "deployments": [structs.asdict(deployment) for deployment in model.deployments],
        "prices": [_price(price, current=price is current) for price in model.prices],
    }


def _price(price: Price, *, current: bool) -> Object:
    return {
        "effective_at": timestamp(price.effective_at),
        "current": current,
        "rates": _rates(price.rates),
        "tiers": [{"above": above, "rates": _rates(rates)} for above, rates in price.tiers],
    }


def _rates(rates: Rates) -> dict[str, str]:
    """USD per token or unit; what costs nothing is left out."""
    return {name: decimal_usd(rate, PICO_PER_USD) for name, rate in structs.asdict(rates).items() if rate}
