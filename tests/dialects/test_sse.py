"""The splitter: events come out whole and unchanged, wherever the network cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import sse
from tokligenced.errors import UpstreamFailed

LINES = st.sampled_from([b"data: {}", b"data:x", b": note", b"event: ping", b"data: \xc3\xa9", b"data"])
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
events = st.builds(
    lambda lines, end: b"".join(line + end for line in lines) + end,
    st.lists(LINES, min_size=1, max_size=3),
    ENDS,
)


def split(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = sse.Splitter()
    found = [event for chunk in chunks for event in sse.events(splitter.feed(chunk))]
    return found, splitter.flush()


@given(st.lists(events, max_size=6), st.data())
def test_cuts_change_nothing(parts: list[bytes], data: st.DataObject) -> None:
    """The same events come out of a stream however it is cut."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found, rest = split(chunks)
    whole, whole_rest = split([stream])
    assert b"".join(found) + rest == stream
    assert [sse.data_of(event) for event in [*found, rest]] == [
        sse.data_of(event) for event in [*whole, whole_rest]
    ]


def test_every_cut_of_one_stream() -> None:
    """A stream with all three line ends gives its three events for every place it is cut at."""
    stream = b"data: a\n\ndata: b\r\ndata: c\r\n\r\ndata: d\r\r"
    for cut in range(len(stream) + 1):
        found, rest = split([stream[:cut], stream[cut:]])
        assert [sse.data_of(event) for event in [*found, rest] if event] == [b"a", b"b\nc", b"d"]


@pytest.mark.parametrize("chunk", [b"data: {}\n\n", b"data: 1\r\n\r\ndata: 2\r\n\r\n"])
def test_whole_events_are_the_object_that_arrived(chunk: bytes) -> None:
    """A chunk of whole events leaves as the same object, not as a copy."""
    assert sse.Splitter().feed(chunk) is chunk


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 100, b"\ndata: x"])
def test_an_endless_event_is_refused(chunk: bytes) -> None:
    """An event that never ends is given up when it outgrows its bound."""
    splitter = sse.Splitter(max_event=1000)
    with pytest.raises(UpstreamFailed):
        for _ in range(200):
            splitter.feed(chunk)


def test_long_event_costs_no_square() -> None:
    """A long event that arrives byte by byte is looked at once, not once per byte."""
    splitter = sse.Splitter()
    for _ in range(200_000):
        assert splitter.feed(b"x") == b""
    assert splitter.feed(b"\n\n") != b""


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    """The first event of a stream that begins with one is not lost."""
    assert sse.data_in(b"\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [b"a", b"b"]
