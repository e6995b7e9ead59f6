"""Google's error bodies are read, wherever the message stands."""

import json
from pathlib import Path
from typing import Any

import pytest

from tokligenced.dialects.gemini_errors import read_error
from tokligenced.dialects.wire_error import NOTHING_SAID, WireError

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "given" / "cases"
REJECTED = [
    pytest.param(case["response"]["body"].encode(), id=case["id"])
    for file in sorted(CORPUS.glob("gemini/*.json"))
    for case in [json.loads(file.read_text())]
    if case["response"]["status"] >= 400
]
DETAILS = [
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"},
]


@pytest.mark.parametrize("body", REJECTED)
def test_a_recorded_error_says_what_and_why(body: bytes) -> None:
    """Message and status, also where a proxy wraps the body in an array."""
    error = read_error(body)
    assert error.message
    assert error.code
    assert read_error(b"[" + body + b"]") == error


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ("plain", WireError(message="plain")),
        ({}, WireError()),
        ({"code": 400, "message": "m"}, WireError(message="m", code=400)),
        (
            {"code": 400, "message": "m", "status": "INVALID_ARGUMENT", "details": DETAILS},
            WireError(message="m", type="INVALID_ARGUMENT", code="API_KEY_INVALID", retry_after=34.4),
        ),
    ],
)
def test_what_google_tells_is_kept(told: Any, error: WireError) -> None:
    """Its reason before its status, its delay in seconds."""
    assert read_error(json.dumps({"error": told}).encode()) == error


@pytest.mark.parametrize("delay", ["", "soon", "infs", "nan", "-3s"])
def test_a_delay_that_is_none_is_left_out(delay: str) -> None:
    """It is no reason not to read the rest."""
    error = read_error(json.dumps({"error": {"message": "m", "details": [{"retryDelay": delay}]}}).encode())
    assert error == WireError(message="m")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error":3}', b"\xff", b"[" * 5000])
def test_a_body_that_can_not_be_read_says_nothing(body: bytes) -> None:
    """Proxies answer with anything."""
    assert read_error(body) == NOTHING_SAID
