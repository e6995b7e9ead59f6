"""Anthropic's usage: parts that are disjoint, totals that replace each other, and nothing that can't be."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tokligenced.dialects import messages_usage
from tokligenced.dialects.messages_usage import WireUsage
from tokligenced.domain import Usage


def told(**members: Any) -> WireUsage:
    return msgspec.convert(members, WireUsage)


def test_all_parts_have_their_place() -> None:
    """Cached tokens stand beside the input, both kinds of writing apart, thinking within the output."""
    usage = messages_usage.usage_of(
        told(
            input_tokens=7,
            cache_read_input_tokens=100,
            cache_creation_input_tokens=30,
            cache_creation={"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
            output_tokens=50,
            output_tokens_details={"thinking_tokens": 35},
            server_tool_use={"web_search_requests": 2, "web_fetch_requests": 9},
        )
    )
    assert usage == Usage(
        input=7, cached_input=100, cache_write_5m=10, cache_write_1h=20, output=15, reasoning=35, searches=2
    )


def test_passes_that_the_totals_leave_out_are_counted() -> None:
    """A compaction and an adviser are paid for beside the totals; other passes are within them."""
    one = {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
    }
    passes = [
        {"type": kind, **one} for kind in ("message", "compaction", "advisor_message", "fallback_message")
    ]
    usage = messages_usage.usage_of(told(input_tokens=1, output_tokens=1, iterations=passes))
    assert usage == Usage(input=201, cached_input=4, cache_write_5m=6, output=21)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({"ephemeral_1h_input_tokens": 20}, (80, 20)),
        ({"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 200}, (0, 100)),
        (None, (100, 0)),
    ],
)
def test_the_total_of_what_was_written_to_the_cache_holds(
    split: dict[str, int] | None, expected: tuple[int, int]
) -> None:
    """Where the split does not add up, what is not known to last an hour lasts five minutes."""
    usage = messages_usage.usage_of(
        told(input_tokens=1, output_tokens=1, cache_creation_input_tokens=100, cache_creation=split)
    )
    assert usage is not None
    assert (usage.cache_write_5m, usage.cache_write_1h) == expected


def test_a_later_total_replaces_and_a_zero_does_not_wipe_what_went_in() -> None:
    """Figures of a stream's end are never added to those of its beginning."""
    first = told(input_tokens=43, cache_read_input_tokens=5, output_tokens=1)
    last = told(input_tokens=61, cache_read_input_tokens=0, output_tokens=2)
    assert messages_usage.usage_of(messages_usage.later(first, last)) == Usage(
        input=61, cached_input=5, output=2
    )
    assert messages_usage.usage_of(messages_usage.later(last, told(output_tokens=0))) == Usage(input=61)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"output_tokens": 10**12},
        {"cache_creation": {"ephemeral_5m_input_tokens": -5}},
        {"output_tokens_details": {"thinking_tokens": -1}},
        {"iterations": [{"type": "compaction", "input_tokens": -3}]},
        {},
    ],
)
def test_what_can_not_be_is_not_believed(wrong: dict[str, Any]) -> None:
    """Negative and absurd numbers give no usage, and neither does saying nothing."""
    told_nothing = {} if not wrong else {"input_tokens": 1, "output_tokens": 1}
    assert messages_usage.usage_of(told(**told_nothing | wrong)) is None


@pytest.mark.parametrize("raw", [b"", b"null"])
def test_no_usage_is_none(raw: bytes) -> None:
    """A member that is not there, or null, says nothing."""
    assert messages_usage.read(Raw(raw)) is None


counts = st.integers(0, 10_000)


@given(
    st.builds(
        Usage,
        **dict.fromkeys(
            ["input", "cached_input", "cache_write_5m", "cache_write_1h", "output", "reasoning", "searches"],
            counts,
        ),
    )
)
def test_what_is_written_is_read_the_same(usage: Usage) -> None:
    """Usage survives the way out and back in."""
    wire = messages_usage.read(Raw(msgspec.json.encode(messages_usage.wire_of(usage))))
    assert wire is not None
    assert messages_usage.usage_of(wire) == usage


def test_sound_and_pictures_are_input_like_any() -> None:
    """Parts that the dialect has no word for are not lost from its totals."""
    wire = messages_usage.wire_of(
        Usage(input=1, audio_in=2, image_in=3, output=4, reasoning=5, audio_out=6, image_out=7)
    )
    assert (wire["input_tokens"], wire["output_tokens"]) == (6, 22)
