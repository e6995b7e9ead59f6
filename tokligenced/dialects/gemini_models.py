"""What the generations of Gemini models take, as their names tell.

https://ai.google.dev/gemini-api/docs/thinking
https://ai.google.dev/gemini-api/docs/gemini-3
"""

import math
import re
from collections.abc import Mapping

from msgspec import Struct

from tokligenced.dialects.conversation import Reasoning
from tokligenced.errors import InvalidRequest

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_LATEST = re.compile(r"gemini-[a-z-]*latest")
_NEWEST = (3, 1)
# Kinds of models that do not think, or let nobody say how much.
_UNSTEERABLE = re.compile(r"image|tts|audio|live")

# As Google's own OpenAI-compatible endpoint has them:
# https://ai.google.dev/gemini-api/docs/openai#thinking
_BUDGETS: Mapping[str, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 32768,
}
_LEVELS: Mapping[str, str] = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
# The level for a budget: the first that reaches it.
_LEVEL_BUDGETS = (("minimal", 0), ("low", 1024), ("medium", 8192), ("high", math.inf))


class ThinkingConfig(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How much to think: by budget in tokens or by level, never both."""

    include_thoughts: bool = False
    thinking_budget: int | None = None
    thinking_level: str | None = None


class Traits(Struct, frozen=True, kw_only=True):
    """What a model takes.

    `modern`: JSON Schema as it is, the mode that keeps calls to it, and files by any https address.
    `signed`: wants a signature on each step's first call, and takes pictures within a function's response.
    """

    modern: bool
    signed: bool


def _generation(model: str) -> tuple[int, int] | None:
    """Major and minor version; None where the name does not tell."""
    if found := _VERSION.search(model):
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if _LATEST.search(model) else None


def traits(model: str) -> Traits:
    """What the model takes; one of an unknown name (tuned ones, say) what most of today's do."""
    generation = _generation(model)
    return Traits(
        modern=generation is None or generation >= (2, 5),
        signed=generation is not None and generation >= (3, 0),
    )


def thinking(model: str, asked: Reasoning | None) -> ThinkingConfig | None:
    """How to ask the model for so much thought; None where nothing was asked, or it can't think.

    Raises `InvalidRequest` for an effort that does not exist.
    """
    generation = _generation(model)
    if asked is None:
        return None
    if asked.effort is not None and asked.effort not in _BUDGETS:
        raise InvalidRequest(
            "invalid_value",
            f"Invalid value for 'reasoning_effort': it is one of {', '.join(_BUDGETS)}.",
            param="reasoning_effort",
        )
    if generation is None or generation < (2, 5):
        return None
    visible = asked.effort != "none" and asked.budget != 0
    if _UNSTEERABLE.search(model):
        return ThinkingConfig(include_thoughts=True) if visible and generation >= (3, 0) else None
    if generation < (3, 0):
        return ThinkingConfig(visible, thinking_budget=_budget(model, asked))
    return ThinkingConfig(visible, thinking_level=_level(model, generation, asked))


def _budget(model: str, asked: Reasoning) -> int | None:
    """Tokens within what the model allows; None leaves it to the model."""
    budget = asked.budget
    if budget is None:
        if asked.effort is None:
            return None
        budget = _BUDGETS[asked.effort]
    if "pro" in model:
        return max(128, min(budget, 32768))
    if budget == 0:
        return 0
    return max(512 if "lite" in model else 1, min(budget, 24576))


def _level(model: str, generation: tuple[int, int], asked: Reasoning) -> str | None:
    """A level that the model has; None leaves it to the model."""
    if asked.effort is not None:
        level = _LEVELS[asked.effort]
    elif asked.budget is None:
        return None
    else:
        level = next(name for name, most in _LEVEL_BUDGETS if asked.budget <= most)
    if "pro" not in model:
        return level
    if level == "medium" and generation == (3, 0):
        return "high"
    return "low" if level == "minimal" else level
