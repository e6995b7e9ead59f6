"""OpenAI, and every vendor and local server that speaks its dialect."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from tokligenced.config import ProviderSettings
from tokligenced.dialects import (
    chat,
    chat_answers,
    chat_bodies,
    chat_events,
    clients,
    detail_error,
    embeddings,
    images,
    rerank,
)
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.tasks import Answer, renamed
from tokligenced.dialects.wire_error import ErrorInside
from tokligenced.domain import Call, Deployment, Model, Usage
from tokligenced.errors import CallError
from tokligenced.providers.base import Exchange, Remote, UpstreamRequest
from tokligenced.providers.rejections import error_inside, rejection
from tokligenced.providers.tasks import Task
from tokligenced.providers.translated import Translated

# The models that refuse `max_tokens`. https://platform.openai.com/docs/guides/reasoning
_REASONS = re.compile(r"o[1-9]|gpt-[5-9]|codex")


class OpenAI(Remote):
    """An account at an OpenAI-compatible upstream; subclasses say where its paths or headers differ."""

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        # OpenAI's own newer models refuse the old name, most vendors know no other.
        self.official = settings.base_url.startswith("https://api.openai.com/")
        self.ask_usage = True

    @property
    def limit_field(self) -> str:
        """What a limit on output is called here."""
        return "max_completion_tokens" if self.official else "max_tokens"

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for a conversation, in whichever dialect the client holds it."""
        if call.dialect == "chat":
            return ChatExchange(self._ask(call, deployment.model), call, deployment.model, self.settings)
        return self._translate(call, model, deployment)

    def _translate(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        client = clients.CLIENTS[call.dialect]
        conversation = client.read(call)
        traits = self.traits(deployment.model)
        body = chat_bodies.write(conversation, self.target(model, deployment), traits)
        # What this upstream wants said otherwise in chat requests it wants here too.
        written = chat.parse(body, call_id=call.id, at=call.at)
        reader = chat_events.Reader(
            Mender(call_id=call.id, created=call.at // 1000, model=deployment.model),
            chat_bodies.custom_names(conversation.tools, traits),
        )
        return Translated(
            self._ask(written, deployment.model),
            self.settings,
            stream=call.stream,
            reader=reader,
            writer=client.writer(call, deployment.model),
            read_error=chat_answers.read_error,
        )

    def traits(self, model: str) -> chat_bodies.Traits:
        """What a model here takes of what other dialects have."""
        if not self.official:
            return chat_bodies.Traits(limit_field=self.limit_field)
        reasons = _REASONS.match(model) is not None
        return chat_bodies.Traits(
            limit_field=self.limit_field, custom=reasons, reasons=reasons, replays=False
        )

    def _ask(self, call: Call, name: str) -> UpstreamRequest:
        body = chat.request_for(
            call,
            name,
            limit_field=self.limit_field,
            changes=self.changes(call, name),
            ask_usage=self.ask_usage,
        )
        return self.request("/chat/completions", name, body)

    def changes(self, call: Call, model: str) -> dict[str, bytes]:
        """What of a request is said otherwise here."""
        limit = call.member("max_tokens") if self.official and _REASONS.match(model) else b""
        if limit and not call.member("max_completion_tokens"):
            return {"max_completion_tokens": limit, "max_tokens": b"null"}
        return {}

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for embeddings."""
        name = deployment.model
        read = partial(embeddings.read_answer, call=call, upstream_model=name)
        return self._task("/embeddings", name, renamed(call, name), read)

    def draw(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for images."""
        name = deployment.model
        return self._task("/images/generations", name, renamed(call, name), images.read_answer)

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a ranking, which OpenAI has not but many compatible servers have."""
        name = deployment.model
        read = partial(rerank.read_answer, call=call, upstream_model=name)
        return self._task("/rerank", name, rerank.request_for(call, name), read)

    def _task(self, path: str, model: str, body: bytes, read: Callable[[bytes], Answer]) -> Exchange:
        request = self.request(path, model, body)
        return Task(request, self.settings, read=read, read_error=detail_error.read_error)


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

    def fail(self, error: CallError) -> bytes:
        """What tells the client of a stream that it broke off."""
        return chat.render_error_event(error)

    def reject(self, status: int, headers: Mapping[str, str], body: bytes) -> CallError:
        """What an answer that is not a success means."""
        return rejection(status, headers, chat_answers.read_error(body), self._settings)
