"""Azure OpenAI: the deployment's name stands in the path, or the base is the newer v1 one.

https://learn.microsoft.com/azure/ai-services/openai/reference
"""

from urllib.parse import quote

from tokligenced.config import ProviderSettings
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange
from tokligenced.providers.openai import OpenAI


class Azure(OpenAI):
    """An Azure OpenAI resource."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        self.official = True
        # Older versions refuse to be asked for a stream's usage; versions are dates.
        self.ask_usage = not settings.api_version or settings.api_version >= "2024-09"

    @property
    def responds(self) -> bool:
        """Azure's newer base has /responses, its deployments' paths have not."""
        newer = self.settings.base_url.endswith("/openai/v1")
        return newer if self.settings.responses is None else self.settings.responses

    def credentials(self) -> dict[str, str]:
        """The headers that prove who is asking."""
        key = self.settings.api_key
        return {"api-key": key.reveal()} if key else {}

    def url(self, path: str, model: str) -> str:
        """Where requests for `path` go; `model` is the name of Azure's deployment."""
        base = self.settings.base_url
        if base.endswith("/openai/v1"):
            return base + path
        version = quote(self.settings.api_version, safe="")
        return f"{base}/openai/deployments/{quote(model, safe='')}{path}?api-version={version}"

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """Azure OpenAI serves no rerankers."""
        return self.unserved(call)
