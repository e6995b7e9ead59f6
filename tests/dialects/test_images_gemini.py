"""Images of Google's models: what OpenAI's request says in their words, and what their filters leave."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tokligenced.dialects import images, images_gemini
from tokligenced.dialects.conversation import Target
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest, UpstreamFailed

TARGET = Target(provider="there", model="m", max_output_tokens=4096)
Write = Callable[[Call, Target], bytes]


def call_of(**members: Any) -> Call:
    """A call as the gateway reads it off the wire."""
    return images.parse(json.dumps({"model": "m", "prompt": "a cat", **members}).encode())


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        ("1024x1024", "1:1"),
        ("1792x1024", "16:9"),
        ("1024x1792", "9:16"),
        ("1536x1024", None),
        ("896x1200", "3:4"),
        ("auto", None),
        (None, None),
    ],
)
def test_a_size_becomes_the_shape_nearest_to_it(size: str | None, ratio: str | None) -> None:
    """Only where the shape is as good as the same; what may be chosen is left to be chosen."""
    call = call_of(size=size)
    if ratio is None and size not in {None, "auto"}:
        with pytest.raises(InvalidRequest) as refused:
            images_gemini.imagen_request(call, TARGET)
        assert refused.value.param == "size"
        return
    parameters = msgspec.json.decode(images_gemini.imagen_request(call, TARGET))["parameters"]
    assert parameters.get("aspectRatio") == ratio


@pytest.mark.parametrize("write", [images_gemini.imagen_request, images_gemini.gemini_request])
@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 5}, "n"),
        ({"response_format": "url"}, "response_format"),
        ({"style": "vivid"}, "style"),
        ({"quality": "hd"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"output_format": "webp"}, "output_format"),
        ({"size": "large"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "100x1000"}, "size"),
    ],
)
def test_what_would_change_the_picture_is_refused_by_name(
    write: Write, members: dict[str, Any], param: str
) -> None:
    """What these models have nothing like is not dropped in silence."""
    with pytest.raises(InvalidRequest) as refused:
        write(call_of(**members), TARGET)
    assert refused.value.param == param


@pytest.mark.parametrize("write", [images_gemini.imagen_request, images_gemini.gemini_request])
def test_what_changes_nothing_is_dropped(write: Write) -> None:
    """Usual values and what is about the caller are as good as not said."""
    usual = {
        "quality": "auto",
        "background": "auto",
        "moderation": "low",
        "user": "u",
        "n": 1,
        "size": "auto",
    }
    assert write(call_of(**usual), TARGET) == write(call_of(), TARGET)


@pytest.mark.parametrize(
    "answer",
    [{}, {"predictions": []}, {"predictions": [{}]}, {"predictions": [{"raiFilteredReason": "celebrities"}]}],
)
def test_pictures_that_were_filtered_are_the_requests_fault(answer: dict[str, Any]) -> None:
    """A 400 with the code for it, and the reason where there is one."""
    with pytest.raises(InvalidRequest) as refused:
        images_gemini.read_predictions(json.dumps(answer).encode(), call_of())
    assert refused.value.code == "content_filter"
    assert ("celebrities" in refused.value.message) == ("celebrities" in str(answer))


@pytest.mark.parametrize(
    "answer",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [{"finishReason": "SAFETY"}]},
        {"candidates": [{"content": {}, "finishReason": "SAFETY"}]},
    ],
)
def test_a_blocked_prompt_is_the_requests_fault(answer: dict[str, Any]) -> None:
    """A 400 with the code for it and Google's reason."""
    with pytest.raises(InvalidRequest) as refused:
        images_gemini.read_generated(json.dumps(answer).encode(), call_of())
    assert refused.value.code == "content_filter"
    assert "SAFETY" in refused.value.message


@pytest.mark.parametrize(
    "answer",
    [
        {"candidates": []},
        {"candidates": [{"content": {"parts": [{"text": "I can't draw."}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {"data": ""}}]}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"parts": [{"inlineData": {"data": "QQ=="}, "thought": True}]}}]},
        {"error": {"code": 500, "message": "no"}},
    ],
)
def test_an_answer_without_a_picture_is_a_failed_attempt(answer: dict[str, Any]) -> None:
    """Text alone, drafts alone and errors are no image."""
    with pytest.raises(UpstreamFailed):
        images_gemini.read_generated(json.dumps(answer).encode(), call_of())


@pytest.mark.parametrize("metadata", [{"promptTokenCount": -1}, {"promptTokenCount": "x"}, [1]])
def test_a_usage_that_cant_be_is_not_believed(metadata: object) -> None:
    """The picture passes, and is counted here."""
    parts = [{"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]
    data = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": metadata}
    answer = images_gemini.read_generated(json.dumps(data).encode(), call_of())
    assert answer.disbelieved
    assert answer.usage is not None
    assert (answer.usage.images, answer.usage.estimated) == (1, True)
    assert "usage" not in json.loads(answer.body)
