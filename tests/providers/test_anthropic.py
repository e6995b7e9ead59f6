"""The provider `anthropic`: headers, generations of models, and a call from Chat through to it and back."""

import json
from typing import Any

import pytest
from msgspec import structs

from tokligenced.config import ProviderSettings
from tokligenced.config.settings import Secret
from tokligenced.dialects import chat, messages
from tokligenced.domain import Deployment, Model, Usage
from tokligenced.errors import InvalidRequest, UpstreamFailed
from tokligenced.providers.anthropic import Anthropic, traits
from tokligenced.providers.base import Exchange
from tokligenced.providers.registry import build

DEPLOYMENT = Deployment(provider="a", model="claude-sonnet-4-5")
MODEL = Model(
    id="claude", name="Claude", context_window=200_000, max_output_tokens=4000, deployments=(DEPLOYMENT,)
)

BEGINNING = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"He"}}\n\n'


def provider(**settings: Any) -> Anthropic:
    return Anthropic(
        ProviderSettings(
            name="a",
            type="anthropic",
            base_url="https://api.anthropic.com",
            api_key=Secret("k-1"),
            **settings,
        )
    )


def exchange(served: Anthropic | None = None, **members: Any) -> Exchange:
    body = {"model": "claude", "messages": [{"role": "user", "content": "Hi"}], **members}
    return (served or provider()).exchange(chat.parse(json.dumps(body).encode()), MODEL, DEPLOYMENT)


def with_file(file_id: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "file", "file": {"file_id": file_id}}]}]


def test_the_registry_knows_it() -> None:
    """A configured type becomes this provider."""
    settings = ProviderSettings(name="a", type="anthropic", base_url="https://api.anthropic.com")
    assert isinstance(build(settings), Anthropic)


def test_the_key_goes_in_its_own_header_with_a_version() -> None:
    """No bearer token, and the version of the API whose requests are written here."""
    request = exchange().request
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers["x-api-key"] == "k-1"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert not {"Authorization", "anthropic-beta"} & set(request.headers)
    assert json.loads(request.body)["max_tokens"] == 4000


def test_headers_stay_the_same_objects() -> None:
    """The HTTP client knows them by identity, with and without the beta that files need."""
    served = provider(headers={"Anthropic-Beta": "context-1m-2025-08-07"})
    plain, again = exchange(served), exchange(served)
    files, more = (exchange(served, messages=with_file(id_)) for id_ in ("file_1", "file_2"))
    assert plain.request.headers is again.request.headers
    assert files.request.headers is more.request.headers
    assert files.request.headers["anthropic-beta"] == "context-1m-2025-08-07,files-api-2025-04-14"
    assert "Anthropic-Beta" not in files.request.headers


def test_an_answer_comes_back_as_a_chat_completion() -> None:
    """Text, finish and usage arrive in the client's dialect."""
    made = exchange()
    answer = {
        "id": "msg_1",
        "type": "message",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 2},
    }
    assert made.feed(json.dumps(answer).encode()) == b""
    told = json.loads(made.finish())
    assert told["choices"][0]["message"]["content"] == "Hello"
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["usage"]["prompt_tokens"] == 7
    assert made.usage == Usage(input=3, cached_input=4, output=2)
    assert made.told_at == made.delivered == 5


def test_a_stream_comes_back_as_a_stream() -> None:
    """Whatever the cuts, chunks go on as they come; an error in the midst is one."""
    made = exchange(stream=True)
    assert json.loads(made.request.body)["stream"] is True
    start = b"event: content_block_start\n" + BEGINNING
    assert made.feed(start[:40]) == b""
    assert b'"He"' in made.feed(start[40:])
    with pytest.raises(UpstreamFailed) as failed:
        made.feed(b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n')
    assert "Overloaded" in failed.value.message


def test_a_stream_without_an_end_fails() -> None:
    """What was cut does not look complete."""
    made = exchange(stream=True)
    made.feed(BEGINNING)
    with pytest.raises(UpstreamFailed):
        made.finish()


def test_its_refusal_is_the_client_s() -> None:
    """What Anthropic says of the request reaches the client."""
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages: too many"}}'
    refused = exchange().reject(400, {}, body)
    assert isinstance(refused, InvalidRequest)
    assert refused.message == "messages: too many"


def test_a_custom_tool_is_known_to_the_reader() -> None:
    """A tool of free text gets free text, though Anthropic has only objects."""
    made = exchange(tools=[{"type": "custom", "custom": {"name": "patch"}}])
    call = {"type": "tool_use", "id": "t", "name": "patch", "input": {"input": "x = 1"}}
    made.feed(json.dumps({"content": [call], "stop_reason": "tool_use"}).encode())
    (told,) = json.loads(made.finish())["choices"][0]["message"]["tool_calls"]
    assert told["type"] == "custom"
    assert told["custom"] == {"name": "patch", "input": "x = 1"}


@pytest.mark.parametrize(
    ("models", "thinking", "off", "efforts", "sampling", "structured", "system_turns"),
    [
        (
            ["claude-instant-1.2", "claude-3-opus-20240229", "claude-3-5-haiku-latest"],
            "none",
            "unsaid",
            0,
            "both",
            False,
            False,
        ),
        (
            [
                "claude-3-7-sonnet-20250219",
                "claude-sonnet-4-20250514",
                "claude-sonnet-4-0",
                "claude-opus-4@20250514",
            ],
            "budget",
            "unsaid",
            0,
            "both",
            False,
            False,
        ),
        (
            ["claude-opus-4-1-20250805", "claude-haiku-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"],
            "budget",
            "unsaid",
            0,
            "one",
            True,
            False,
        ),
        (
            ["claude-opus-4-5-20251101", "anthropic/claude-opus-4.5"],
            "budget",
            "unsaid",
            3,
            "one",
            True,
            False,
        ),
        (["claude-opus-4-6", "claude-sonnet-4-6"], "either", "unsaid", 4, "one", True, False),
        (["claude-opus-4-7"], "adaptive", "unsaid", 5, "none", True, False),
        (["claude-opus-4-8"], "adaptive", "unsaid", 5, "none", True, True),
        (["claude-opus-5", "Claude-Haiku-5-5"], "adaptive", "disabled", 5, "none", True, True),
        (["claude-sonnet-5"], "adaptive", "disabled", 5, "none", True, False),
        (["claude-sonnet-5-5"], "adaptive", "between_tools", 5, "none", True, True),
        (
            ["claude-opus-5-5", "claude-fable-5", "claude-mythos-preview", "claude-saga-9-20301231"],
            "adaptive",
            "low_effort",
            5,
            "none",
            True,
            True,
        ),
        (["deepseek-chat", "kimi-k2"], "budget", "unsaid", 0, "both", False, False),
    ],
)
def test_each_generation_is_known_by_name(
    models: list[str],
    thinking: str,
    off: str,
    efforts: int,
    sampling: str,
    structured: bool,
    system_turns: bool,
) -> None:
    """Dated, aliased and foreign spellings of a name mean the same model; unknown ones the newest."""
    for model in models:
        found = traits(model)
        assert (found.thinking, found.off, len(found.efforts)) == (thinking, off, efforts)
        assert (found.sampling, found.structured, found.system_turns) == (sampling, structured, system_turns)


def passing(body: dict[str, Any]) -> Exchange:
    """An exchange for a client that speaks Anthropic's own dialect."""
    request = {"model": "claude-sonnet-4-5", "max_tokens": 9, **body}
    call = messages.parse(json.dumps(request).encode(), call_id="req_1", at=1)
    return provider().exchange(call, MODEL, DEPLOYMENT)


def test_another_providers_marks_do_not_reach_it() -> None:
    """A conversation that another provider took part in goes on here, where it would be refused."""
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    marked = {**call, "extra_content": {"google": {"thought_signature": "s"}}}
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    asked = {"role": "user", "content": "Hi"}
    held = [asked, {"role": "assistant", "content": [thought, marked]}]
    body = json.loads(passing({"messages": held}).request.body)
    assert body["messages"] == [asked, {"role": "assistant", "content": [call]}]
    assert body["max_tokens"] == 9


def test_its_own_conversation_passes_as_the_bytes_that_came() -> None:
    """Where all is Anthropic's, the very object that arrived leaves."""
    body = b'{"model":"claude-sonnet-4-5","max_tokens":9, "messages":[{"role":"user","content":"Hi"}]}'
    call = messages.parse(body, call_id="req_1", at=1)
    assert provider().exchange(call, MODEL, DEPLOYMENT).request.body is body


def test_a_refusal_that_is_not_json_is_told_in_json() -> None:
    """What a proxy on the way says in HTML is no body for a client that reads JSON."""
    asked = {"messages": [{"role": "user", "content": "Hi"}]}
    html = passing(asked).reject(413, {}, b"<html>too large</html>")
    own = passing(asked).reject(400, {}, b'{"type":"error","error":{"type":"x","message":"no"}}')
    assert html.body is None
    assert own.body == b'{"type":"error","error":{"type":"x","message":"no"}}'


def test_a_block_over_several_lines_stays_one_event() -> None:
    """Data that an upstream spread over lines is one line for the client, or its event would be cut."""
    made = exchange(stream=True)
    block = b'{"type":"server_tool_use",\ndata: "id":"s","name":"web_search","input":{}}'
    out = made.feed(
        b'data: {"type":"content_block_start","index":0,"content_block":%b}\n\n'
        b'data: {"type":"content_block_stop","index":0}\n\n' % block
    )
    (only,) = [line for line in out.split(b"\n") if line]
    (carried,) = json.loads(only.removeprefix(b"data: "))["choices"][0]["delta"]["provider_blocks"]
    assert carried["block"] == {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}


def test_what_is_not_utf8_never_reaches_a_client() -> None:
    """Nor does it where a member that nobody reads holds it."""
    block = b'{"type":"server_tool_use","id":"\xff","input":{}}'
    with pytest.raises(UpstreamFailed):
        exchange(stream=True).feed(b'data: {"type":"x","block":%b}\n\n' % block)
    whole = exchange()
    whole.feed(b'{"type":"message","content":[%b],"stop_reason":"end_turn"}' % block)
    with pytest.raises(UpstreamFailed):
        whole.finish()


def test_its_own_error_stays_json_without_its_secrets() -> None:
    """Stars stand for what may be a credential, and nothing of the JSON around it goes with it."""
    told = {"type": "x", "message": "Bearer abc.def"}
    refusal = passing({"messages": [{"role": "user", "content": "Hi"}]}).reject(
        400, {}, json.dumps({"type": "error", "error": told}).encode()
    )
    assert json.loads(refusal.body or b"") == {"type": "error", "error": {"type": "x", "message": "***"}}


@pytest.mark.parametrize("value", ["a\udcff", "é", "a\tb"])
def test_a_header_that_is_no_text_is_the_clients_fault(value: str) -> None:
    """It is refused before anything is sent; the provider did nothing wrong."""
    body = b'{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
    call = structs.replace(messages.parse(body, call_id="req_1", at=1), headers={"anthropic-beta": value})
    with pytest.raises(InvalidRequest, match="anthropic-beta"):
        provider().exchange(call, MODEL, DEPLOYMENT)
