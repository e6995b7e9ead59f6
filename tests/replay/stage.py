"""A gateway with a provider of each type and a model for each recording, in front of a replaying upstream."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import openai
import tomli_w

from tests.api.whole_gateway import Gateway
from tests.fakes import FakeUpstream, Reply
from tests.replay import folding
from tests.replay.recordings import Recording, chats

_TYPES: dict[str, dict[str, str]] = {
    "openai": {},
    "deepseek": {},
    "azure": {"api_version": "2024-12-01-preview"},
    "anthropic": {},
    "gemini": {},
}
_PLENTY = {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000, "concurrency": 100}
_PRICE = {"input": "1", "cached_input": "0.1", "cache_write": "1.25", "output": "2"}
_DEFAULT_MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}


def settings(folder: Path, url: str) -> str:
    """The configuration: each model is named after its recording."""
    providers = {
        name: {"type": name, "base_url": f"{url}/{name}", "api_key": {"env": "FAKE_KEY"}, **more}
        for name, more in _TYPES.items()
    }
    models = {
        each.id: {
            "context_window": 1_000_000,
            "max_output_tokens": 32_000,
            "price": _PRICE,
            "deployments": [{"provider": each.type, "model": each.model or _DEFAULT_MODELS[each.wire]}],
        }
        for each in chats()
    }
    database = {"path": str(folder / "replay.db")}
    return tomli_w.dumps({"database": database, "limits": _PLENTY, "providers": providers, "models": models})


@dataclass(frozen=True, slots=True)
class Stage:
    """Where recordings are replayed: what the upstream says, and what an SDK makes of it."""

    gateway: Gateway
    upstream: FakeUpstream
    client: openai.AsyncOpenAI

    def serve(self, recording: Recording) -> None:
        """From now on the upstream answers with this."""
        kind = "text/event-stream" if recording.streamed else "application/json"
        reply = Reply(
            status=recording.response.status,
            headers={"Content-Type": kind},
            parts=(recording.body,),
            framing="chunked" if recording.streamed else "length",
        )
        self.upstream.serve(reply)

    async def ask(self, recording: Recording) -> tuple[str, dict[str, Any]]:
        """Serve it and ask for it: the call's id, and the completion that the SDK read."""
        self.serve(recording)
        arguments: dict[str, Any] = question(recording)
        raw = await self.client.chat.completions.with_raw_response.create(**arguments)
        call_id: str = raw.headers["x-request-id"]
        read: Any = raw.parse()
        if not recording.streamed:
            return call_id, read.to_dict(warnings=False)
        return call_id, folding.chat([chunk.to_dict(warnings=False) async for chunk in read])

    async def booked(self, call_id: str) -> dict[str, Any]:
        """What the books say of a call once it is over."""
        await self.gateway.assembly.lifecycle.idle()
        async with self.gateway.get(f"/v1/generation?id={call_id}") as answer:
            assert answer.status == 200
            found: dict[str, Any] = msgspec.json.decode(await answer.read())
            return found


def question(recording: Recording) -> dict[str, Any]:
    """A request to which the recording could be the answer."""
    answer = {} if recording.fails else folding.whole(recording)
    asked: dict[str, Any] = {
        "model": recording.id,
        "messages": [{"role": "user", "content": "Hello."}],
        "stream": recording.streamed,
    }
    if recording.streamed:
        asked["stream_options"] = {"include_usage": True}
    if (choices := len(answer.get("choices", []))) > 1:
        asked["n"] = choices
    return asked
