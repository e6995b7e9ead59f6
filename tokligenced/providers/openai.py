"""OpenAI, and every vendor and local server that speaks its Chat Completions."""

from collections.abc import Mapping

from tokligenced.config import ProviderSettings
from tokligenced.dialects import chat, chat_answers
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.wire_error import ErrorInside
from tokligenced.domain import Call, Deployment, Model, Usage
from tokligenced.errors import CallError
from tokligenced.providers.base import Exchange, Remote, UpstreamRequest
from tokligenced.providers.rejections import error_inside, rejection


class OpenAI(Remote):
    """An account at an OpenAI-compatible upstream; subclasses say where its paths or headers differ."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        # OpenAI's own newer models refuse the old name, most vendors know no other.
        official = settings.base_url.startswith("https://api.openai.com/")
        self.limit_field = "max_completion_tokens" if official else "max_tokens"

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a chat completion."""
        body = chat.request_for(call, deployment.model, self.limit_field)
        request = self.request("/chat/completions", deployment.model, body)
        return ChatExchange(request, call, deployment.model, self.settings)


class ChatExchange:
    """One attempt at an upstream that speaks the client's own dialect: bytes pass, a watch looks on."""

    def __init__(self, request: UpstreamRequest, call: Call, model: str, settings: ProviderSettings) -> None:
        self.request = request
        self.content_type: str | None = None
        self._settings = settings
        self._watch = chat_answers.Watch(
            Mender(call_id=call.id, created=call.at // 1000, model=model),
            stream=call.stream,
            choices=call.choices,
            hide_usage=call.stream and not call.include_usage,
        )

    @property
    def usage(self) -> Usage | None:
        """What the upstream said it counted."""
        return self._watch.usage

    @property
    def told_at(self) -> int:
        """How much was delivered when the upstream last told its usage."""
        return self._watch.told_at

    @property
    def disbelieved(self) -> bool:
        """Whether the upstream told a usage that can't be."""
        return self._watch.disbelieved

    @property
    def delivered(self) -> int:
        """UTF-8 bytes of generated output that passed so far."""
        return self._watch.delivered

    def feed(self, chunk: bytes) -> bytes:
        """Take what the upstream sent, give what the client gets."""
        try:
            return self._watch.feed(chunk)
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None

    def finish(self) -> bytes:
        """Give what is left; raises `UpstreamFailed` when the answer ended too early."""
        try:
            return self._watch.finish()
        except ErrorInside as inside:
            raise error_inside(inside.error, self._settings) from None

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""
        return rejection(status, headers, chat_answers.read_error(body), self._settings)
