import json

import pytest

from tests.providers.demo_client import CHAT, ask, events, play, whole
from tokligenced.providers.demo import Step, respond


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529, 101, 302, 200, 999])
@pytest.mark.parametrize("stream", [False, True])
def test_an_ordered_status_comes_with_an_error_body(status: int, stream: bool) -> None:
    """error-NNN answers each request with NNN; only 429 says when to come back."""
    script = play(ask(model=f"error-{status}", stream=stream))
    assert script.status == status
    assert script.headers.get("retry-after") == ("2" if status == 429 else None)
    error = json.loads(b"".join([step.data for step in script.steps]))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert play({"model": f"error-{status}", "input": "x"}, "/embeddings").status == status


@pytest.mark.parametrize(("kind", "fault"), [("cut", "cut"), ("stall", "stall"), ("eof", None)])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_stream_fails_after_as_many_chunks_as_ordered(kind: str, fault: str | None, after: int) -> None:
    """cut-N, stall-N and eof-N give the first N chunks of the good answer, then the fault."""
    good = [step.data for step in play(ask(stream=True)).steps]
    model = f"{kind}-{after}"
    steps = list(play(ask(model=model, stream=True)).steps)
    sent = [step.data for step in steps if step.data]
    assert len(sent) == after
    assert [json.loads(event[6:])["choices"] for event in sent] == [
        json.loads(event[6:])["choices"] for event in good[:after]
    ]
    assert [step for step in steps if not step.data] == ([Step(fault=fault)] if fault else [])  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["cut", "stall", "eof"])
def test_a_whole_body_fails_halfway(kind: str) -> None:
    """One chunk is half of a body that is not streamed, so what arrived is no JSON."""
    steps = list(play(ask(model=f"{kind}-1")).steps)
    with pytest.raises(json.JSONDecodeError):
        json.loads(steps[0].data)
    assert [step.fault for step in steps[1:]] == ([] if kind == "eof" else [kind])


def test_garbage_is_no_json() -> None:
    """Two good events and a torn one; a torn body when not streamed."""
    *good, torn = [step.data for step in play(ask(model="garbage", stream=True)).steps]
    assert [json.loads(event[6:])["object"] for event in good] == ["chat.completion.chunk"] * 2
    assert torn.startswith(b"data: ")
    assert torn.endswith(b"\n\n")
    (body,) = play(ask(model="garbage")).steps
    for text in (torn[6:], body.data):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_a_late_error_comes_inside_a_success() -> None:
    """Status 200, and then an event, or a body, that is an error."""
    script = play(ask(model="late-error", stream=True))
    assert script.status == 200
    *good, last = [step.data for step in script.steps]
    assert len(good) == 2
    assert json.loads(last[6:])["error"]["type"] == "server_error"
    assert whole(ask(model="late-error"))["error"]["type"] == "server_error"


def test_slow_waits_before_each_chunk() -> None:
    """slow-MS waits that long, slow half a second; other names wait as the settings say."""
    for model, seconds in (("slow-20", 0.02), ("slow", 0.5)):
        script = respond(CHAT, json.dumps(ask(model=model, stream=True)).encode(), first_byte=9.0)
        assert {step.delay for step in script.steps} == {seconds}
    body = json.dumps(ask(stream=True)).encode()
    first, *rest = respond(CHAT, body, first_byte=0.2, between_chunks=0.01).steps
    assert first.delay == 0.2
    assert {step.delay for step in rest} == {0.01}


def test_empty_usage_never_counts() -> None:
    """Not in a body, not in a stream that asks for it, not on the other endpoints."""
    assert "usage" not in whole(ask(model="empty-usage"))
    chunks = events(ask(model="empty-usage", stream_options={"include_usage": True}))
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)
    assert "usage" not in whole({"model": "empty-usage", "input": "x"}, "/embeddings")
    assert "usage" not in whole({"model": "empty-usage", "prompt": "x"}, "/images/generations")
    assert "usage" not in whole({"model": "empty-usage", "query": "x", "documents": ["x"]}, "/rerank")


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        (CHAT, b"", None, None),
        (CHAT, b'{"model":', None, None),
        (CHAT, b'{"a":' + b"[" * 100_000, None, None),
        (CHAT, b'{"model":"\xff"}', None, None),
        (CHAT, b"[]", None, "invalid_value"),
        (CHAT, b"{}", "model", "missing_required_parameter"),
        (CHAT, b'{"model":"m"}', "messages", "missing_required_parameter"),
        (CHAT, b'{"model":"m","messages":[]}', "messages", "invalid_value"),
        (
            CHAT,
            b'{"model":"m","messages":[{"content":"x"}]}',
            "messages[0].role",
            "missing_required_parameter",
        ),
        (CHAT, b'{"model":"m","messages":[{"role":"king"}]}', "messages[0].role", "invalid_value"),
        (CHAT, b'{"model":"m","messages":[{"role":"user"}],"max_tokens":0}', "max_tokens", "invalid_value"),
        (
            CHAT,
            b'{"model":"m","messages":[{"role":"user"}],"max_tokens":"10"}',
            "max_tokens",
            "invalid_value",
        ),
        (CHAT, b'{"model":"m","messages":[{"role":"user"}],"n":1.5}', "n", "invalid_value"),
        (CHAT, b'{"model":"m","messages":[{"role":"user"}],"n":%s}' % (b"9" * 4_000), "n", "invalid_value"),
        ("/embeddings", b'{"model":"m","input":""}', "input", "invalid_value"),
        ("/embeddings", b'{"model":"m","input":"x","dimensions":-1}', "dimensions", "invalid_value"),
        ("/images/generations", b'{"model":"m","prompt":"x","size":"big"}', "size", "invalid_value"),
        ("/rerank", b'{"model":"m","query":"x"}', "documents", "missing_required_parameter"),
    ],
)
def test_a_bad_request_gets_openais_400(path: str, body: bytes, param: str | None, code: str | None) -> None:
    """The error names the parameter at fault as OpenAI names it."""
    script = respond(path, body)
    assert script.status == 400
    error = json.loads(next(script.steps).data)["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"]


def test_an_unknown_path_is_404() -> None:
    """A path that is not served says so in an error body."""
    script = play(ask(), "/completions")
    assert script.status == 404
    assert json.loads(next(script.steps).data)["error"]["code"] == "unknown_url"


def test_models_lists_the_demo_model() -> None:
    """GET /models has no body and lists one model."""
    listing = json.loads(next(respond("/models", b"").steps).data)
    assert [model["id"] for model in listing["data"]] == ["demo"]
