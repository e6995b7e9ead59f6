"""Which class serves which provider type; a new provider is one file and one line here."""

from collections.abc import Callable, Mapping

from tokligenced.config import ProviderSettings
from tokligenced.providers.azure import Azure
from tokligenced.providers.base import Provider
from tokligenced.providers.embedded import Demo
from tokligenced.providers.gemini import Gemini
from tokligenced.providers.openai import OpenAI

TYPES: Mapping[str, Callable[[ProviderSettings], Provider]] = {
    "openai": OpenAI,
    "deepseek": OpenAI,
    "azure": Azure,
    "gemini": Gemini,
    "demo": Demo,
}


def build(settings: ProviderSettings) -> Provider | None:
    """The provider for these settings; None for a type that can't be served yet."""
    make = TYPES.get(settings.type)
    return make(settings) if make else None
