"""Which class serves which provider type; a new provider is one file and one line here."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from msgspec import structs

from tokligenced.config import ProviderSettings, ProviderType
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.anthropic import Anthropic
from tokligenced.providers.azure import Azure
from tokligenced.providers.base import Exchange, Provider
from tokligenced.providers.cohere import Cohere
from tokligenced.providers.deepseek import DeepSeek
from tokligenced.providers.embedded import Demo
from tokligenced.providers.gemini import Gemini
from tokligenced.providers.jina import Jina
from tokligenced.providers.openai import OpenAI
from tokligenced.providers.voyage import Voyage

TYPES: Mapping[ProviderType, Callable[[ProviderSettings], Provider]] = {
    "openai": OpenAI,
    "deepseek": DeepSeek,
    "anthropic": Anthropic,
    "azure": Azure,
    "gemini": Gemini,
    "cohere": Cohere,
    "jina": Jina,
    "voyage": Voyage,
    "demo": Demo,
}


def build(settings: ProviderSettings) -> Provider:
    """The provider for these settings; one that takes turns where there are several keys."""
    make = TYPES[settings.type]
    if not settings.more_keys:
        return make(settings)
    keys = (settings.api_key, *settings.more_keys)
    return InTurn([make(structs.replace(settings, api_key=key, more_keys=())) for key in keys], settings)


class InTurn:
    """One provider by several keys, which serve one call after the other."""

    def __init__(self, providers: Sequence[Provider], settings: ProviderSettings) -> None:
        self.settings = settings
        self.counts_tokens = providers[0].counts_tokens
        self._next = itertools.cycle(providers)

    def exchange(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """A fresh exchange by the next key."""
        return next(self._next).exchange(call, model, deployment)
