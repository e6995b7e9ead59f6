"""Responses requests as far as the gateway itself needs them, and as they are sent on."""

import json
from typing import Any

import pytest

from tokligenced.dialects import responses_calls
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest

PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8gd29ybGQ="}


def parsed(**members: Any) -> Call:
    body = {"model": "m", "input": "hello", **members}
    return responses_calls.parse(json.dumps(body).encode(), call_id="req_1", at=5_000)


def refused(**members: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parsed(**members)
    return caught.value


def test_what_a_call_costs_is_counted() -> None:
    """Pictures, files, sounds and server-side tools are found wherever they may stand."""
    call = parsed(
        input=[
            {"role": "user", "content": [PICTURE, {"type": "input_file", "file_id": "file-1"}, "text"]},
            {"type": "function_call_output", "call_id": "c", "output": [PICTURE]},
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
            {
                "type": "additional_tools",
                "tools": [{"type": "namespace", "tools": [{"type": "image_generation"}]}],
            },
        ],
        tools=[{"type": "web_search"}],
        stream=True,
        max_output_tokens=7,
    )
    assert (call.dialect, call.id, call.at, call.stream, call.max_output_tokens) == (
        "responses",
        "req_1",
        5_000,
        True,
        7,
    )
    assert (call.images, call.files, call.audio, call.draws, call.searches) == (3, 1, True, True, True)
    assert len(call.body) - call.text_bytes == 2 * len(";base64,aGVsbG8gd29ybGQ=")


def test_plain_text_costs_its_bytes() -> None:
    """A text that talks of base64 counts in full, and asks for nothing beyond text."""
    call = parsed(input="look: data:image/png;base64,aGVsbG8gd29ybGQ=")
    assert call.text_bytes == len(call.body)
    assert not any((call.images, call.files, call.audio, call.draws, call.searches, call.stream))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"input": None}, "input"),
        ({"input": 7}, "input"),
        ({"background": True}, "background"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ],
)
def test_what_can_not_be_held_or_answered_is_refused(members: dict[str, Any], param: str) -> None:
    """The refusal names the member."""
    assert refused(**members).param == param


def test_an_upstream_of_the_dialect_gets_the_bytes_as_they_came() -> None:
    """Only the model's name is exchanged, and a limit that the gateway imposes put in."""
    body = b'{ "model":"m", "input" : "x","unheard_of":[1.0] }'
    call = responses_calls.parse(body)
    assert responses_calls.request_for(call, "m") is call.body
    assert responses_calls.request_for(call, "gpt") == body.replace(b'"m"', b'"gpt"')
    limited = Call(dialect="responses", model="m", body=body, members=call.members, imposed_output_tokens=9)
    assert json.loads(responses_calls.request_for(limited, "m"))["max_output_tokens"] == 9


def test_a_stored_conversation_is_put_before_what_is_new() -> None:
    """A text becomes a user's message; the id that was resolved is gone, all else stays."""
    call = parsed(previous_response_id="resp_1", temperature=1, input="third")
    assert responses_calls.previous_response(call) == "resp_1"
    earlier = json.dumps([{"type": "message", "role": "assistant", "content": "second"}]).encode()
    whole = responses_calls.following(call, b'"first"', earlier)
    body = json.loads(whole.body)
    assert [item["content"] for item in body["input"]] == ["first", "second", "third"]
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert responses_calls.previous_response(whole) is None
    assert (whole.id, whole.at, body["temperature"]) == (call.id, call.at, 1)


@pytest.mark.parametrize(
    ("store", "wanted"), [({}, None), ({"store": True}, True), ({"store": False}, False)]
)
def test_storing_is_wanted_only_where_it_is_said(store: dict[str, Any], wanted: bool | None) -> None:
    """A client that says nothing is told apart from one that insists."""
    assert responses_calls.wants_storing(parsed(**store)) is wanted
