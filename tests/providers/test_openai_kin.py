"""OpenAI and those who speak nearly as it does: what of a request is said otherwise to each."""

import json
from typing import Any

import pytest

from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects import chat
from tokligenced.domain import Call, Deployment, Model
from tokligenced.errors import InvalidRequest
from tokligenced.providers import registry

OFFICIAL = "https://api.openai.com/v1"


def sent(kind: Any, model: str, base_url: str = "http://vendor/v1", **members: Any) -> dict[str, Any]:
    """The body that a provider of this kind sends for a request with these members."""
    settings = ProviderSettings(
        name="p", type=kind, base_url=base_url, api_key=Secret("k"), **SPECIAL.get(kind, {})
    )
    provider = registry.build(settings)
    assert provider is not None
    request = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    call = chat.parse(json.dumps(request).encode())
    deployment = Deployment(provider="p", model=model)
    served = Model(id="m", name="m", context_window=9, max_output_tokens=9, deployments=(deployment,))
    body: dict[str, Any] = json.loads(provider.exchange(call, served, deployment).request.body)
    assert body.pop("model") == model
    return body


SPECIAL: dict[str, dict[str, Any]] = {"azure": {"api_version": "2024-02-01"}}


@pytest.mark.parametrize("model", ["o1", "o4-mini", "gpt-5-nano", "gpt-5.1"])
def test_reasoning_models_get_the_new_name_of_the_limit(model: str) -> None:
    """OpenAI's reasoning models refuse max_tokens, so the limit goes by its newer name."""
    body = sent("openai", model, OFFICIAL, max_tokens=7)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (None, 7)


@pytest.mark.parametrize(
    ("model", "base_url", "members"),
    [
        ("gpt-4o", OFFICIAL, {"max_tokens": 7}),
        ("gpt-5", "http://vendor/v1", {"max_tokens": 7}),
        ("gpt-5", OFFICIAL, {"max_tokens": 7, "max_completion_tokens": 8}),
    ],
)
def test_a_limit_that_is_understood_stays_as_it_is(
    model: str, base_url: str, members: dict[str, Any]
) -> None:
    """Nothing is renamed where the model or the vendor takes what the client wrote."""
    body = sent("openai", model, base_url, **members)
    assert {name: body[name] for name in body if name.startswith("max_")} == members


def test_deepseek_knows_one_name_of_the_limit() -> None:
    """DeepSeek would ignore the newer name, and write on."""
    body = sent("deepseek", "deepseek-chat", max_completion_tokens=7)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (7, None)


def test_deepseek_gets_systems_for_developers() -> None:
    """DeepSeek refuses a role that it does not know; everything else of the messages stays."""
    messages = [
        {"role": "developer", "content": 'a "developer"'},
        {"role": "user", "content": "hi", "x": [1]},
    ]
    body = sent("deepseek", "deepseek-chat", messages=messages)
    assert body["messages"] == [{**messages[0], "role": "system"}, messages[1]]


def test_deepseek_is_told_the_schema_in_words() -> None:
    """DeepSeek has JSON without a schema, so the schema stands in an instruction."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = sent("deepseek", "deepseek-chat", response_format=wanted)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0] == {"role": "user", "content": "hi"}
    told = body["messages"][-1]
    assert told["role"] == "system"
    assert json.loads(told["content"].partition("\n")[2]) == schema


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, {"type": "text"}, {"type": 7}, None])
def test_deepseek_gets_other_formats_as_they_are(wanted: object) -> None:
    """What DeepSeek has, or will itself say is wrong, is left as the client wrote it."""
    assert sent("deepseek", "deepseek-chat", response_format=wanted)["response_format"] == wanted


def test_deepseek_gives_one_choice() -> None:
    """Several choices are refused naming field and provider, not silently made one."""
    with pytest.raises(InvalidRequest) as refused:
        sent("deepseek", "deepseek-chat", n=2)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "n")
    assert "p" in refused.value.message


@pytest.mark.parametrize(("version", "asked"), [("2024-02-01", False), ("2024-12-01-preview", True)])
def test_old_azure_versions_are_not_asked_for_usage(
    version: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions before stream_options refuse a request that has it."""
    monkeypatch.setitem(SPECIAL, "azure", {"api_version": version})
    assert ("stream_options" in sent("azure", "gpt", stream=True)) == asked


@pytest.mark.parametrize("dialect", ["embeddings", "images", "rerank"])
def test_deepseek_has_conversations_alone(dialect: Any) -> None:
    """What DeepSeek does not serve is refused here, and not sent to be refused there."""
    provider = registry.build(ProviderSettings(name="p", type="deepseek", base_url="http://x"))
    deployment = Deployment(provider="p", model="m")
    served = Model(id="m", name="m", context_window=9, max_output_tokens=0, deployments=(deployment,))
    with pytest.raises(InvalidRequest) as refused:
        provider.exchange(Call(dialect=dialect, model="m", body=b"{}", members={}), served, deployment)
    assert refused.value.param == "model"


MARKED = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        "tool_calls": [
            {
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "s"}},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "c", "content": "r"},
]


@pytest.mark.parametrize(("kind", "base_url"), [("openai", OFFICIAL), ("azure", "http://vendor")])
def test_openai_gets_back_no_more_than_it_knows(kind: str, base_url: str) -> None:
    """A conversation that another provider took part in goes on at OpenAI, which refuses unknown members."""
    body = sent(kind, "gpt-4o", base_url, messages=MARKED)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert body["messages"] == [MARKED[0], answer, MARKED[2]]


def test_calls_that_are_none_are_for_openai_to_refuse() -> None:
    """Only what is known to be an extension is taken out."""
    held = [{"role": "assistant", "reasoning_content": "hm", "tool_calls": 1}]
    assert sent("openai", "gpt-4o", OFFICIAL, messages=held)["messages"] == [
        {"role": "assistant", "tool_calls": 1}
    ]


@pytest.mark.parametrize("kind", ["openai", "deepseek"])
def test_other_vendors_get_what_the_client_sent(kind: str) -> None:
    """Many of them take reasoning back, some signatures too."""
    assert sent(kind, "x", messages=MARKED)["messages"] == MARKED


def test_complaints_in_a_list_reach_the_client() -> None:
    """Mistral and servers built with FastAPI say what is wrong in a list; the client reads it."""
    provider = registry.build(ProviderSettings(name="p", type="openai", base_url="http://vendor/v1"))
    assert provider is not None
    call = chat.parse(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    deployment = Deployment(provider="p", model="x")
    served = Model(id="m", name="m", context_window=9, max_output_tokens=9, deployments=(deployment,))
    body = b'{"detail":[{"type":"missing","loc":["body","messages",0,"content"],"msg":"Field required"}]}'
    refusal = provider.exchange(call, served, deployment).reject(422, {}, body)
    assert isinstance(refusal, InvalidRequest)
    assert (refusal.message, refusal.param) == ("messages.0.content: Field required", "messages.0.content")
