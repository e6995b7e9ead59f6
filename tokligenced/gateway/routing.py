"""Call, Catalog → Route: which deployments may serve a call, and in which order they are tried."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from tokligenced import catalog as catalogs
from tokligenced.catalog import Catalog
from tokligenced.domain import Call, Deployment, Key, Model
from tokligenced.errors import InvalidRequest, Unavailable
from tokligenced.providers import registry
from tokligenced.providers.base import Provider


class Leg(Struct, frozen=True):
    """One step of a route: a deployment and the provider that serves it."""

    deployment: Deployment
    provider: Provider


class Route(Struct, frozen=True):
    """A model and the ways to serve it, the first to be tried first."""

    model: Model
    legs: tuple[Leg, ...]


class Router:
    """Holds the current catalog with a provider for each of its settings; `load` puts a new one in place.

    `chance` gives floats in [0, 1); it decides between deployments of one priority by their weights.
    """

    def __init__(self, catalog: Catalog, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.load(catalog)

    def load(self, catalog: Catalog) -> None:
        """Serve from now on by this catalog; running calls keep the route they have."""
        providers = {name: registry.build(settings) for name, settings in catalog.providers.items()}
        self._legs: Mapping[str, tuple[Leg, ...]] = {
            model.id: tuple(
                Leg(deployment, provider)
                for deployment in model.deployments
                if (provider := providers[deployment.provider]) is not None
            )
            for model in catalog.models
        }
        self._unsupported = {name for name, provider in providers.items() if provider is None}
        self.catalog = catalog

    def serves(self, provider: str) -> bool:
        """Whether calls can be sent to this provider."""
        return provider not in self._unsupported

    def route(self, call: Call, key: Key) -> Route:
        """The route for a call.

        Raises `InvalidRequest` (`model_not_found`, `model_not_allowed`), or `Unavailable`
        (`no_provider_available`).
        """
        model = self.model(call.model, key)
        legs = self._legs[model.id]
        if call.counting:
            # Where nobody can count there is nobody to be asked, which is no reason to refuse.
            return Route(model, tuple(leg for leg in legs if leg.provider.counts_tokens))
        if not legs:
            raise Unavailable(
                "no_provider_available", f"No provider can serve '{call.model}'.", retry_after=60
            )
        if len(legs) > 1:
            legs = tuple(sorted(legs, key=self._rank))
        return Route(model, legs)

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

    def _rank(self, leg: Leg) -> tuple[int, float]:
        # The largest of chance ** (1 / weight) is a fair draw by weight (Efraimidis and Spirakis, 2006).
        return leg.deployment.priority, -(self._chance() ** (1 / leg.deployment.weight))
