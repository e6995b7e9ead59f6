"""The providers that README shows: their addresses, and a call through each."""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
import tomli_w

from tests import fakes
from tests.api.whole_gateway import Gateway, running
from tests.fakes import FakeUpstream
from tokligenced import config
from tokligenced.dialects import chat, rerank
from tokligenced.domain import Deployment, Model
from tokligenced.providers import registry

README = (Path(__file__).parents[1] / "README.md").read_text()
SECTION = README.partition("\n## Providers\n")[2].partition("\n## ")[0]
SHOWN: dict[str, dict[str, Any]] = tomllib.loads(
    "\n".join(re.findall(r"^```toml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL))
)["providers"]
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello!"}]}
SEARCH: dict[str, Any] = {"query": "Hello!", "documents": ["Hello"]}
RANKS = {"cohere", "jina", "voyage"}

# Where each one's documentation has a chat sent to, or what is to be ranked.
ADDRESSES = {
    "anthropic": "https://api.anthropic.com/v1/messages",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
    "openai": "https://api.openai.com/v1/chat/completions",
    "azure": "https://RESOURCE.openai.azure.com/openai/v1/chat/completions",
    "azure-old": "https://RESOURCE.openai.azure.com/openai/deployments/m/chat/completions"
    "?api-version=2024-12-01-preview",
    "deepseek": "https://api.deepseek.com/chat/completions",
    "groq": "https://api.groq.com/openai/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
    "together": "https://api.together.ai/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "perplexity": "https://api.perplexity.ai/chat/completions",
    "fireworks": "https://api.fireworks.ai/inference/v1/chat/completions",
    "cerebras": "https://api.cerebras.ai/v1/chat/completions",
    "deepinfra": "https://api.deepinfra.com/v1/openai/chat/completions",
    "alibaba": "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions",
    "zai": "https://api.z.ai/api/paas/v4/chat/completions",
    "cohere-chat": "https://api.cohere.ai/compatibility/v1/chat/completions",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    "ollama": "http://127.0.0.1:11434/v1/chat/completions",
    "vllm": "http://127.0.0.1:8000/v1/chat/completions",
    "lm-studio": "http://127.0.0.1:1234/v1/chat/completions",
    "llama-cpp": "http://127.0.0.1:8080/v1/chat/completions",
    "cohere": "https://api.cohere.com/v2/rerank",
    "jina": "https://api.jina.ai/v1/rerank",
    "voyage": "https://api.voyageai.com/v1/rerank",
}
KEY_HEADERS = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "azure": "api-key"}
ANSWERS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    },
    "cohere": {"id": "1", "results": [{"index": 0, "relevance_score": 0.5}]},
    "jina": {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 5}},
    "voyage": {"data": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 5}},
}


def model(provider: str) -> dict[str, Any]:
    """A model that this provider alone serves."""
    return {
        "context_window": 100_000,
        "max_output_tokens": 1_000,
        "free": True,
        "deployments": [{"provider": provider, "model": "m"}],
    }


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> config.Config:
    """README's block as a configuration."""
    path = tmp_path_factory.mktemp("vendors") / "config.toml"
    path.write_text(
        tomli_w.dumps(
            {
                "database": {"path": "vendors.db"},
                "providers": SHOWN,
                "models": {name: model(name) for name in SHOWN},
            }
        )
    )
    return config.load(
        path, {each["api_key"]["env"]: "sk-test" for each in SHOWN.values() if "api_key" in each}
    )


def test_all_that_are_shown_are_known() -> None:
    """A provider that README adds or drops needs its documented address here."""
    assert set(SHOWN) == set(ADDRESSES)


@pytest.mark.parametrize("name", SHOWN)
def test_a_call_goes_where_the_vendor_documents_it(loaded: config.Config, name: str) -> None:
    """The lines in README lead to the address in the vendor's documentation."""
    provider = registry.build(loaded.providers[name])
    assert provider is not None
    deployment = Deployment(provider=name, model="m")
    wanted = Model(
        id=name, name=name, context_window=100_000, max_output_tokens=1_000, deployments=(deployment,)
    )
    parse, body = (rerank.parse, SEARCH) if name in RANKS else (chat.parse, QUESTION)
    call = parse(msgspec.json.encode({"model": name, **body}))
    assert provider.exchange(call, wanted, deployment).request.url == ADDRESSES[name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[FakeUpstream]:
    """What stands in the place of all vendors' hosts."""
    async with FakeUpstream() as vendor:
        yield vendor


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    upstream: FakeUpstream, loaded: config.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with README's providers, each with its own path at the upstream's host."""
    folder = tmp_path_factory.mktemp("vendors")
    moved = {
        name: {
            **table,
            "base_url": upstream.url + urlsplit(loaded.providers[name].base_url).path,
            **({"api_key": {"env": "FAKE_KEY"}} if "api_key" in table else {}),
        }
        for name, table in SHOWN.items()
    }
    text = tomli_w.dumps(
        {
            "database": {"path": str(folder / "test.db")},
            "endpoints": {"rerank": True},
            "providers": moved,
            "models": {name: model(name) for name in SHOWN},
        }
    )
    async with running(upstream, folder, settings=text) as whole:
        yield whole


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SHOWN)
async def test_a_call_goes_through(gateway: Gateway, upstream: FakeUpstream, name: str) -> None:
    """With the vendor's host replaced, the request arrives at its path with its kind of credential."""
    kind = SHOWN[name]["type"]
    upstream.serve(fakes.body(ANSWERS.get(kind, fakes.chat_completion())))
    path, body = ("/v1/rerank", SEARCH) if name in RANKS else ("/v1/chat/completions", QUESTION)
    async with gateway.call(path, json={"model": name, **body}) as answer:
        told = await answer.json()
    assert answer.status == 200, told
    if name in RANKS:
        assert told["results"] == [{"index": 0, "relevance_score": 0.5}]
    else:
        assert told["choices"][0]["message"]["content"] == "Hello"
    received = upstream.received[-1]
    address = urlsplit(ADDRESSES[name])
    assert received.path == address.path + (f"?{address.query}" if address.query else "")
    header, bearer = KEY_HEADERS.get(kind, "Authorization"), "" if kind in KEY_HEADERS else "Bearer "
    secret = f"{bearer}sk-secret-of-the-upstream" if "api_key" in SHOWN[name] else None
    assert received.headers.get(header) == secret
