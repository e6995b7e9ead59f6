"""LangChain against the daemon: both chat models with a tool, and embeddings that go as token ids."""

import json
from typing import Any

import pytest
from openai import DefaultHttpxClient

from tests.e2e.daemon_process import Daemon

pytestmark = pytest.mark.e2e

MODEL = "claude-3-5-sonnet"
EMBEDDER = "text-embedding-3-small"


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"22 degrees in {city}"


def chat_models(daemon: Daemon, key: str) -> dict[str, Any]:
    """Each of LangChain's models that the gateway can serve, set up as its users would."""
    openai = pytest.importorskip("langchain_openai", reason="LangChain is not installed")
    anthropic = pytest.importorskip("langchain_anthropic", reason="LangChain is not installed")
    chat = {"model": MODEL, "base_url": daemon.url, "api_key": key, "max_retries": 0}
    return {
        "chat": openai.ChatOpenAI(**chat),
        "responses": openai.ChatOpenAI(**chat, use_responses_api=True),
        "messages": anthropic.ChatAnthropic(**chat | {"base_url": daemon.url.removesuffix("/v1")}),
    }


@pytest.mark.parametrize("dialect", ["chat", "responses", "messages"])
def test_a_model_answers_and_calls_a_tool(daemon: Daemon, key: str, dialect: str) -> None:
    """Whole, streamed, and with a tool's result in a second turn."""
    model = chat_models(daemon, key)[dialect]
    plain = model.invoke("Hello!")
    assert plain.text.startswith("Hello!")
    assert plain.usage_metadata["output_tokens"] > 0
    pieces = list(model.stream("Hello!"))
    assert len(pieces) > 10
    assert "".join(piece.text for piece in pieces) == plain.text
    able = model.bind_tools([get_weather])
    asked = [("user", "What is the weather in Paris?")]
    called = able.invoke(asked)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call["id"], "content": get_weather(**call["args"])}
    told = able.invoke([*asked, called, result])
    assert "22 degrees in Paris" in told.text


def test_embeddings_go_as_token_ids(daemon: Daemon, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """LangChain counts tokens itself and sends their ids; long texts go in pieces and come back as one."""
    tiktoken = pytest.importorskip("tiktoken", reason="LangChain is not installed")
    openai = pytest.importorskip("langchain_openai", reason="LangChain is not installed")
    # The real vocabulary would be fetched from the network; in this one each byte is a token.
    letters = tiktoken.Encoding(
        "bytes",
        pat_str="(?s).",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={},
    )
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _model: letters)
    sent: list[list[int]] = []

    def watch(request: Any) -> None:
        sent.extend(json.loads(request.content)["input"])

    with DefaultHttpxClient(event_hooks={"request": [watch]}) as http:
        embedder = openai.OpenAIEmbeddings(
            model=EMBEDDER,
            base_url=daemon.url,
            api_key=key,
            dimensions=64,
            embedding_ctx_length=100,
            max_retries=0,
            http_client=http,
        )
        short, long, same = embedder.embed_documents(["the cat sat", "tax returns " * 20, "the cat sat"])
        again = embedder.embed_query("the cat sat")
    assert sent[0] == list(b"the cat sat")
    assert [len(ids) for ids in sent[1:4]] == [100, 100, 40]
    assert [len(short), len(long)] == [64, 64]
    assert short == same == pytest.approx(again)
    assert short != long
