"""Usage: parts that are disjoint and add up, whatever an upstream says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects.openai_usage import WireUsage, _CompletionDetails, _PromptDetails, usage_of
from tokligenced.domain import Usage

counts = st.none() | st.integers(0, 2000)


@given(counts, counts, counts, st.tuples(*[counts] * 7))
def test_parts_are_disjoint_and_add_up(
    prompt: int | None, completion: int | None, total: int | None, parts: tuple[int | None, ...]
) -> None:
    """No token is counted twice: the parts of the prompt make the prompt, and none is negative."""
    cached, written, audio_in, image_in, reasoning, audio_out, image_out = parts
    usage = usage_of(
        WireUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=total,
            prompt_tokens_details=_PromptDetails(
                cached_tokens=cached, cache_write_tokens=written, audio_tokens=audio_in, image_tokens=image_in
            ),
            completion_tokens_details=_CompletionDetails(
                reasoning_tokens=reasoning, audio_tokens=audio_out, image_tokens=image_out
            ),
        )
    )
    if prompt is None and completion is None:
        assert usage is None
        return
    assert usage is not None
    assert usage.prompt_tokens == (prompt or 0)
    assert usage.completion_tokens in {completion or 0, (completion or 0) + (reasoning or 0)}
    assert min(value for value in (getattr(usage, name) for name in Usage.__struct_fields__)) >= 0


def test_sound_that_was_cached_is_counted_once() -> None:
    """Where cached and audio tokens overlap they do not add up to more than the prompt."""
    details = _PromptDetails(cached_tokens=900, audio_tokens=500)
    usage = usage_of(WireUsage(prompt_tokens=1000, completion_tokens=0, prompt_tokens_details=details))
    assert usage == Usage(cached_input=900, audio_in=100)


@pytest.mark.parametrize("total", [None, 130])
def test_reasoning_beyond_the_completion_comes_on_top(total: int | None) -> None:
    """An upstream that leaves reasoning out of the completion is understood with or without its total."""
    details = _CompletionDetails(reasoning_tokens=100)
    usage = usage_of(
        WireUsage(
            prompt_tokens=10, completion_tokens=20, total_tokens=total, completion_tokens_details=details
        )
    )
    assert usage == Usage(input=10, output=20, reasoning=100)


@pytest.mark.parametrize("wrong", [-1, 1e12, float("inf")])
def test_what_can_t_be_is_not_believed(wrong: float) -> None:
    """A negative or absurd number spoils the whole of it."""
    assert usage_of(WireUsage(prompt_tokens=wrong, completion_tokens=1)) is None
    assert usage_of(WireUsage(prompt_tokens=1, completion_tokens=wrong)) is None
