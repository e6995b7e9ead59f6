"""Durations, sizes, money and addresses as people write them."""

import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokligenced.config import values
from tokligenced.config.values import Invalid
from tokligenced.domain import decimal_usd

LARGEST = 2**63 - 1
AMOUNTS = st.integers(0, LARGEST)
_SINCE = datetime(1970, 1, 2)  # noqa: DTZ001 - hypothesis wants its bounds without a zone
MONEY = [
    pytest.param(values.usd, 10**9, id="nano-USD"),
    pytest.param(values.usd_per_million_tokens, 10**6, id="pico-USD per token"),
    pytest.param(values.usd_per_unit, 10**12, id="pico-USD"),
]
ANYTHING = st.recursive(
    st.one_of(
        st.text(),
        st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?( ?[A-Za-z]{1,3})?", fullmatch=True),
        st.from_regex(r"(https?://|unix:|\[|)[\w.:@/?#\[\]%-]{0,20}:?[0-9]{0,6}", fullmatch=True),
        st.booleans(),
        st.integers(),
        st.decimals(),
        st.dates(),
        st.datetimes(timezones=st.none() | st.just(UTC)),
        st.times(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
READERS = [
    values.text,
    values.texts,
    values.flag,
    values.whole,
    values.one_of(("full", "normal")),
    values.usd,
    values.usd_per_million_tokens,
    values.usd_per_unit,
    values.duration,
    values.time_limit,
    values.size,
    values.moment,
    values.file_path,
    values.web_address,
    values.listen,
]


def toml(text: str) -> Any:
    """What the configuration's parser makes of a value."""
    return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]


@given(ANYTHING)
@example(Decimal("1e999999"))
@example(Decimal("1e-999999"))
@example(Decimal("-0E-999999"))
@example(16**5000)
@example("9" * 5000)
@example("12345678901234567890.12345678901234567891GiB")
@example("~nobody-of-that-name/file")
@example("http://[::1")
@example("http://host:99999")
def test_any_value_is_read_or_refused(value: object) -> None:
    """A reader takes a value or says `Invalid` in one short line; nothing else ever comes out."""
    for read in READERS:
        reason = "none"
        try:
            read(value)
        except Invalid as invalid:
            reason = str(invalid)
        assert 0 < len(reason) < 400
        assert reason.isprintable()


@pytest.mark.parametrize(("read", "unit"), MONEY)
@given(AMOUNTS)
def test_money_is_exact(read: Callable[[object], int], unit: int, amount: int) -> None:
    """Every amount that can be held is read back exactly, from a string and from a TOML number."""
    written = decimal_usd(amount, unit, places=1)
    assert read(written) == amount
    assert read(toml(written)) == amount


@pytest.mark.parametrize(("read", "unit"), MONEY)
@given(AMOUNTS, st.integers(1, 9))
def test_money_that_is_too_fine_is_refused(
    read: Callable[[object], int], unit: int, amount: int, tenths: int
) -> None:
    """An amount is never rounded: one digit too many is refused."""
    digits = len(str(unit)) - 1
    written = f"{amount // unit}.{amount % unit:0{digits}d}{tenths}"
    with pytest.raises(Invalid, match=r"finer than a|too large"):
        read(written)


@pytest.mark.parametrize(
    ("read", "written", "reason"),
    [
        (values.usd_per_million_tokens, "'0.0000001'", "0.0000001: finer than a pico-USD per token"),
        (values.usd_per_million_tokens, "0.0000001", "1E-7: finer than a pico-USD per token"),
        (values.usd_per_unit, "'0.0000000000001'", "0.0000000000001: finer than a pico-USD"),
        (values.usd, "'0.0000000001'", "0.0000000001: finer than a nano-USD"),
        (values.usd, f"0.{'1' * 100}", f"0.{'1' * 58}: finer than a nano-USD"),
        (values.usd_per_million_tokens, "'-3.00'", "-3.00: must not be negative"),
        (values.usd_per_million_tokens, "-3", "-3: must not be negative"),
        (values.usd_per_million_tokens, "1e30", "1E+30: too large"),
        (values.usd_per_million_tokens, "nan", 'must be an amount in USD like "0.15", not NaN'),
        (values.usd_per_million_tokens, "inf", 'must be an amount in USD like "0.15", not Infinity'),
        (values.usd_per_million_tokens, "'NaN'", 'must be an amount in USD like "0.15", not "NaN"'),
        (values.usd, "'$5'", 'must be an amount in USD like "0.15", not "$5"'),
        (values.usd, "'1,50'", 'must be an amount in USD like "0.15", not "1,50"'),
        (values.usd, "true", 'must be an amount in USD like "0.15", not true'),
        (values.usd, "[1]", 'must be an amount in USD like "0.15", not an array'),
        (values.duration, "'5 minutes'", "must be a duration"),
        (values.duration, "'5M'", "must be a duration"),
        (values.duration, "'-5s'", "must be a duration"),
        (values.duration, "-5", "must be between 0 and 365d, not -5"),
        (values.duration, "'366d'", 'must be between 0 and 365d, not "366d"'),
        (values.duration, "true", "must be a duration"),
        (values.time_limit, "'0s'", "must be longer than 0"),
        (values.part, "'10%'", 'must be a part like "0.1", not "10%"'),
        (values.part, "true", 'must be a part like "0.1", not true'),
        (values.part, "-0.1", "must be between 0 and 1, with at most six decimals, not -0.1"),
        (values.part, "1.000001", "must be between 0 and 1, with at most six decimals, not 1.000001"),
        (values.part, "0.0000001", "must be between 0 and 1, with at most six decimals, not 1E-7"),
        (values.part, f"0.25{'0' * 40}1", "must be between 0 and 1, with at most six decimals"),
        (values.part, "1e30", "must be between 0 and 1"),
        (values.size, "'32 mib'", "must be a size"),
        (values.size, "'0'", 'must be a whole number of bytes, not "0"'),
        (values.size, "'0.3KiB'", 'must be a whole number of bytes, not "0.3KiB"'),
        (values.size, "1.5", "must be a whole number of bytes, not 1.5"),
        (values.size, "-1", "must be a whole number of bytes, not -1"),
        (values.whole, "1.0", "must be an integer, not 1.0"),
        (values.whole, "true", "must be an integer, not true"),
        (values.whole, "'ten'", 'must be an integer, not "ten"'),
        (values.whole, "0", "must be at least 1, not 0"),
        (values.whole, "9223372036854775808", "9223372036854775808: too large"),
        (values.flag, "1", "must be true or false, not 1"),
        (values.flag, "'true'", 'must be true or false, not "true"'),
        (values.text, "' '", "must not be empty"),
        (values.text, '"a\\nb"', "must not hold control characters"),
        (values.texts, "'text'", 'must be an array of strings, not "text"'),
        (values.texts, "[1]", "must be a string, not 1"),
        (values.one_of(("full", "normal")), "'off'", 'must be one of full, normal, not "off"'),
        (values.moment, "'2026-01-01'", "must be a date like 2026-01-31, without quotes"),
        (values.moment, "07:30:00", "must be a date like 2026-01-31, without quotes"),
        (values.moment, "1969-12-31", "must not be before 1970, not 1969-12-31"),
    ],
)
def test_wrong_values_say_why(read: Callable[[object], object], written: str, reason: str) -> None:
    """The reason names what is wanted and what was found."""
    with pytest.raises(Invalid) as caught:
        read(toml(written))
    assert str(caught.value).startswith(reason)


@given(st.integers(0, 1_000_000))
def test_parts_are_read_exactly(millionths: int) -> None:
    """A part of a whole is the same as a number and as a string, with or without zeros behind it."""
    written = f"{millionths // 1_000_000}.{millionths % 1_000_000:06d}"
    assert values.part(written) == values.part(Decimal(written)) == values.part(written + "00") == millionths


@given(st.integers(0, 365 * 86_400_000))
def test_durations_are_read_exactly(milliseconds: int) -> None:
    """A duration is the same in each unit that can say it, and a plain number means seconds."""
    seconds = milliseconds / 1000
    assert values.duration(f"{milliseconds}ms") == seconds
    assert values.duration(f"{milliseconds // 1000}.{milliseconds % 1000:03}s") == seconds
    assert values.duration(Decimal(milliseconds) / 1000) == seconds
    assert values.duration(milliseconds // 1000) == milliseconds // 1000


@given(st.integers(0, 365))
def test_longer_units(days: int) -> None:
    """A day is 24 hours of 60 minutes."""
    seconds = days * 86_400
    assert [
        values.duration(f"{n}{unit}") for n, unit in ((days, "d"), (days * 24, "h"), (days * 1440, "m"))
    ] == [seconds] * 3


@given(st.integers(1, 2**32), st.sampled_from(["", "B", "KB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_sizes_are_read_exactly(count: int, unit: str) -> None:
    """K, M and G count in thousands, Ki, Mi and Gi in 1024; a plain number means bytes."""
    power = " KMG".index(unit[0]) if len(unit) > 1 else 0
    size = count * (1024 if "i" in unit else 1000) ** power
    assert values.size(f"{count}{unit}") == size
    assert values.size(size) == size


def test_sizes_may_be_fractions() -> None:
    """A fraction of a unit is a size as long as its bytes are whole."""
    assert values.size("1.5GiB") == 1536 * 2**20


@given(st.datetimes(min_value=_SINCE, timezones=st.none() | st.just(timezone(timedelta(hours=9)))))
def test_moments_are_utc(at: datetime) -> None:
    """A date and time without offset is UTC; a date is its midnight."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    assert values.moment(at) == since // timedelta(milliseconds=1)
    day = datetime.combine(at.date(), time(), UTC)
    assert values.moment(date(at.year, at.month, at.day)) == int(day.timestamp()) * 1000


@pytest.mark.parametrize(
    ("written", "host", "port"),
    [
        ("127.0.0.1:8081", "127.0.0.1", 8081),
        ("[::1]:80", "::1", 80),
        ("localhost:0", "localhost", 0),
        ("gw-1.example.com:65535", "gw-1.example.com", 65535),
    ],
)
def test_addresses_to_listen_on(written: str, host: str, port: int) -> None:
    """Host and port come apart, brackets go."""
    assert values.listen(written) == (written,)
    assert values.host_and_port(written) == (host, port)


def test_other_places_to_listen_on() -> None:
    """A Unix socket, systemd's sockets, and several at once."""
    several = ["unix:/run/tokligenced/http.sock", "systemd", "[::]:8081"]
    assert values.listen(several) == tuple(several)


@pytest.mark.parametrize(
    "written",
    [
        "8081", ":8081", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:http", "::1:8081", "[::1]", "[x]:80",
        "1.2.3.400:80", "a b:80", "host/path:80", "http://127.0.0.1:80", "unix:relative.sock", "unix:",
        f"unix:/{'x' * 107}", "", [], [1], ["127.0.0.1:1", "x"], 8081, {"host": "x"},
    ],
)  # fmt: skip
def test_no_addresses_to_listen_on(written: object) -> None:
    """What can't be listened on is refused before anything is started."""
    with pytest.raises(Invalid):
        values.listen(written)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://[::1]:11434/v1//", "http://[::1]:11434/v1"),
        ("https://example.com/a/path%20b/", "https://example.com/a/path%20b"),
    ],
)
def test_web_addresses(written: str, address: str) -> None:
    """A path prefix stays, slashes at the end go."""
    assert values.web_address(written) == address


@pytest.mark.parametrize(
    "written",
    [
        "api.openai.com", "ftp://example.com", "https://", "https:///v1", "https://host:0", "https://host:x",
        "https://host:99999", "https://[::1", "https://user@host", "https://sk-123@host", "https://host?key=sk-123",
        "https://host/?", "https://host#sk-123", "https://host/sk-123 ", "https://hö.example/sk-123", "file:///sk-123",
        "https://host\\@evil/sk-123", 1, "",
    ],
)  # fmt: skip
def test_no_web_addresses(written: object) -> None:
    """An address that would mislead is refused, and not shown: people put keys in addresses."""
    with pytest.raises(Invalid) as caught:
        values.web_address(written)
    assert "sk-123" not in str(caught.value)


def test_home_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder."""
    monkeypatch.setenv("HOME", "/somewhere")
    assert values.file_path("~/t.db") == Path("/somewhere/t.db")
