"""DeepSeek: OpenAI's dialect with fewer words.

It knows no developer, no JSON Schema, one choice, and one name for the limit on output.
https://api-docs.deepseek.com/api/create-chat-completion
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.domain import Call, Deployment, Model
from tokligenced.errors import InvalidRequest
from tokligenced.providers.base import Exchange
from tokligenced.providers.openai import OpenAI

_DEVELOPER = Raw(b'"developer"')
_SYSTEM = Raw(b'"system"')
_SCHEMA_PROMPT = "Answer with one JSON object, and nothing else, that is valid against this JSON Schema:\n"


class _Schema(Struct):
    schema: Raw = Raw(b"{}")


class _Format(Struct):
    type: str = ""
    json_schema: _Schema | None = None


_read_messages = msgspec.json.Decoder(list[dict[str, Raw]])
_read_format = msgspec.json.Decoder(_Format | None)


class DeepSeek(OpenAI):
    """An account at DeepSeek."""

    def changes(self, call: Call, model: str) -> dict[str, bytes]:
        """What of a request is said otherwise here. Raises `InvalidRequest` for several choices."""
        if call.choices > 1:
            raise InvalidRequest(
                "unsupported_parameter", f"Provider {self.settings.name}: it gives one choice.", param="n"
            )
        changes = super().changes(call, model)
        if limit := call.member("max_completion_tokens"):
            changes |= {"max_tokens": limit, "max_completion_tokens": b"null"}
        schema = _wanted_schema(call)
        messages = call.member("messages")
        if schema is not None or b'"developer"' in messages:
            changes["messages"] = _with_system(messages, schema)
        if schema is not None:
            changes["response_format"] = b'{"type":"json_object"}'
        return changes

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """DeepSeek embeds nothing."""
        return self.unserved(call)

    def draw(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """DeepSeek draws nothing."""
        return self.unserved(call)

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """DeepSeek ranks nothing."""
        return self.unserved(call)


def _wanted_schema(call: Call) -> bytes | None:
    written = call.member("response_format")
    try:
        wanted = _read_format.decode(written) if written else None
    except msgspec.ValidationError:
        return None  # the provider says what is wrong with it
    if wanted is None or wanted.type != "json_schema" or wanted.json_schema is None:
        return None
    return bytes(wanted.json_schema.schema)


def _with_system(written: bytes, schema: bytes | None) -> bytes:
    """The messages with systems for developers, and the schema told where one is wanted."""
    messages: list[dict[str, Any]] = [
        {**message, "role": _SYSTEM} if message.get("role") == _DEVELOPER else message
        for message in _read_messages.decode(written)
    ]
    if schema is not None:
        messages.append({"role": "system", "content": _SCHEMA_PROMPT + schema.decode()})
    return msgspec.json.encode(messages)
