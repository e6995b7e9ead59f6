"""Answers, however their bytes come: the protocol alone, without sockets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.wire import Wire
from tokligenced.gateway.http_connection import KEEP_ALIVE, MAX_HEAD

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\nhi"


def chunked(data: bytes, sizes: list[int], extension: bytes, trailers: bytes) -> bytes:
    """A chunked body, the sizes taken in turn as long as there is data."""
    encoded, at = b"", 0
    for size in sizes:
        if piece := data[at : at + size]:
            encoded += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
            at += len(piece)
    if rest := data[at:]:
        encoded += b"%X\r\n%b\r\n" % (len(rest), rest)
    return encoded + b"0" + extension + b"\r\n" + trailers + b"\r\n"


NAMES = st.text("ab-9", min_size=1, max_size=8).map("x-{}".format)
VALUES = st.text("a :,;=\xe9", max_size=8).map(str.strip)
FRAMINGS = ("length", "chunked", "end")


@st.composite
def answers(draw: st.DrawFn, framings: tuple[str, ...] = FRAMINGS) -> tuple[bytes, tuple[Any, ...], str]:
    """An answer's bytes, what is to be understood, and how its end is known."""
    status = draw(st.integers(200, 999).filter(lambda status: status not in {204, 304}))
    headers = draw(st.dictionaries(NAMES, VALUES, max_size=4))
    data = draw(st.binary(max_size=200))
    framing = draw(st.sampled_from(framings))
    interim = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"])
    )
    lines = [f"{name.title()}: {value}".encode("latin-1") for name, value in headers.items()]
    if framing == "length":
        headers["content-length"] = str(len(data))
        lines.append(b"Content-Length: %d" % len(data))
        body = data
    elif framing == "chunked":
        headers["transfer-encoding"] = "chunked"
        lines.insert(0, b"Transfer-Encoding: chunked")
        body = chunked(
            data,
            draw(st.lists(st.integers(1, 50), max_size=5)),
            draw(st.sampled_from([b"", b";a", b";name=value", b"  "])),
            draw(st.sampled_from([b"", b"X-T: 1\r\n", b"X-T: 1\r\nx-u:\r\n"])),
        )
    else:
        body = data
    raw = interim * draw(st.integers(0, 3)) + b"\r\n".join(
        [b"HTTP/1.1 %d Some Reason" % status, *lines, b"", body]
    )
    return raw, (status, headers, data, 1, 0), framing


@st.composite
def pieces(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """The bytes cut anywhere, or everywhere."""
    if draw(st.booleans()):
        return [raw[at : at + 1] for at in range(len(raw))]
    places = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=6)))
    return [
        raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True) if start < end
    ]


@given(st.data())
def test_an_answer_is_the_same_however_it_comes(data: st.DataObject) -> None:
    """Status, headers and body don't depend on where the network cut the bytes."""
    raw, expected, framing = data.draw(answers())
    wire = Wire()
    wire.hear(*data.draw(pieces(raw)))
    if framing == "end":
        assert wire.ends == 0
        wire.connection.eof_received()
    assert wire.answer == expected
    assert wire.freed is not wire.closing
    assert wire.freed is (framing != "end")


@given(st.data())
def test_answers_in_a_row_don_t_touch_each_other(data: st.DataObject) -> None:
    """A connection gives each answer whole, whatever the one before looked like."""
    wire = Wire()
    for _ in range(3):
        raw, expected, _ = data.draw(answers(("length", "chunked")))
        wire.hear(*data.draw(pieces(raw)))
        assert wire.answer == expected
        assert wire.freed
        wire.ask()


@given(st.data())
def test_an_answer_that_is_cut_never_looks_complete(data: st.DataObject) -> None:
    """Wherever an announced end is missing, there is a failure instead, and the body is a beginning."""
    raw, expected, framing = data.draw(answers())
    at = data.draw(st.integers(0, len(raw) - 1))
    wire = Wire()
    wire.hear(*data.draw(pieces(raw[:at])))
    headed = bool(wire.status)
    wire.connection.eof_received()
    wire.connection.connection_lost(None)
    assert expected[2].startswith(wire.body)
    assert wire.is_gone
    if framing == "end" and headed:
        assert (wire.ends, wire.failures) == (1, [])
    else:
        (failure,) = wire.failures
        assert (failure.code, failure.safe_to_retry) == ("upstream_error", False)
        assert wire.closing


@given(st.data())
def test_nonsense_is_one_failure_at_most(data: st.DataObject) -> None:
    """Whatever bytes come, the receiver is told of one end or one failure, and nothing after it."""
    raw, _, _ = data.draw(answers())
    at = data.draw(st.integers(0, len(raw)))
    damage = data.draw(st.binary(max_size=20) | st.sampled_from([b"\r\n", b"\n", b"\0", b": ", b"HTTP/1.1 "]))
    wire = Wire()
    wire.hear(*data.draw(pieces(raw[:at] + damage + raw[at + len(damage) :] or b"x")))
    if not wire.closing and not wire.freed:
        wire.connection.eof_received()
    wire.connection.connection_lost(None)
    assert wire.ends + len(wire.failures) == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no status line"),
        pytest.param(b"<html>hello</html>\r\n", id="HTTP/0.9"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four digits"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="two digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", id="below all classes"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="a request"),
        pytest.param(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc", id="upgrade"),
        pytest.param(b"HTTP/1.1 101 Go\r\n\r\n" + WHOLE, id="bare 101"),
        pytest.param(b"HTTP/1.1 103 Wait\r\n\r\n" * 17 + WHOLE, id="interim flood"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="chunk size"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", id="negative chunk size"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", id="giant chunk size"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc", id="chunk without end"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", id="two framings"),
        pytest.param(OK + b"Transfer-Encoding: gzip\r\n\r\nhi", id="another coding"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", id="two codings"),
        pytest.param(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", id="two lengths"),
        pytest.param(OK + b"Content-Length: +2\r\n\r\nhi", id="signed length"),
        pytest.param(OK + b"Content-Length: 1e3\r\n\r\nhi", id="odd length"),
        pytest.param(OK + b"Content-Length: 99999999999999999999\r\n\r\nhi", id="giant length"),
        pytest.param(OK + b"X : 1\r\n\r\n", id="space in a name"),
        pytest.param(OK + b"X: 1\0\r\n\r\n", id="NUL in a value"),
        pytest.param(OK + b"X: " + b"x" * MAX_HEAD + b"\r\nContent-Length: 2\r\n\r\nhi", id="large header"),
        pytest.param(OK + b"X: 1\r\n" * (MAX_HEAD // 5) + b"Content-Length: 2\r\n\r\nhi", id="many headers"),
        pytest.param(OK + b"X: " + b"x" * MAX_HEAD, id="header without end"),
        pytest.param(b"\r\n" * MAX_HEAD, id="empty lines without end"),
    ],
)
@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_what_is_not_http_is_refused(raw: bytes, size: int) -> None:
    """An answer that can't be understood, or not safely, is a failure of the upstream, and is cut."""
    wire = Wire()
    wire.hear(*[raw[at : at + size] for at in range(0, len(raw), size)])
    (failure,) = wire.failures
    assert (failure.code, failure.safe_to_retry) == ("upstream_error", False)
    assert failure.message == "The provider does not speak HTTP as it should."
    assert wire.closing
    assert not wire.body.strip(b"a")


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"5;" + b"x" * 300_000, id="chunk extension"),
        pytest.param(b"0\r\nX: " + b"x" * 300_000, id="trailer"),
        pytest.param(b"0\r\n" + b"X: 1\r\n" * 50_000, id="trailers"),
    ],
)
def test_nothing_but_a_body_may_be_endless(endless: bytes) -> None:
    """What belongs to no body is read up to a limit, also behind the head."""
    wire = Wire()
    wire.hear(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    wire.hear(*[endless[at : at + 10_000] for at in range(0, len(endless), 10_000)])
    assert len(wire.failures) == 1
    assert wire.closing


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 103 Wait\r\n\r\n" * 16 + WHOLE, 200, b"hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, b""),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, b""),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 200, b"hi"),
        (OK + b"transfer-encoding: Chunked\r\n\r\n2  \r\nhi\r\n0\r\n\r\n", 200, b"hi"),
        (OK + b"Content-Length: 2\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nhi", 200, b"hi"),
    ],
)
def test_odd_answers_are_answers(raw: bytes, status: int, body: bytes) -> None:
    """What is unusual but clear is understood, and the connection can be used again."""
    wire = Wire()
    wire.hear(raw)
    assert (wire.status, wire.body, wire.ends, wire.failures) == (status, body, 1, [])
    assert wire.freed


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        pytest.param(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", id="HTTP/1.0"),
        pytest.param(WHOLE + b"garbage", b"hi", id="garbage behind"),
        pytest.param(WHOLE + WHOLE, b"hi", id="another answer behind"),
        pytest.param(WHOLE + b"H", b"hi", id="a byte behind"),
    ],
)
def test_a_connection_that_can_t_be_trusted_is_not_used_again(raw: bytes, body: bytes) -> None:
    """The answer is good, and its connection is closed."""
    wire = Wire()
    wire.hear(raw)
    assert (wire.body, wire.ends, wire.failures) == (body, 1, [])
    assert wire.closing
    assert not wire.freed


def test_a_connection_does_not_tire() -> None:
    """What is counted to bound one answer is not held against those that follow."""
    wire = Wire()
    for _ in range(20):
        wire.hear(b"HTTP/1.1 103 Wait\r\n\r\n" * 10 + b"HTTP/1.1 204 No\r\nX: %b\r\n\r\n" % (b"x" * 9_000))
        assert (wire.ends, wire.failures, wire.freed) == (1, [], True)
        wire.ask()
    wire.hear(OK)
    assert wire.failures == []


def test_an_answer_to_nothing_closes_the_connection() -> None:
    """Bytes that come while nobody asked anything are nobody's answer."""
    wire = Wire()
    wire.hear(WHOLE)
    assert wire.freed
    wire.hear(WHOLE)
    assert wire.closing
    assert wire.ends == 1


def test_a_connection_that_ends_while_it_is_free_is_not_free_again() -> None:
    """Also after an answer that had no length and no body."""
    wire = Wire()
    wire.hear(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert wire.freed
    wire.freed = False
    wire.connection.eof_received()
    assert wire.closing
    assert not wire.freed


def test_an_answer_before_its_request_was_sent_closes_the_connection() -> None:
    """What is left of the request would be read as the next one."""
    wire = Wire()
    wire.unsent = 1
    wire.hear(WHOLE)
    assert (wire.ends, wire.closing, wire.freed) == (1, True, False)


def test_an_answer_to_head_has_no_body() -> None:
    """Its length is that of a body that does not come."""
    wire = Wire(b"HEAD")
    wire.hear(OK + b"Content-Length: 1000\r\n\r\n")
    assert (wire.status, wire.ends, wire.failures, wire.closing) == (200, 1, [], True)


def test_headers_go_by_any_case_and_join() -> None:
    """A name is found however it is written; what came several times is one list."""
    wire = Wire()
    wire.hear(
        OK + b"X-A: 1\r\nx-a: 2  \r\nContent-Type: a/b\r\nX-E:\r\nX-L: caf\xe9\r\nContent-Length: 0\r\n\r\n"
    )
    headers = wire.headers
    assert headers is not None
    assert headers["x-A"] == "1, 2"
    assert headers.get("CONTENT-TYPE") == "a/b"
    assert headers["x-e"] == ""
    assert headers["x-l"] == "café"
    assert "x-é" not in headers
    assert set(headers) == {"x-a", "content-type", "x-e", "x-l", "content-length"}
    assert len(headers) == 5


def test_silence_is_measured_from_the_last_sign_of_life() -> None:
    """The time-out strikes when nothing moved in either direction for so long, not before."""
    wire = Wire()
    for unsent in (50, 40, 30):
        wire.unsent = unsent
        wire.now += 9.9
        wire.connection.check(wire.now)
    wire.now += 9.9
    wire.hear(OK)
    wire.now += 9.9
    wire.connection.check(wire.now)
    assert wire.failures == []
    wire.now += 0.2
    wire.connection.check(wire.now)
    (failure,) = wire.failures
    assert (failure.code, failure.safe_to_retry) == ("upstream_timeout", False)
    assert wire.closing


def test_an_upstream_that_must_wait_is_not_silent() -> None:
    """While nobody reads, no time-out runs; it begins anew with the reading."""
    wire = Wire()
    wire.hear(OK + b"Content-Length: 9\r\n\r\nhi")
    wire.connection.pause()
    wire.now += 1_000
    wire.connection.check(wire.now)
    wire.now += 9.9
    wire.connection.resume()
    wire.now += 9.9
    wire.connection.check(wire.now)
    assert wire.failures == []
    assert wire.reading


def test_a_free_connection_grows_old() -> None:
    """One that nobody used for a while is closed."""
    wire = Wire()
    wire.hear(WHOLE)
    wire.now += KEEP_ALIVE - 0.1
    wire.connection.check(wire.now)
    assert not wire.closing
    wire.now += 0.2
    wire.connection.check(wire.now)
    assert wire.closing


def test_a_paused_connection_reads_again_before_it_is_free() -> None:
    """The pause belongs to an answer, not to the connection."""
    wire = Wire()
    wire.hear(OK + b"Content-Length: 2\r\n\r\nh")
    wire.connection.pause()
    wire.hear(b"i")
    assert wire.freed
    assert wire.reading
