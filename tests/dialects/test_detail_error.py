"""Errors of services that tell `detail`."""

import pytest

from tokligenced.dialects.detail_error import read_error
from tokligenced.dialects.wire_error import WireError


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"detail": "too long"}', WireError(message="too long")),
        (
            b'{"detail": [{"loc": ["body", "input"], "msg": "Field required"}, {"loc": [], "msg": "bad"}]}',
            WireError(message="input: Field required; bad", param="input"),
        ),
        (b'{"detail": []}', WireError()),
        (b'{"error": {"message": "no", "code": "c"}}', WireError(message="no", code="c")),
        (b'{"message": "no"}', WireError(message="no")),
        (b'{"detail": [1]}', WireError()),
        (b"<html>", WireError()),
        (b"\xff", WireError()),
        (b"[" * 100_000, WireError()),
    ],
)
def test_whatever_is_told_is_read(body: bytes, error: WireError) -> None:
    """A text, a list of complaints, or what others tell; and nothing where nothing can be read."""
    assert read_error(body) == error
