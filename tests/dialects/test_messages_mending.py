"""Messages requests that hold other providers' answers, for an Anthropic that takes only its own."""

import json
from typing import Any

import pytest

from tokligenced.dialects.messages_mending import mended

USER = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_use", "id": "c", "name": "f", "input": {"x": "é"}}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}


def answer(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [USER, {"role": "assistant", "content": list(blocks)}, USER]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (answer(UNSIGNED, CALL), answer(CALL)),
        (answer({**CALL, "extra_content": {"google": {"thought_signature": "s"}}}), answer(CALL)),
        (answer(SIGNED, UNSIGNED), answer(SIGNED)),
        (answer(UNSIGNED), [USER, USER]),
    ],
)
def test_what_another_provider_put_in_is_taken_out(messages: Any, expected: Any) -> None:
    """Unsigned reasoning and Google's signatures go, all else stays."""
    for indent in (None, 2):
        made = mended(json.dumps(messages, indent=indent, ensure_ascii=False).encode())
        assert made is not None
        assert json.loads(made) == expected


@pytest.mark.parametrize(
    "messages", [[USER], answer(SIGNED, CALL), answer({"type": "text", "text": '"signature":""'})]
)
def test_a_conversation_with_anthropic_alone_passes_as_it_is(messages: Any) -> None:
    """Nothing is written anew where there is nothing to take out, whatever texts speak of."""
    assert mended(json.dumps(messages).encode()) is None
