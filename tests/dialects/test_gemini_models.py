"""What the generations of Gemini models take: thinking by budget, by level, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects.conversation import Reasoning
from tokligenced.dialects.gemini_models import ThinkingConfig, thinking, traits
from tokligenced.errors import InvalidRequest


def budget(tokens: int | None) -> ThinkingConfig:
    return ThinkingConfig(include_thoughts=tokens != 0, thinking_budget=tokens)


def level(name: str | None) -> ThinkingConfig:
    return ThinkingConfig(include_thoughts=True, thinking_level=name)


@pytest.mark.parametrize(
    ("model", "asked", "config"),
    [
        ("gemini-1.5-pro", Reasoning(effort="high"), None),
        ("gemini-2.0-flash-lite-001", Reasoning(effort="high"), None),
        ("tunedModels/mine", Reasoning(effort="high"), None),
        ("gemini-2.5-flash", None, None),
        ("gemini-2.5-flash", Reasoning(), budget(None)),
        ("gemini-2.5-flash", Reasoning(effort="none"), budget(0)),
        ("gemini-2.5-flash", Reasoning(effort="minimal"), budget(1024)),
        ("gemini-2.5-flash", Reasoning(effort="low", budget=77), budget(77)),
        ("gemini-2.5-flash", Reasoning(effort="max"), budget(24576)),
        ("gemini-2.5-flash-lite", Reasoning(budget=77), budget(512)),
        ("gemini-2.5-flash-lite", Reasoning(budget=0), budget(0)),
        ("gemini-2.5-pro", Reasoning(effort="max"), budget(32768)),
        ("gemini-2.5-pro", Reasoning(effort="none"), ThinkingConfig(thinking_budget=128)),
        ("gemini-2.5-flash-image", Reasoning(effort="high"), None),
        ("gemini-2.5-flash-preview-tts", Reasoning(effort="high"), None),
        ("gemini-3-flash-preview", Reasoning(effort="none"), ThinkingConfig(thinking_level="minimal")),
        ("gemini-3-flash-preview", Reasoning(), level(None)),
        ("gemini-3-flash-preview", Reasoning(effort="medium"), level("medium")),
        ("gemini-3.5-flash-lite", Reasoning(budget=512), level("low")),
        ("gemini-3.5-flash-lite", Reasoning(budget=8193), level("high")),
        ("gemini-3-pro-preview", Reasoning(effort="medium"), level("high")),
        ("gemini-3-pro-preview", Reasoning(effort="none"), ThinkingConfig(thinking_level="low")),
        ("gemini-3.1-pro-preview", Reasoning(effort="medium"), level("medium")),
        ("gemini-3.1-pro-preview", Reasoning(effort="minimal"), level("low")),
        ("gemini-3-pro-image-preview", Reasoning(effort="low"), level(None)),
        ("gemini-3-pro-image-preview", Reasoning(effort="none"), None),
        ("models/gemini-4-flash", Reasoning(effort="xhigh"), level("high")),
        ("gemini-pro-latest", Reasoning(effort="medium"), level("medium")),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(
    model: str, asked: Reasoning | None, config: ThinkingConfig | None
) -> None:
    """A budget within the model's range for 2.5, a level that the model has from 3 on, nothing before."""
    assert thinking(model, asked) == config


@given(
    st.from_regex(
        r"(models/)?gemini-[0-4](\.[0-9])?-(pro|flash|flash-lite|flash-image)(-preview)?", fullmatch=True
    ),
    st.builds(
        Reasoning,
        effort=st.none() | st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        budget=st.none() | st.integers(0, 10**6),
    ),
)
def test_budget_and_level_never_come_together(model: str, asked: Reasoning) -> None:
    """Google refuses a request with both."""
    config = thinking(model, asked)
    assert config is None or config.thinking_budget is None or config.thinking_level is None


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-3-flash-preview"])
def test_an_effort_that_does_not_exist_is_refused(model: str) -> None:
    """Whether the model thinks or not."""
    with pytest.raises(InvalidRequest) as refused:
        thinking(model, Reasoning(effort="enormous"))
    assert refused.value.param == "reasoning_effort"


@pytest.mark.parametrize(
    ("model", "modern", "signed"),
    [
        ("gemini-1.5-pro-002", False, False),
        ("gemini-2.0-flash", False, False),
        ("gemini-2.5-pro", True, False),
        ("gemini-3-flash-preview", True, True),
        ("gemini-10-flash", True, True),
        ("gemini-flash-latest", True, True),
        ("gemma-3-27b-it", True, False),
    ],
)
def test_a_name_tells_what_the_model_takes(model: str, modern: bool, signed: bool) -> None:
    """JSON Schema and https addresses from 2.5 on, signatures from 3 on."""
    able = traits(model)
    assert (able.modern, able.signed) == (modern, signed)
