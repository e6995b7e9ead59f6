"""What GET /v1/models tells clients that are not OpenAI's: Anthropic's list, and Codex's catalog.

https://platform.claude.com/docs/en/api/models/list
https://github.com/openai/codex/blob/main/codex-rs/protocol/src/openai_models.rs
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from tokligenced.domain import Model
from tokligenced.errors import InvalidRequest

_PAGE = 20
_LONGEST_PAGE = 1000

# Models that Codex has descriptions of (or may have in its next version): an entry would take the place of
# the instructions and tools that were made for them. It looks for names behind one namespace, too.
_KNOWN_TO_CODEX = re.compile(r"(?:[\w-]+/)?(?:gpt-(?:[5-9]|\d\d|daybreak)|codex-)").match
_THINKS = frozenset({"reasoning", "reasoning_effort"})
# Codex has no instructions for a model whose entry brings none, and takes no entry without the field.
_INSTRUCTIONS = """\
You are a coding agent. You run in Codex CLI, on the user's machine and in their working directory, and you \
act through the tools of each request.

- Take the task to its end before you hand back: look around, change what has to change, and check the \
result by running it, its tests or its linter. Ask only where a guess could do harm.
- Read before you write. Prefer `rg` and `rg --files` to search. Follow the style of the code around yours \
and every AGENTS.md whose directory holds a file that you touch; the deepest one wins, and the user's own \
words win over all of them.
- Change as little as the task needs and mend causes instead of symptoms. Leave alone what you did not \
change yourself, and never undo the user's work. Commit, push or delete only when you are asked to.
- Edit with `apply_patch` where you have it, else with the shell. Where you have a tool for plans, keep one \
for work of several steps and mark each step as it is done.
- Commands may run in a sandbox and may need approval: the request says which. When one is refused, find \
another way or say what you would need.
- Before a batch of tool calls, say in a sentence what you are about to do. At the end say briefly what you \
did, in which files, how you checked it, and what is left; name files as `path:line`, and don't repeat their \
contents.
"""


class _Described(Struct, frozen=True, tag="model"):
    """A model in Anthropic's words; tokens, and a time as RFC 3339."""

    id: str
    display_name: str
    created_at: datetime
    max_input_tokens: int
    max_tokens: int
    lifecycle: Literal["active"] = "active"


class _Page(Struct, frozen=True):
    """A part of Anthropic's list; the ids of its first and last model are where the next one begins."""

    data: Sequence[_Described]
    has_more: bool
    first_id: str | None
    last_id: str | None


class _Effort(Struct, frozen=True):
    effort: str
    description: str


class _Truncation(Struct, frozen=True):
    mode: Literal["bytes", "tokens"]
    limit: int


class _CodexEntry(Struct, frozen=True, kw_only=True):
    """A model in Codex's words. One entry that lacks a field costs Codex the whole list."""

    slug: str
    display_name: str
    description: str | None = None
    default_reasoning_level: str | None = None
    supported_reasoning_levels: tuple[_Effort, ...]
    shell_type: str = "shell_command"
    visibility: str = "list"
    supported_in_api: bool = True
    priority: int
    availability_nux: None = None
    upgrade: None = None
    base_instructions: str = _INSTRUCTIONS
    supports_reasoning_summaries: bool
    support_verbosity: bool = False
    default_verbosity: None = None
    apply_patch_tool_type: str = "freeform"
    truncation_policy: _Truncation = _Truncation("bytes", 10_000)
    supports_parallel_tool_calls: bool = True
    context_window: int
    experimental_supported_tools: tuple[str, ...] = ()
    input_modalities: tuple[str, ...]


_EFFORTS = (
    _Effort("low", "Answers sooner"),
    _Effort("medium", "Thinks as long as most tasks need"),
    _Effort("high", "Thinks longest"),
)
# Where its own models begin with 0, the gateway's come behind them.
_BEHIND_CODEX = 100


def described(model: Model) -> bytes:
    """One model as Anthropic describes it."""
    return msgspec.json.encode(_describe(model))


def anthropic_page(models: Sequence[Model], query: Mapping[str, str]) -> bytes:
    """The page of Anthropic's list that `limit` and `after_id` or `before_id` ask for.

    Raises `InvalidRequest` for a limit outside 1 to 1,000 and an id that is not in the list.
    """
    limit = query.get("limit", str(_PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= _LONGEST_PAGE):
        raise InvalidRequest("invalid_value", f"'limit' must be from 1 to {_LONGEST_PAGE}.", param="limit")
    size = int(limit)
    if "after_id" in query and "before_id" in query:
        raise InvalidRequest("invalid_value", "Give 'after_id' or 'before_id', not both.", param="before_id")
    first, last = 0, len(models)
    if "after_id" in query:
        first = _place(models, query, "after_id") + 1
    elif "before_id" in query:
        last = _place(models, query, "before_id")
        first = max(0, last - size)
    shown = models[first : min(last, first + size)]
    more = first > 0 if "before_id" in query else first + size < last
    ends = (shown[0].id, shown[-1].id) if shown else (None, None)
    return msgspec.json.encode(_Page([_describe(model) for model in shown], more, *ends))


def codex_catalog(models: Sequence[Model]) -> bytes:
    """The models that talk, for Codex to offer beside those that it knows by itself."""
    entries = [
        _CodexEntry(
            slug=model.id,
            display_name=model.name,
            supported_reasoning_levels=_EFFORTS if thinks else (),
            priority=_BEHIND_CODEX + place,
            supports_reasoning_summaries=thinks,
            context_window=model.context_window,
            input_modalities=tuple(each for each in ("text", "image") if each in model.input_modalities),
        )
        for place, model in enumerate(models)
        for thinks in [not _THINKS.isdisjoint(model.supported_parameters)]
        if model.max_output_tokens and "text" in model.output_modalities and not _KNOWN_TO_CODEX(model.id)
    ]
    return msgspec.json.encode({"models": entries})


def _describe(model: Model) -> _Described:
    created = datetime.fromtimestamp(model.created_at // 1000, UTC)
    return _Described(model.id, model.name, created, model.context_window, model.max_output_tokens)


def _place(models: Sequence[Model], query: Mapping[str, str], param: str) -> int:
    for place, model in enumerate(models):
        if model.id == query[param]:
            return place
    raise InvalidRequest("invalid_value", f"There is no model '{query[param]}' to count from.", param=param)
