"""Images: requests read with care, answers counted while they pass."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import images
from tokligenced.dialects.wire_error import ErrorInside
from tokligenced.domain import Call, Usage
from tokligenced.errors import InvalidRequest, UpstreamFailed


def call_of(**members: Any) -> Call:
    """A call as the gateway reads it off the wire."""
    return images.parse(json.dumps({"model": "m", "prompt": "a cat", **members}).encode())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": True}, "n"),
        ({"n": "1"}, "n"),
        ({"response_format": "png"}, "response_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"size": 1024}, "size"),
        ({"model": "a\x7f"}, "model"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_wrong_value_is_named(members: dict[str, Any], param: str) -> None:
    """The refusal says which field is at fault."""
    with pytest.raises(InvalidRequest) as refused:
        call_of(**members)
    assert refused.value.param == param


def test_as_many_as_are_wanted_are_counted_on() -> None:
    """One image unless more are asked for; null is as good as nothing."""
    assert [call_of().choices, call_of(n=None, stream=False).choices, call_of(n=10).choices] == [1, 1, 10]


@pytest.mark.parametrize(
    ("usage", "told", "disbelieved"),
    [
        (None, Usage(images=1, estimated=True), False),
        ({}, Usage(images=1, estimated=True), False),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(images=1), False),
        ({"input_tokens": 9, "output_tokens": 272}, Usage(input=9, image_out=272, images=1), False),
        (
            {
                "input_tokens": 9,
                "output_tokens": 272,
                "input_tokens_details": {"image_tokens": 4, "cached_tokens": 3, "text_tokens": 5},
                "output_tokens_details": {"text_tokens": 2, "image_tokens": 270},
            },
            Usage(input=2, cached_input=3, image_in=4, output=2, image_out=270, images=1),
            False,
        ),
        ({"input_tokens": -1}, Usage(images=1, estimated=True), True),
        ({"output_tokens": 1e12}, Usage(images=1, estimated=True), True),
        ([1], Usage(images=1, estimated=True), True),
    ],
)
def test_tokens_are_told_or_left_to_be_counted(usage: object, told: Usage, disbelieved: bool) -> None:
    """Images are always counted; tokens are what was told, where that can be."""
    data = json.dumps({"created": 1, "data": [{"b64_json": "QUJD"}], "usage": usage}).encode()
    answer = images.read_answer(data)
    assert (answer.body, answer.usage, answer.disbelieved) == (data, told, disbelieved)


@given(
    st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), st.integers(0, 10**8), min_size=1),
    st.dictionaries(st.sampled_from(["image_tokens", "cached_tokens", "text_tokens"]), st.integers(0, 10**8)),
)
def test_parts_of_usage_are_disjoint(counts: dict[str, int], details: dict[str, int]) -> None:
    """Whatever the details claim, the parts add up to what was counted and none is negative."""
    usage = {**counts, "input_tokens_details": details, "output_tokens_details": details}
    told = images.read_answer(json.dumps({"data": [{"url": "u"}], "usage": usage}).encode()).usage
    assert told is not None
    assert told.prompt_tokens == counts.get("input_tokens", 0)
    assert told.completion_tokens == counts.get("output_tokens", 0)
    assert min(told.input, told.cached_input, told.image_in, told.output, told.image_out) >= 0


def test_pictures_are_measured() -> None:
    """What an upstream does not count in tokens is counted by its base64."""
    data = json.dumps({"data": [{"b64_json": "Q" * 2998}, {"b64_json": "Q" * 2998}]}).encode()
    answer = images.read_answer(data)
    assert answer.delivered == 20
    assert answer.usage is not None
    assert answer.usage.images == 2


@pytest.mark.parametrize(
    "image",
    [{}, {"b64_json": None}, {"b64_json": ""}, {"url": ""}, {"b64_json": 1}, {"b64_json": ["a"]}, None],
)
def test_what_is_no_image_is_a_failed_attempt(image: object) -> None:
    """Nobody pays for a picture that is not there."""
    with pytest.raises(UpstreamFailed):
        images.read_answer(json.dumps({"data": [{"url": "u"}, image]}).encode())


def test_an_error_inside_is_told() -> None:
    """An error after a status that promised images is a failure with the upstream's own words."""
    with pytest.raises(ErrorInside) as failed:
        images.read_answer(b'{"error": {"message": "no pictures today"}}')
    assert failed.value.error.message == "no pictures today"


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_whatever_crash_the_reader(data: bytes) -> None:
    """Anything is an answer or a failed attempt."""
    with pytest.raises(UpstreamFailed):
        images.read_answer(data)
