"""Request bodies: what is refused, and that a change touches nothing else."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import body as json_body
from tokligenced.errors import InvalidRequest

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(), values, max_size=6)
spacings = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " : ")])


def as_json(value: object, spacing: tuple[str, str], *, ascii_only: bool) -> bytes:
    return json.dumps(value, separators=spacing, ensure_ascii=ascii_only).encode()


@given(objects, spacings, st.booleans())
def test_members_are_found_where_they_stand(
    value: dict[str, Any], spacing: tuple[str, str], ascii_only: bool
) -> None:
    """Each member's place holds exactly that member's value."""
    body = b" " + as_json(value, spacing, ascii_only=ascii_only) + b"\n"
    found = json_body.members(body)
    assert {name: json.loads(body[start:end]) for name, (start, end) in found.items()} == value


@given(objects, objects, spacings)
def test_a_change_sets_what_it_names_and_keeps_the_rest(
    value: dict[str, Any], changes: dict[str, Any], spacing: tuple[str, str]
) -> None:
    """Changed members get their new values, all other bytes stay as they were."""
    body = as_json(value, spacing, ascii_only=True)
    where = json_body.members(body)
    fresh = {name: json.dumps(new).encode() for name, new in changes.items()}
    changed = json_body.changed(body, where, fresh)
    assert json.loads(changed) == {**value, **changes}
    after = json_body.members(changed)
    for name, (start, end) in where.items():
        if name not in changes:
            assert changed[slice(*after[name])] == body[start:end]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b'{"a":1} {}', id="two"),
        pytest.param(b'{"a":1,}', id="comma"),
        pytest.param(b'{"a":NaN}', id="nan"),
        pytest.param(b'{"a":1e999}', id="infinite"),
        pytest.param(b'{"a":{"b":[-1e999]}}', id="infinite within"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
        pytest.param(b'{"a":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":1,"a":2}', id="named twice"),
        pytest.param(b'{"a":1,"a":1}', id="named twice, same value"),
        pytest.param(b'{"a":1,"b":2,"a":3}', id="named twice, apart"),
        pytest.param(b"{" + b",".join(b'"%d":0' % n for n in range(5000)) + b"}", id="thousands of members"),
        pytest.param(b'{"model":"dear","b":"x","\\u006dodel":"cheap"}', id="named twice, escaped"),
    ],
)
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    """A body that two readers could read differently, or not at all, is refused as invalid_json."""
    with pytest.raises(InvalidRequest) as refused:
        json_body.members(body)
    assert (refused.value.status, refused.value.code) == (400, "invalid_json")


def test_a_name_of_many_megabytes_costs_no_memory() -> None:
    """A member's name is walked without a memory of each step."""
    body = b'{"' + b"k" * 8_000_000 + b'":1}'
    tracemalloc.start()
    try:
        json_body.members(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=6))
def test_inline_data_is_told_from_text(parts: list[tuple[bool, int]]) -> None:
    """The bytes of data URIs are counted, and nothing else is."""
    content = [("data:image/png;base64," if inline else "") + "A" * size for inline, size in parts]
    body = json.dumps({"content": content}).encode()
    expected = sum(len(";base64,") + size for inline, size in parts if inline)
    assert json_body.inline_bytes(body) == expected
