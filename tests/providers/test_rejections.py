"""What an upstream's refusal means to the client, and what of it goes where."""

import pytest

from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects.wire_error import WireError
from tokligenced.errors import InvalidRequest, UpstreamFailed
from tokligenced.providers.rejections import cleaned, error_inside, rejection, retry_after

SETTINGS = ProviderSettings(name="p", type="openai", base_url="http://x/v1", api_key=Secret("very-secret"))
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0.2", 1),
        ("-5", 1),
        ("3600", 60),
        ("nan", 1),
        ("inf", 1),
        ("soon", 1),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:27:30 GMT", 1),
        ("Wed, 21 Oct 2015 07:28:05 -0000", 1),
        ("Wed, 21 Oct 99999999999999999999 07:28:05 GMT", 1),
    ],
)
def test_a_wait_is_between_one_and_sixty_seconds(said: str | None, seconds: int | None) -> None:
    """Whatever an upstream says for Retry-After, in whatever form, becomes 1 to 60 seconds."""
    headers = {"Date": DATE} | ({} if said is None else {"Retry-After": said})
    assert retry_after(headers) == seconds


def test_no_secret_leaves_in_a_message() -> None:
    """The gateway's own key and whatever looks like one are starred out."""
    said = "bad key very-secret, or sk-proj-abcdefgh12345678, or Bearer abc.def"
    assert cleaned(said, SETTINGS) == "bad key ***, or ***, or ***"


@pytest.mark.parametrize("status", [400, 404, 413, 422, 401, 403, 429, 500, 529, 302, 999])
def test_the_log_gets_no_message(status: int) -> None:
    """What goes to the log names status and code; the upstream may have quoted a prompt in its message."""
    error = rejection(status, {}, WireError(message="you wrote: my diary", code="oops"), SETTINGS)
    if status in (400, 404, 413, 422):
        assert isinstance(error, InvalidRequest)
        assert (error.status, error.message) == (400, "you wrote: my diary")
    else:
        assert isinstance(error, UpstreamFailed)
        assert error.status == 503
        assert error.operator_fault == (status in (401, 403))
        assert "diary" not in error.detail + error.message
        assert str(status) in error.detail


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, WireError(message="no")),
        (400, WireError(message="Your credit balance is too low to access the API.")),
        (400, WireError(message="API key not valid. Please pass a valid API key.")),
        (403, WireError(type="permission_error")),
        (400, WireError(type="billing_error")),
        (429, WireError(code="insufficient_quota")),
    ],
)
def test_trouble_with_the_account_is_the_operators(status: int, error: WireError) -> None:
    """Whatever status a provider wraps it in, a key or a bill that fails is not the client's fault."""
    told = rejection(status, {}, error, SETTINGS)
    assert isinstance(told, UpstreamFailed)
    assert told.operator_fault


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WireError(message="prompt is too long: 9 tokens > 8 maximum"), "context_length_exceeded"),
        (WireError(message="The input token count (9) exceeds the maximum"), "context_length_exceeded"),
        (WireError(code="context_length_exceeded"), "context_length_exceeded"),
        (WireError(code="content_filter"), "content_filter"),
        (WireError(code="content_policy_violation"), "content_filter"),
        (WireError(code="tool_use_failed"), "invalid_value"),
    ],
)
def test_what_is_wrong_with_a_request_has_a_code(error: WireError, code: str) -> None:
    """A client finds the contract's code whatever the provider's own words are."""
    told = rejection(400, {}, error, SETTINGS)
    assert isinstance(told, InvalidRequest)
    assert told.code == code


def test_a_wait_may_stand_in_the_body() -> None:
    """Google's hint in the body counts where no header says anything."""
    error = WireError(type="RESOURCE_EXHAUSTED", retry_after=34.4)
    told = rejection(429, {}, error, SETTINGS)
    assert (told.code, told.retry_after) == ("upstream_rate_limited", 35)
    assert rejection(429, {"Retry-After": "3"}, error, SETTINGS).retry_after == 3


def test_a_busy_provider_after_the_status_may_be_followed_by_another() -> None:
    """Overload told as the first event has cost nothing, so the next deployment may be asked."""
    busy = error_inside(WireError(type="overloaded_error", message="Overloaded"), SETTINGS)
    broken = error_inside(WireError(type="api_error", message="Oops"), SETTINGS)
    assert isinstance(busy, UpstreamFailed)
    assert isinstance(broken, UpstreamFailed)
    assert (busy.safe_to_retry, broken.safe_to_retry) == (True, False)


def test_a_filtered_prompt_is_about_the_request() -> None:
    """Azure tells of a filtered prompt with status 200 at times; the client gets 400 all the same."""
    told = error_inside(WireError(code="content_filter", message="filtered"), SETTINGS)
    assert (told.status, told.code, told.message) == (400, "content_filter", "filtered")
