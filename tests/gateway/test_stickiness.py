"""Conversations stay where they were: what they are known by, and where that leads."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tokligenced import catalog, config
from tokligenced.dialects import chat, messages, responses_calls
from tokligenced.domain import Call, Key
from tokligenced.gateway.routing import Router
from tokligenced.gateway.stickiness import conversation_key

PARSERS: dict[str, Any] = {"chat": chat.parse, "messages": messages.parse, "responses": responses_calls.parse}
KEY = Key(id="k", digest=b"", prefix="tk-", name="n", payer_kind="account", payer_id="a", created_at=0)


def call(dialect: str, **members: Any) -> Call:
    body = {"model": "m", "max_tokens": 5, **members}
    parsed: Call = PARSERS[dialect](json.dumps(body).encode(), call_id="c", at=0)
    return parsed


def said(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("dialect", "member"), [("chat", "messages"), ("messages", "messages"), ("responses", "input")]
)
def test_all_turns_of_a_conversation_are_known_by_the_same(dialect: str, member: str) -> None:
    """Later turns add to a conversation and do not change what it is known by; another begins otherwise."""
    first = conversation_key(call(dialect, **{member: said("hi")}))
    second = conversation_key(call(dialect, **{member: said("hi", "hello", "and now")}))
    other = conversation_key(call(dialect, **{member: said("good day")}))
    assert first is not None
    assert first == second != other


def test_the_system_s_words_belong_to_it() -> None:
    """Two agents with the same first words of their users are two conversations."""
    one, two = (call("messages", system=text, messages=said("hi")) for text in ("be brief", "be long"))
    assert conversation_key(one) != conversation_key(two)


def test_marks_of_the_cache_may_move() -> None:
    """A mark that stands at the latest message in each turn changes nothing."""
    block = {"type": "text", "text": "hi"}
    marked = {**block, "cache_control": {"type": "ephemeral"}}
    first = call("messages", messages=[{"role": "user", "content": [marked]}])
    second = call("messages", messages=[{"role": "user", "content": [block]}, *said("x", "y")[1:]])
    assert conversation_key(first) == conversation_key(second)


def test_a_named_cache_is_the_name() -> None:
    """Who names its cache is known by that name, whatever it says."""
    one = call("responses", input="a", prompt_cache_key="mine")
    two = call("responses", input="b", prompt_cache_key="mine")
    assert conversation_key(one) == conversation_key(two) == b'"mine"'


@pytest.mark.parametrize("turns", [[7], [[]], "x"])
def test_odd_turns_harm_nothing(turns: Any) -> None:
    """What is no conversation is left for its dialect to refuse."""
    body = json.dumps({"model": "m", "messages": turns}).encode()
    members = {"messages": (body.index(json.dumps(turns).encode()), len(body) - 1)}
    conversation_key(Call(dialect="chat", model="m", body=body, members=members))


SETTINGS = """
[providers.a]
type = "demo"
[providers.b]
type = "demo"
[providers.c]
type = "demo"
[models.m]
context_window = 1000
max_output_tokens = 10
free = true
deployments = [
  { provider = "a", model = "x", weight = 3 },
  { provider = "b", model = "x" },
  { provider = "c", model = "x", priority = 2 },
]
"""


@pytest.fixture
def router(tmp_path: Path) -> Router:
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS)
    return Router(catalog.build(config.load(path, {})), chance=iter([0.1, 0.9] * 10).__next__)


def first_of(router: Router, asking: Call) -> str:
    legs = router.route(asking, KEY).legs
    assert legs[-1].deployment.provider == "c"
    return legs[0].deployment.provider


def test_conversations_stay_and_weights_hold(router: Router) -> None:
    """Every turn goes where the first went, and of many conversations each has its share by weight."""
    found: Counter[str] = Counter()
    for number in range(400):
        turns = said(f"conversation {number}", "yes", "go on")
        providers = {first_of(router, call("chat", messages=turns[:length])) for length in (1, 2, 3)}
        assert len(providers) == 1
        found[providers.pop()] += 1
    assert 0.65 < found["a"] / 400 < 0.85


def test_calls_without_a_conversation_are_drawn(router: Router) -> None:
    """Embeddings have no turns; each is drawn by chance."""
    asking = Call(dialect="embeddings", model="m", body=b'{"input":"x"}', members={"input": (9, 12)})
    assert first_of(router, asking) == "b"
