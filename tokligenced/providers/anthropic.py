"""Anthropic: Claude by its own Messages API, and other vendors' models where they speak it.

https://platform.claude.com/docs/en/api/overview
"""

import re
from collections.abc import Mapping
from functools import partial

import msgspec
from msgspec import structs

from tokligenced.config import ProviderSettings
from tokligenced.dialects import (
    clients,
    messages_answers,
    messages_counts,
    messages_errors,
    messages_mending,
    messages_requests,
)
from tokligenced.dialects.messages_requests import Traits
from tokligenced.dialects.tasks import renamed
from tokligenced.domain import Call, Deployment, Model
from tokligenced.errors import InvalidRequest
from tokligenced.providers.base import Exchange, Remote, UpstreamRequest
from tokligenced.providers.metering import ReadingTap
from tokligenced.providers.passing import Passed
from tokligenced.providers.translated import Translated

_VERSION = "2023-06-01"
# https://platform.claude.com/docs/en/build-with-claude/files
_WITH_FILES = {"anthropic-beta": "files-api-2025-04-14"}
_MOST_VARIANTS = 256


class Anthropic(Remote):
    """An account at an upstream that speaks Anthropic's Messages."""

    counts_tokens = True

    def __init__(self, settings: ProviderSettings) -> None:
        super().__init__(settings)
        betas = (value for name, value in self.headers.items() if name.lower() == "anthropic-beta")
        self._betas = next(betas, "")
        # The same objects for all calls: the HTTP client remembers what it made of them.
        self._variants: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def credentials(self) -> dict[str, str]:
        """The key goes in a header of its own."""
        key = self.settings.api_key
        return {"anthropic-version": _VERSION, **({"x-api-key": key.reveal()} if key else {})}

    def converse(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for a conversation, in whichever dialect the client holds it."""
        if call.dialect == "messages":
            return Passed(
                self._pass("/v1/messages", call, deployment.model),
                self.settings,
                ReadingTap(messages_answers.Reader(), stream=call.stream),
                read_error=messages_answers.read_error,
                render_failure=partial(messages_errors.render_error_event, request_id=call.id),
                own_errors=True,
            )
        return self._translate(call, model, deployment)

    def count(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange that counts a conversation's tokens."""
        return Passed(
            self._pass("/v1/messages/count_tokens", call, deployment.model),
            self.settings,
            ReadingTap(messages_counts.Reader(), stream=False),
            read_error=messages_answers.read_error,
            render_failure=partial(messages_errors.render_error_event, request_id=call.id),
            own_errors=True,
        )

    def _pass(self, path: str, call: Call, model: str) -> UpstreamRequest:
        """The client's own request, with what of its head belongs to the dialect."""
        if call.query:
            path = f"{path}?{call.query}"
        try:
            messages = messages_mending.mended(call.member("messages"))
        except msgspec.DecodeError:
            messages = None  # the provider says what is wrong with them
        body = renamed(call, model, {} if messages is None else {"messages": messages})
        return self.request(path, model, body, self._with(call.headers))

    def _with(self, asked: Mapping[str, str]) -> Mapping[str, str]:
        """This provider's headers and the client's, the same object for the same ones.

        Raises `InvalidRequest` for one that is not text, which is the client's fault and not the provider's.
        """
        key = tuple(sorted(asked.items()))
        headers = self._variants.get(key)
        if headers is None:
            for name, value in asked.items():
                if not (value.isascii() and value.isprintable()):
                    raise InvalidRequest(
                        "invalid_value", f"Invalid value for the header '{name}': it is no plain text."
                    )
            betas = ",".join(filter(None, [self._betas, asked.get("anthropic-beta")]))
            others = {name: value for name, value in self.headers.items() if name.lower() not in asked}
            headers = {**others, **asked, **({"anthropic-beta": betas} if betas else {})}
            if len(self._variants) >= _MOST_VARIANTS:
                self._variants.clear()
            self._variants[key] = headers
        return headers

    def _translate(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        client = clients.CLIENTS[call.dialect]
        request = messages_requests.write(
            client.read(call), self.target(model, deployment), traits(deployment.model)
        )
        headers = self._with(_WITH_FILES) if request.uses_files else None
        return Translated(
            self.request("/v1/messages", deployment.model, request.body, headers),
            self.settings,
            stream=call.stream,
            reader=messages_answers.Reader(request.tools),
            writer=client.writer(call, deployment.model),
            read_error=messages_answers.read_error,
        )


# `claude-3-5-haiku-latest`, `claude-sonnet-4-20250514`, `us.anthropic.claude-opus-4-5-20251101-v1:0`, …
_NAME = re.compile(
    r"claude-(?:(?P<old>\d)(?:[-.](?P<old_minor>\d))?-)?(?P<family>[a-z]+)"
    r"(?:-(?P<major>\d{1,2})(?!\d)(?:[-.](?P<minor>\d{1,2})(?!\d))?)?"
)

_TO_HIGH = ("low", "medium", "high")
_ALL = (*_TO_HIGH, "xhigh", "max")
# Another vendor's model: what the dialect has had from the beginning of thinking.
_OTHER = Traits(thinking="budget")
_NEWEST = Traits(
    thinking="adaptive",
    off="low_effort",
    efforts=_ALL,
    sampling="none",
    structured=True,
    system_turns=True,
    # Some refuse to be forced at all, and say so themselves.
    forced_thinking=True,
)


def traits(model: str) -> Traits:
    """What a model takes, by its name; a Claude that is not known yet is taken for one like the newest.

    https://platform.claude.com/docs/en/build-with-claude/thinking and each model's migration guide.
    """
    name = _NAME.search(model.lower())
    if name is None:
        return _OTHER
    major, minor = name["old"] or name["major"], name["old_minor"] or name["minor"]
    if major is None:
        return _NEWEST
    return _of(name["family"], (int(major), int(minor or 0)))


def _of(family: str, version: tuple[int, int]) -> Traits:
    if version < (3, 7):
        return Traits()
    if version < (4, 6):
        recent = version >= (4, 1)
        return Traits(
            thinking="budget",
            efforts=_TO_HIGH if (family, version) == ("opus", (4, 5)) else (),
            sampling="one" if recent else "both",
            structured=recent,
        )
    if version < (4, 7):
        return Traits(thinking="either", efforts=(*_TO_HIGH, "max"), sampling="one", structured=True)
    if version < (5, 0):
        latest = version >= (4, 8)
        return structs.replace(_NEWEST, off="unsaid", system_turns=latest, forced_thinking=latest)
    return _LATER.get((family, version), _NEWEST)


_LATER: Mapping[tuple[str, tuple[int, int]], Traits] = {
    ("opus", (5, 0)): structs.replace(_NEWEST, off="disabled"),
    ("sonnet", (5, 0)): structs.replace(_NEWEST, off="disabled", system_turns=False),
    ("sonnet", (5, 5)): structs.replace(_NEWEST, off="between_tools"),
    ("haiku", (5, 5)): structs.replace(_NEWEST, off="disabled"),
}
