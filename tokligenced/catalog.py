"""Config → Catalog: models, deployments and providers as one immutable snapshot.

A call takes the catalog that is current when it arrives and keeps it to its end; a reload puts a new
one in its place.
"""

from collections.abc import Mapping

from msgspec import Struct

from tokligenced.config import CacheSettings, Config, Endpoints, ProviderSettings, ResponseSettings
from tokligenced.domain import Key, Limits, Model


class Catalog(Struct, frozen=True, kw_only=True):
    """What can be served: `names` maps every model id and alias to its model."""

    models: tuple[Model, ...]
    names: Mapping[str, Model]
    providers: Mapping[str, ProviderSettings]
    endpoints: Endpoints
    responses: ResponseSettings
    cache: CacheSettings
    default_limits: Limits

    def allowed(self, key: Key) -> list[Model]:
        """The models this key may use, in the order of the configuration."""
        return [model for model in self.models if allows(key, model)]


def allows(key: Key, model: Model) -> bool:
    """Whether the key may use the model: it names no models, or the model by its id or an alias."""
    return key.models is None or model.id in key.models or not key.models.isdisjoint(model.aliases)


def build(config: Config) -> Catalog:
    """The snapshot of a checked configuration."""
    models = tuple(config.models.values())
    names = {name: model for model in models for name in (model.id, *model.aliases)}
    return Catalog(
        models=models,
        names=names,
        providers=config.providers,
        endpoints=config.endpoints,
        responses=config.responses,
        cache=config.cache,
        default_limits=config.limits,
    )
