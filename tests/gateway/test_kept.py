"""When two requests are the same."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tokligenced.dialects import chat, messages
from tokligenced.domain import Call
from tokligenced.gateway.kept import fingerprint

REQUEST: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "hi"}],
    "temperature": 0,
    "metadata": {"a": [1, 2.5, None, True, {"b": "é"}]},
}
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def asked(**changes: Any) -> Call:
    """The request with other members."""
    return chat.parse(json.dumps(REQUEST | changes).encode())


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same JSON value with the members of its objects in another order."""
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    return value


@given(values, st.randoms(use_true_random=False))
def test_order_and_space_do_not_matter(value: Any, chance: random.Random) -> None:
    """However a client orders members, spaces them and escapes characters, it asks the same."""
    request = REQUEST | {"metadata": value}
    mixed = json.dumps(shuffled(request, chance), indent=chance.choice([None, 1]), ensure_ascii=False)
    assert fingerprint(chat.parse(mixed.encode()), "m") == fingerprint(asked(metadata=value), "m")


@given(values, values)
def test_other_values_are_another_request(one: Any, other: Any) -> None:
    """Two values that JSON tells apart never share a fingerprint."""
    same = fingerprint(asked(metadata=one), "m") == fingerprint(asked(metadata=other), "m")
    assert same == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@pytest.mark.parametrize(
    "other",
    [
        asked(stream=True),
        asked(temperature=1),
        asked(user="u"),
        asked(seed=0),
        messages.parse(json.dumps(REQUEST | {"max_tokens": 1}).encode(), call_id="", at=0),
        structs.replace(asked(), headers={"anthropic-beta": "x"}),
        structs.replace(asked(), query="beta=true"),
    ],
)
def test_all_that_bears_on_the_answer_counts(other: Call) -> None:
    """Dialect, streaming, any member, and what of the head goes upstream."""
    assert fingerprint(other, "m") != fingerprint(asked(), "m")


def test_the_model_is_known_by_the_name_given() -> None:
    """An alias and an id are one model; another model is another request."""
    assert fingerprint(asked(model="alias"), "id") == fingerprint(asked(model="id"), "id")
    assert fingerprint(asked(), "one") != fingerprint(asked(), "two")


def test_null_is_as_good_as_nothing() -> None:
    """A member that is null is not there, and a stream that is not wanted is none."""
    assert fingerprint(asked(stop=None, stream=False), "m") == fingerprint(asked(), "m")


def test_what_the_decoder_refuses_stands_for_itself() -> None:
    """Text that no decoder reads makes a fingerprint like any other."""
    odd = [
        b'{"model":"m","messages":[{"content":"' + b"x" * 5_000 + b"\\ud800" + end + b'"}]}'
        for end in (b"a", b"b")
    ]
    calls = [
        Call(dialect="chat", model="m", body=body, members={"messages": (22, len(body) - 1)}) for body in odd
    ]
    one, other = (fingerprint(call, "m") for call in calls)
    assert one == fingerprint(calls[0], "m")
    assert one != other
