"""The usage of Responses, read and written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseUsage

from tokligenced.dialects import responses_usage
from tokligenced.dialects.responses_usage import WireUsage
from tokligenced.domain import Usage

COUNT = st.integers(0, 1_000_000)


@given(st.builds(Usage, input=COUNT, cached_input=COUNT, cache_write_5m=COUNT, output=COUNT, reasoning=COUNT))
def test_what_is_written_is_read_again(usage: Usage) -> None:
    """The disjoint parts come back from what a client is told, which the SDK can read."""
    wire = responses_usage.wire_of(usage)
    ResponseUsage.model_validate(wire)
    assert responses_usage.usage_of(msgspec.convert(wire, WireUsage)) == usage


def test_all_that_was_paid_for_is_told() -> None:
    """The totals hold every part, those that the dialect has no name for too."""
    usage = Usage(input=1, cache_write_1h=2, audio_in=4, image_in=8, output=16, audio_out=32, image_out=64)
    assert responses_usage.wire_of(usage) == {
        "input_tokens": 15,
        "input_tokens_details": {
            "cached_tokens": 0,
            "cache_write_tokens": 2,
            "cache_write_1h_tokens": 2,
            "audio_tokens": 4,
            "image_tokens": 8,
        },
        "output_tokens": 112,
        "output_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 32, "image_tokens": 64},
        "total_tokens": 127,
    }


def test_zero_is_a_number_and_silence_is_none() -> None:
    """An explicit zero is believed; where nothing is said, nothing is counted."""
    assert responses_usage.usage_of(WireUsage(input_tokens=0, output_tokens=0)) == Usage()
    assert responses_usage.usage_of(WireUsage()) is None


@pytest.mark.parametrize("number", [-1, 10**9])
def test_nonsense_is_not_believed(number: int) -> None:
    """Negative and absurd counts count nothing."""
    assert responses_usage.usage_of(WireUsage(input_tokens=5, output_tokens=number)) is None


def test_parts_never_exceed_their_whole() -> None:
    """An upstream that says that more was cached than sent is not charged twice for it."""
    details = msgspec.convert({"cached_tokens": 9, "cache_write_tokens": 9}, dict)
    wire = msgspec.convert(
        {"input_tokens": 5, "output_tokens": 1, "input_tokens_details": details}, WireUsage
    )
    assert responses_usage.usage_of(wire) == Usage(cached_input=5, output=1)
