"""The turn after a recorded answer: what a client hands back reaches the provider as it once came."""

from itertools import groupby
from typing import Any

import pytest

from tests.replay import folding
from tests.replay.recordings import Recording, good
from tests.replay.stage import Stage, question

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]


def given(recording: Recording) -> list[Json]:
    """What the provider said, in its own blocks, as far as it wants it back."""
    answer = folding.whole(recording)
    if recording.wire == "anthropic":
        return joined([_bare(block) for block in answer["content"]])
    candidates = answer.get("candidates") or [{}]
    parts = (candidates[0].get("content") or {}).get("parts") or []
    return joined([_bare(part) for part in parts if not part.get("thought")])


def handed_back(recording: Recording, sent: Json) -> list[Json]:
    """What the provider got as its own last turn."""
    if recording.wire == "anthropic":
        turns = [turn["content"] for turn in sent["messages"] if turn["role"] == "assistant"]
        return joined([_bare(block) for turn in turns for block in turn])
    turns = [turn["parts"] for turn in sent["contents"] if turn["role"] == "model"]
    return joined([_bare(part) for turn in turns for part in turn if not part.get("thought")])


def _bare(block: Json) -> Json:
    """A block without what a client's dialect carries elsewhere or nowhere: sources of texts, ids."""
    if "functionCall" in block:
        call = block["functionCall"]
        return {**block, "functionCall": {"name": call["name"], "args": call.get("args") or {}}}
    return {name: value for name, value in block.items() if name not in {"citations", "caller"}}


def joined(blocks: list[Json]) -> list[Json]:
    """The blocks with neighbouring texts made one, and without blank ones, which Anthropic refuses."""
    found: list[Json] = []
    for is_text, group in groupby(blocks, key=lambda block: "text" in block):
        run = list(group)
        if not is_text:
            found += run
            continue
        signatures = [block["thoughtSignature"] for block in run if "thoughtSignature" in block]
        text = "".join([block["text"] for block in run])
        if text.strip() or signatures:
            found.append({"text": text, "signatures": signatures})
    return found


ANSWERS = [
    pytest.param(each, id=each.id)
    for each in good()
    if each.wire != "openai" and given(each) and not {"blocked", "inline-data-out"} & {*each.tags}
]


@pytest.mark.parametrize("recording", ANSWERS)
async def test_a_second_turn_gives_the_provider_its_words_back(stage: Stage, recording: Recording) -> None:
    """Texts, calls, thoughts with their signatures and server-side blocks return in order and unchanged."""
    _, answer = await stage.ask(recording)
    message = answer["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in message.get("tool_calls") or []
    ]
    asked = question(recording)
    asked["messages"] += [message, *(results or [{"role": "user", "content": "Go on."}])]
    await stage.client.chat.completions.create(**asked)
    assert handed_back(recording, stage.upstream.received[-1].json) == given(recording)
