"""The demo provider as a provider: its address leads into the process instead of to a network."""

from tokligenced.providers.base import UpstreamRequest
from tokligenced.providers.demo import Script, respond
from tokligenced.providers.openai import OpenAI

SCHEME = "demo:"


class Demo(OpenAI):
    """The provider that needs no account anywhere; its delays travel in the address."""

    def url(self, path: str, model: str) -> str:  # noqa: ARG002 - as its parent
        """Where requests for `path` go."""
        delays = self.settings.demo
        return f"{SCHEME}{delays.first_byte}:{delays.between_chunks}:{path}"


def answer(request: UpstreamRequest) -> Script:
    """What the demo provider answers to a request with one of its addresses."""
    first_byte, between_chunks, path = request.url.removeprefix(SCHEME).split(":", 2)
    return respond(path, request.body, first_byte=float(first_byte), between_chunks=float(between_chunks))
