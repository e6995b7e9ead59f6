"""What an upstream's refusal means to the client: one table for all providers."""

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tokligenced.config import ProviderSettings
from tokligenced.dialects.wire_error import NOTHING_SAID, WireError
from tokligenced.errors import CallError, InvalidRequest, UpstreamFailed

# What looks like a credential never leaves in a message, whoever put it there.
_SECRET = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai|AIza)[-_A-Za-z0-9*.]{8,}|Bearer\s+[^\s\"\\]+", re.IGNORECASE)
_LONGEST_MESSAGE = 2000

_PASSED_CODES = frozenset(
    {"context_length_exceeded", "content_filter", "unsupported_parameter", "invalid_value"}
)
_ABOUT_THE_REQUEST = frozenset({400, 404, 413, 422})
_ABOUT_THE_OPERATOR = frozenset({401, 402, 403})

# Providers' own words, in `type` or `code`, for what the status alone does not tell or tells wrongly.
_ACCOUNT = frozenset(
    {
        "authentication_error",
        "permission_error",
        "billing_error",
        "insufficient_quota",
        "billing_hard_limit_reached",
        "invalid_api_key",
        "account_deactivated",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "API_KEY_INVALID",
    }
)
_BUSY = frozenset({"overloaded_error", "rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED"})
_FILTERED = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
# Anthropic and Google tell some of it in prose alone, with a status that blames the request.
_ACCOUNT_PROSE = re.compile(
    r"credit balance is too low|API key (?:not valid|expired|not found)", re.IGNORECASE
)
_TOO_LONG_PROSE = re.compile(
    r"prompt is too long|input token count .*exceeds|maximum context length|exceed context limit",
    re.IGNORECASE,
)


def without_secrets(text: str, settings: ProviderSettings) -> str:
    """What an upstream said, with stars for anything that may be a credential."""
    if settings.api_key:
        text = text.replace(settings.api_key.reveal(), "***")
    return _SECRET.sub("***", text)


def cleaned(message: str, settings: ProviderSettings) -> str:
    """The upstream's message, shortened, without anything that may be a credential."""
    return without_secrets(message, settings)[:_LONGEST_MESSAGE]


def retry_after(headers: Mapping[str, str], error: WireError = NOTHING_SAID) -> int | None:
    """The seconds an upstream asked to wait, within 1 and 60; None when it did not say.

    A date is read against the answer's own `Date`. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    Where there is no such header, what the body asks for counts.
    """
    said = headers.get("Retry-After")
    if said is None:
        if error.retry_after is None:
            return None
        said = str(error.retry_after)
    try:
        seconds = float(said)
    except ValueError:
        try:
            then, now = parsedate_to_datetime(said), parsedate_to_datetime(headers.get("Date", ""))
            seconds = (then - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 1
    return math.ceil(max(1.0, min(60.0, seconds))) if math.isfinite(seconds) else 1


def rejection(
    status: int, headers: Mapping[str, str], error: WireError, settings: ProviderSettings
) -> CallError:
    """The error for an upstream's answer that is not a success.

    What is about the request goes to the client with the upstream's message; everything else is a failed
    attempt. The log gets no message, which may quote what users wrote.
    """
    detail = f"status {status}, code {error.code or error.type}"
    if status in _ABOUT_THE_OPERATOR or _is(error, _ACCOUNT) or _ACCOUNT_PROSE.search(error.message):
        return UpstreamFailed(
            "upstream_error",
            "The provider refused the gateway's own account; its operator must mend that.",
            operator_fault=True,
            detail=detail,
        )
    if status in _ABOUT_THE_REQUEST and not _is(error, _BUSY):
        message = cleaned(error.message, settings)
        return InvalidRequest(
            _code(error),
            message or f"The provider {settings.name} refused the request with status {status}.",
            param=error.param,
        )
    if status == 429:
        return UpstreamFailed(
            "upstream_rate_limited",
            "The provider is limiting the gateway's requests; try again later.",
            retry_after=retry_after(headers, error),
            detail=detail,
        )
    return UpstreamFailed(
        "upstream_error",
        f"The provider failed with status {status}.",
        retry_after=retry_after(headers, error),
        detail=detail,
    )


def error_inside(error: WireError, settings: ProviderSettings) -> CallError:
    """The error for one that came where an answer was due; the client may read what the upstream said.

    A provider that is too busy has not begun: another may be asked. What was filtered is about the request.
    """
    message = cleaned(error.message, settings)
    if _is(error, _FILTERED):
        return InvalidRequest("content_filter", message or "The provider filtered it.", param=error.param)
    return UpstreamFailed(
        "upstream_error",
        f"The provider reported an error: {message}",
        retry_after=retry_after({}, error),
        safe_to_retry=_is(error, _BUSY),
        operator_fault=_is(error, _ACCOUNT),
        detail=f"an error where an answer was due, code {error.code or error.type}",
    )


def _is(error: WireError, words: frozenset[str]) -> bool:
    return error.type in words or error.code in words


def _code(error: WireError) -> str:
    """The contract's code for an error about the request."""
    if isinstance(error.code, str) and error.code in _PASSED_CODES:
        return error.code
    if _is(error, _FILTERED):
        return "content_filter"
    return "context_length_exceeded" if _TOO_LONG_PROSE.search(error.message) else "invalid_value"
