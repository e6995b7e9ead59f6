"""OpenAI, and every vendor and local server that speaks its dialect."""

import re
from collections.abc import Callable
from functools import partial

from tokligenced.config import ProviderSettings
from tokligenced.dialects import (
    chat,
    chat_answers,
    chat_bodies,
    chat_events,
    chat_extensions,
    clients,
    completions,
    detail_error,
    embeddings,
    images,
    rerank,
    responses_calls,
    responses_watch,
)
from tokligenced.dialects.chat_mending import Mender
from tokligenced.dialects.tasks import Answer, renamed
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange, Remote, UpstreamRequest
from tokligenced.providers.metering import ReadingTap
from tokligenced.providers.passing import Passed
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
    def responds(self) -> bool:
        """Whether this upstream has /responses of its own."""
        return self.official if self.settings.responses is None else self.settings.responses

    @property
    def limit_field(self) -> str:
        """What a limit on output is called here."""
        return "max_completion_tokens" if self.official else "max_tokens"

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for a conversation, in whichever dialect the client holds it."""
        name = deployment.model
        if call.dialect == "responses" and self.responds:
            tap = responses_watch.Watch(stream=call.stream)
            return Passed(
                self.request("/responses", name, responses_calls.request_for(call, name)),
                self.settings,
                tap,
                read_error=detail_error.read_error,
                render_failure=tap.fail,
            )
        if call.dialect != "chat":
            return self._translate(call, model, deployment)
        watch = chat_answers.Watch(
            Mender(call_id=call.id, created=call.at // 1000, model=name),
            stream=call.stream,
            choices=call.choices,
            hide_usage=call.stream and not call.include_usage,
        )
        return Passed(
            self._ask(call, name),
            self.settings,
            watch,
            read_error=detail_error.read_error,
            render_failure=chat.render_error_event,
        )

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
            read_error=detail_error.read_error,
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
        changes: dict[str, bytes] = {}
        if self.official and (messages := chat_extensions.left_out(call.member("messages"))) is not None:
            changes["messages"] = messages
        limit = call.member("max_tokens") if self.official and _REASONS.match(model) else b""
        if limit and not call.member("max_completion_tokens"):
            changes |= {"max_completion_tokens": limit, "max_tokens": b"null"}
        return changes

    def complete(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a legacy completion, which only the client's own dialect has."""
        name = deployment.model
        body = chat.request_for(call, name, ask_usage=self.ask_usage)
        hide_usage = call.stream and not call.include_usage
        return Passed(
            self.request("/completions", name, body),
            self.settings,
            ReadingTap(completions.Reader(), stream=call.stream, hide_usage=hide_usage),
            read_error=detail_error.read_error,
            render_failure=chat.render_error_event,
        )

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
