"""Recorded refusals and failures through the whole gateway, as the official SDK raises them."""

import json
from typing import Any

import openai
import pytest

from tests.replay.recordings import Recording, bad
from tests.replay.stage import Stage, question

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = [pytest.param(each, id=each.id) for each in bad() if each.response.status != 200]
INSIDE = [pytest.param(each, id=each.id) for each in bad() if each.response.status == 200]


def message_of(data: Any) -> str:
    """What a provider says went wrong; Google's errors come in an array at times."""
    error = (data[0] if isinstance(data, list) else data).get("error") or data
    message: str = error["message"]
    return message


def meaning(recording: Recording) -> tuple[int, set[str]]:
    """The status and the codes that a client may get: its own fault, or the gateway's account's."""
    status, text = recording.response.status, recording.response.body
    if status == 429:
        return 503, {"upstream_rate_limited"}
    if status in {401, 402, 403} or status >= 500 or "API_KEY_INVALID" in text:
        return 503, {"upstream_error"}
    return 400, {"invalid_value", "unsupported_parameter", "context_length_exceeded", "content_filter"}


@pytest.mark.parametrize("recording", REFUSED)
async def test_a_refusal_means_what_the_contract_says(stage: Stage, recording: Recording) -> None:
    """The client's mistake is a 400 with the provider's words, all else 503, and nothing is charged."""
    stage.serve(recording)
    with pytest.raises(openai.APIStatusError) as caught:
        await stage.client.chat.completions.create(**question(recording))
    status, codes = meaning(recording)
    raised = caught.value
    assert (raised.status_code, raised.code in codes) == (status, True), (raised.code, raised.message)
    assert isinstance(raised.body, dict)
    assert set(raised.body) == {"message", "type", "param", "code"}
    if status == 400:
        assert message_of(json.loads(recording.response.body))[:200] in raised.body["message"]
    else:
        assert 1 <= int(raised.response.headers["Retry-After"]) <= 60
    row = await stage.booked(raised.response.headers["x-request-id"])
    assert (row["status"], row["error"], row["cost"]) == (status, raised.code, "0")


@pytest.mark.parametrize("recording", INSIDE)
async def test_an_error_in_place_of_an_answer_is_raised(stage: Stage, recording: Recording) -> None:
    """A status of 200 makes no answer of an error: the SDK raises it with what the provider said."""
    stage.serve(recording)
    with pytest.raises(openai.APIError) as caught:
        answer: Any = await stage.client.chat.completions.create(**question(recording))
        async for _ in answer:
            pass
    said = next(data["error"] for data in recording.data if data.get("error"))
    assert said["message"][:100] in str(caught.value)
