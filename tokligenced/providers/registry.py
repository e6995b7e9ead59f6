"""Which class serves which provider type; a new provider is one file and one line here."""

from collections.abc import Callable, Mapping

from tokligenced.config import ProviderSettings
from tokligenced.providers.anthropic import Anthropic
from tokligenced.providers.azure import Azure
from tokligenced.providers.base import Provider
from tokligenced.providers.cohere import Cohere
from tokligenced.providers.deepseek import DeepSeek
from tokligenced.providers.embedded import Demo
from tokligenced.providers.gemini import Gemini
from tokligenced.providers.jina import Jina
from tokligenced.providers.openai import OpenAI
from tokligenced.providers.voyage import Voyage

TYPES: Mapping[str, Callable[[ProviderSettings], Provider]] = {
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


def build(settings: ProviderSettings) -> Provider | None:
    """The provider for these settings; None for a type that can't be served yet."""
    make = TYPES.get(settings.type)
    return make(settings) if make else None
