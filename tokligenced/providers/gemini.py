"""Gemini, at Google AI Studio or where its API is spoken.

https://ai.google.dev/api
"""

import re
from urllib.parse import quote

from tokligenced.dialects import clients, gemini_answers, gemini_errors, gemini_requests
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange
from tokligenced.providers.gemini_tasks import GeminiTasks
from tokligenced.providers.translated import Translated

# A base that names the API's version already, or a publisher as Vertex does.
_VERSIONED = re.compile(r"/(?:v\d+(?:(?:alpha|beta)\d*)?|publishers/[^/]+)$")
_RESOURCES = ("models/", "tunedModels/")


class Gemini(GeminiTasks):
    """An account at Google."""

    def credentials(self) -> dict[str, str]:
        """The headers that prove who is asking."""
        key = self.settings.api_key
        return {"x-goog-api-key": key.reveal()} if key else {}

    def url(self, path: str, model: str) -> str:
        """Where requests for `path`, a method such as `:generateContent`, go; `model` may name its kind."""
        base = self.settings.base_url
        version = "" if _VERSIONED.search(base) else "/v1beta"
        resource = quote(model) if model.startswith(_RESOURCES) else f"models/{quote(model, safe='')}"
        return f"{base}{version}/{resource}{path}"

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for a conversation, in whichever dialect the client holds it."""
        client = clients.CLIENTS[call.dialect]
        conversation = client.read(call)
        body = gemini_requests.write(conversation, self.target(model, deployment))
        method = ":streamGenerateContent?alt=sse" if call.stream else ":generateContent"
        return Translated(
            self.request(method, deployment.model, body),
            self.settings,
            stream=call.stream,
            reader=gemini_answers.Reader(
                call.id,
                deployment.model,
                single_call=conversation.parallel_tool_calls is False,
                customs=gemini_requests.customs(conversation),
            ),
            writer=client.writer(call, deployment.model),
            read_error=gemini_errors.read_error,
        )
