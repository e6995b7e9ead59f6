"""Heads of requests."""

import pytest

from tokligenced.errors import UpstreamFailed
from tokligenced.gateway.http_request import Address, prepare


@pytest.mark.parametrize(
    ("url", "address", "target", "host"),
    [
        ("http://a.example/v1/x", ("a.example", 80, False), "/v1/x", "a.example"),
        ("https://a.example", ("a.example", 443, True), "/", "a.example"),
        ("https://a.example:443/x", ("a.example", 443, True), "/x", "a.example"),
        ("http://a.example:443/x", ("a.example", 443, False), "/x", "a.example:443"),
        (
            "http://A.example:8080/X?v=1&w=%20#top",
            ("a.example", 8080, False),
            "/X?v=1&w=%20",
            "a.example:8080",
        ),
        ("http://[::1]:8080/x", ("::1", 8080, False), "/x", "[::1]:8080"),
        ("https://[::1]/m:generate", ("::1", 443, True), "/m:generate", "[::1]"),
    ],
)
def test_where_a_request_goes(url: str, address: tuple[str, int, bool], target: str, host: str) -> None:
    """Host, port and TLS come from the URL, and path and query stay as they are."""
    found, head = prepare("POST", url, {})
    assert found == Address(*address)
    assert head == f"POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: ".encode()


def test_headers_go_as_they_are() -> None:
    """Each header is a line, in the order given."""
    _, head = prepare("POST", "http://a/", {"X-B": "1, 2", "authorization": "Bearer s:k"})
    assert head.split(b"\r\n")[2:4] == [b"X-B: 1, 2", b"authorization: Bearer s:k"]


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("POST", "ftp://a/", {}),
        ("POST", "/v1/chat", {}),
        ("POST", "http://", {}),
        ("POST", "http://a:99999/", {}),
        ("POST", "http://[::1/", {}),
        ("POST", "http://user:secret@a/", {}),
        ("POST", "http://a/x HTTP/1.1\x0bX: y", {}),
        ("POST", "http://a/ä", {}),
        ("POST", "http://ä/", {}),
        ("PO ST", "http://a/", {}),
        ("POST", "http://a/", {"X": "secret\r\nY: z"}),
        ("POST", "http://a/", {"X": "secret\nY: z"}),
        ("POST", "http://a/", {"X\r\nY": "secret"}),
        ("POST", "http://a/", {"X": "secret\0"}),
        ("POST", "http://a/", {"X": "secret €"}),
    ],
)
def test_what_can_t_be_sent(method: str, url: str, headers: dict[str, str]) -> None:
    """What would break the head's lines is refused before anything is sent, and not shown."""
    with pytest.raises(UpstreamFailed) as caught:
        prepare(method, url, headers)
    assert caught.value.safe_to_retry
    assert "secret" not in caught.value.message + caught.value.detail
