"""Gemini's usage: parts that are disjoint and add up, whatever it says."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects.gemini_usage import WireUsage, usage_of
from tokligenced.domain import Usage


def details(audio: int, image: int) -> list[dict[str, object]]:
    return [
        {"modality": "TEXT", "tokenCount": 1},
        {"modality": "AUDIO", "tokenCount": audio},
        {"modality": "IMAGE", "tokenCount": image},
        {"modality": "DOCUMENT"},
    ]


def read(**counts: object) -> Usage | None:
    return usage_of(msgspec.convert(counts, WireUsage))


def test_each_part_is_where_it_belongs() -> None:
    """Thoughts are counted once; the prompt has the cached tokens and those of tools; sound is no text."""
    assert read(
        promptTokenCount=100,
        toolUsePromptTokenCount=20,
        cachedContentTokenCount=30,
        candidatesTokenCount=40,
        thoughtsTokenCount=7,
        totalTokenCount=167,
        promptTokensDetails=details(10, 15),
        toolUsePromptTokensDetails=details(1, 2),
        cacheTokensDetails=details(4, 5),
        candidatesTokensDetails=details(8, 9),
    ) == Usage(
        input=120 - 30 - 7 - 12,
        cached_input=30,
        audio_in=7,
        image_in=12,
        output=40 - 8 - 9,
        reasoning=7,
        audio_out=8,
        image_out=9,
    )


@pytest.mark.parametrize(
    ("counts", "prompt", "completion"),
    [
        ({"promptTokenCount": 15, "thoughtsTokenCount": 2, "totalTokenCount": 17}, 15, 2),
        ({"promptTokenCount": 11, "totalTokenCount": 11}, 11, 0),
        ({"promptTokenCount": 0, "candidatesTokenCount": 0}, 0, 0),
        ({"promptTokenCount": 5, "candidatesTokenCount": 6}, 5, 6),
        # What has a place in the total alone was put out all the same.
        ({"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 20}, 5, 15),
        ({"promptTokenCount": 5, "candidatesTokenCount": 6, "totalTokenCount": 5}, 5, 6),
    ],
)
def test_the_total_holds_everything(counts: dict[str, int], prompt: int, completion: int) -> None:
    """Completion is the total without the prompt, and never less than what is named; a zero is a zero."""
    usage = read(**counts)
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)


@pytest.mark.parametrize(
    "counts",
    [
        {"trafficType": "ON_DEMAND"},
        {"cachedContentTokenCount": 3},
        {"promptTokenCount": -1},
        {"promptTokenCount": 1, "candidatesTokensDetails": details(-5, 9)},
        {"promptTokenCount": 10**12},
    ],
)
def test_what_says_nothing_or_nonsense_counts_nothing(counts: dict[str, object]) -> None:
    """It is for the gateway to count then."""
    assert read(**counts) is None


counted = st.none() | st.integers(0, 2000)
shared = st.none() | st.builds(details, st.integers(0, 2000), st.integers(0, 2000))


@given(st.tuples(*[counted] * 6), st.tuples(*[shared] * 4))
def test_parts_are_disjoint_and_add_up(counts: tuple[int | None, ...], shares: tuple[object, ...]) -> None:
    """No token is counted twice and none is negative."""
    prompt, said, thoughts, tools, cached, total = counts
    usage = read(
        promptTokenCount=prompt,
        candidatesTokenCount=said,
        thoughtsTokenCount=thoughts,
        toolUsePromptTokenCount=tools,
        cachedContentTokenCount=cached,
        totalTokenCount=total,
        promptTokensDetails=shares[0],
        toolUsePromptTokensDetails=shares[1],
        cacheTokensDetails=shares[2],
        candidatesTokensDetails=shares[3],
    )
    if prompt is said is thoughts is total is None:
        assert usage is None
        return
    assert usage is not None
    assert usage.prompt_tokens == (prompt or 0) + (tools or 0)
    assert usage.completion_tokens == max((said or 0) + (thoughts or 0), (total or 0) - usage.prompt_tokens)
    assert usage.reasoning == (thoughts or 0)
    assert min(getattr(usage, name) for name in Usage.__struct_fields__) >= 0
