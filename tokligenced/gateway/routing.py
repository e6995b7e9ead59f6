"""Call, Catalog → Route: which deployments may serve a call, and in which order they are tried."""

from collections.abc import Callable, Mapping
from hashlib import sha256

from msgspec import Struct, structs

from tokligenced import catalog as catalogs
from tokligenced.catalog import Catalog
from tokligenced.domain import Call, Deployment, Key, Model, Timeouts
from tokligenced.errors import InvalidRequest
from tokligenced.gateway.stickiness import conversation_key
from tokligenced.providers import registry
from tokligenced.providers.base import Provider, UpstreamRequest


class Leg(Struct, frozen=True):
    """One step of a route: a deployment and the provider that serves it."""

    deployment: Deployment
    provider: Provider
    timeouts: Timeouts

    def timed(self, request: UpstreamRequest) -> UpstreamRequest:
        """The request with this leg's limits on its connection."""
        connect, idle = self.timeouts.connect, self.timeouts.idle
        if (connect, idle) == (request.connect_timeout, request.idle_timeout):
            return request
        return structs.replace(request, connect_timeout=connect, idle_timeout=idle)


class Route(Struct, frozen=True):
    """A model and the ways to serve it, the first to be tried first."""

    model: Model
    legs: tuple[Leg, ...]


class Router:
    """Holds the current catalog with a provider for each of its settings; `load` puts a new one in place.

    Of the deployments of one priority each conversation has one by their weights, the same in all its turns;
    for calls without a conversation `chance`, which gives floats in [0, 1), decides.
    """

    def __init__(self, catalog: Catalog, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.load(catalog)

    def load(self, catalog: Catalog) -> None:
        """Serve from now on by this catalog; running calls keep the route they have."""
        providers = {name: registry.build(settings) for name, settings in catalog.providers.items()}
        self._legs: Mapping[str, tuple[Leg, ...]] = {
            model.id: tuple(_leg(model, deployment, providers) for deployment in model.deployments)
            for model in catalog.models
        }
        self.catalog = catalog

    def route(self, call: Call, asking: Key) -> Route:
        """The route for a call.

        Raises `InvalidRequest` (`model_not_found`, `model_not_allowed`).
        """
        model = self.model(call.model, asking)
        legs = self._legs[model.id]
        if call.counting:
            # Where nobody can count there is nobody to be asked, which is no reason to refuse.
            return Route(model, tuple(leg for leg in legs if leg.provider.counts_tokens))
        if len(legs) > 1:
            key = conversation_key(call)
            draw = self._chance if key is None else None
            legs = tuple(sorted(legs, key=lambda leg: _rank(leg, key, draw)))
        return Route(model, legs)

    def legs(self, model: Model) -> tuple[Leg, ...]:
        """All ways to serve a model of the current catalog, as the configuration has them."""
        return self._legs[model.id]

    def model(self, name: str, key: Key) -> Model:
        """The model of this name or alias. Raises `InvalidRequest` as `route` does."""
        model = self.catalog.names.get(name)
        if model is None:
            raise InvalidRequest("model_not_found", f"The model '{name}' does not exist.", param="model")
        if not catalogs.allows(key, model):
            raise InvalidRequest(
                "model_not_allowed", f"This key may not use the model '{name}'.", param="model"
            )
        return model


def _leg(model: Model, deployment: Deployment, providers: Mapping[str, Provider]) -> Leg:
    provider = providers[deployment.provider]
    settings, own = provider.settings, model.timeouts
    timeouts = Timeouts(
        connect=own.connect or settings.connect_timeout,
        first_byte=own.first_byte or settings.first_byte_timeout,
        idle=own.idle or settings.idle_timeout,
        total=own.total or settings.total_timeout,
    )
    return Leg(deployment, provider, timeouts)


def _rank(leg: Leg, key: bytes | None, chance: Callable[[], float] | None) -> tuple[int, float]:
    """Where a leg stands: by priority, then by a draw that a conversation repeats in each of its turns.

    The largest of draw ** (1 / weight) is a fair choice by weight (Efraimidis and Spirakis, 2006); with a
    hash for the draw it is rendezvous hashing, so that a leg which is gone moves no conversation but its own.
    """
    deployment = leg.deployment
    if chance is not None:
        draw = chance()
    else:
        name = f"{deployment.provider}\0{deployment.model}\0".encode()
        draw = int.from_bytes(sha256(name + (key or b"")).digest()[:8]) / 2**64
    return deployment.priority, -(draw ** (1 / deployment.weight))
