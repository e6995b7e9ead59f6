"""What an upstream's refusal means to the client, and what of it goes where."""

import pytest

from tokligenced.config import ProviderSettings, Secret
from tokligenced.dialects.wire_error import WireError
from tokligenced.errors import InvalidRequest, UpstreamFailed
from tokligenced.providers.rejections import cleaned, rejection, retry_after

SETTINGS = ProviderSettings(name="p", type="openai", base_url="http://x/v1", api_key=Secret("very-secret"))
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 1),
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
def test_a_wait_is_between_one_and_sixty_seconds(said: str | None, seconds: int) -> None:
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
