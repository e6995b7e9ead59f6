"""Single values as people write them → exact Python values.

Each function takes what the TOML parser made of a value and returns it checked, or raises `Invalid`
with the reason. Reasons show the value, except where a secret may be written by mistake (addresses).
"""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_EXACT = Context(prec=80, traps=[Inexact])
_LARGEST = 2**63 - 1
_MILLIONTH = Decimal("0.000001")
_SHOWN_CHARACTERS = 60
_SHOWN_BITS = 192
_SECONDS = {"": "1", "ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
_LONGEST = 365 * 86_400
_BYTES = {
    "": "1",
    "B": "1",
    "KB": "1000",
    "MB": "1000000",
    "GB": "1000000000",
    "KiB": str(2**10),
    "MiB": str(2**20),
    "GiB": str(2**30),
}
_QUANTITY = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([A-Za-z]*)")
_DECIMAL = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_ADDRESS = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})")
_PORTS = 65_536
_UNIX_PATH_BYTES = 107
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Invalid(Exception):
    """A value can't be what its key wants; the text is the reason."""


def quoted(value: str) -> str:
    """A string in quotes, with escapes for whatever would not print on its line."""
    return json.dumps(value, ensure_ascii=not value.isprintable())


def shown(value: object) -> str:
    """A value as an error names it, in TOML's own spelling and never long."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            cut = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "…"
            return quoted(cut)
        case int() if value.bit_length() > _SHOWN_BITS:
            return "a very large integer"
        case list():
            return "an array"
        case dict():
            return "a table"
    return str(value)[:_SHOWN_CHARACTERS]


def text(value: object) -> str:
    """A string that has something in it and no control characters."""
    if not isinstance(value, str):
        raise Invalid(f"must be a string, not {shown(value)}")
    if not value.strip():
        raise Invalid("must not be empty")
    if not value.isprintable():
        raise Invalid("must not hold control characters")
    return value


def texts(value: object) -> tuple[str, ...]:
    """An array of such strings."""
    if not isinstance(value, list):
        raise Invalid(f"must be an array of strings, not {shown(value)}")
    return tuple(text(item) for item in value)


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Invalid(f"must be true or false, not {shown(value)}")
    return value


def whole(value: object, *, minimum: int = 1) -> int:
    """An integer of at least `minimum`; TOML's true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"must be an integer, not {shown(value)}")
    if value < minimum:
        raise Invalid(f"must be at least {minimum}, not {shown(value)}")
    if value > _LARGEST:
        raise Invalid(f"{shown(value)}: too large")
    return value


def one_of(choices: tuple[T, ...]) -> Callable[[object], T]:
    """A reader of one of the given strings."""

    def choose(value: object) -> T:
        for choice in choices:
            if value == choice:
                return choice
        known = ", ".join(map(str, choices))
        raise Invalid(f"must be one of {known}, not {shown(value)}")

    return choose


def _number(value: object, wanted: str) -> Decimal:
    """A finite number: an integer, a TOML float read exactly, or a decimal string."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite():
        return Decimal(value)
    raise Invalid(f"must be {wanted}, not {shown(value)}")


def _money(value: object, *, digits: int, unit: str) -> int:
    amount = _number(value, 'an amount in USD like "0.15"')
    written = value if isinstance(value, str) else shown(value)
    if amount < 0:
        raise Invalid(f"{written}: must not be negative")
    if amount > _EXACT.scaleb(Decimal(_LARGEST), -digits):
        raise Invalid(f"{written}: too large")
    try:
        scaled = _EXACT.scaleb(amount, digits)
    except Inexact:
        scaled = Decimal("0.5")
    if scaled != scaled.to_integral_value():
        raise Invalid(f"{written}: finer than a {unit}")
    return int(scaled)


def usd(value: object) -> int:
    """USD → nano-USD."""
    return _money(value, digits=9, unit="nano-USD")


def usd_per_million_tokens(value: object) -> int:
    """USD per million tokens → pico-USD per token."""
    return _money(value, digits=6, unit="pico-USD per token")


def usd_per_unit(value: object) -> int:
    """USD per call, image or search → pico-USD."""
    return _money(value, digits=12, unit="pico-USD")


def part(value: object) -> int:
    """A part of a whole, between 0 and 1 → millionths."""
    share = _number(value, 'a part like "0.1"')
    if not 0 <= share <= 1 or share != share.quantize(_MILLIONTH):
        raise Invalid(f"must be between 0 and 1, with at most six decimals, not {shown(value)}")
    return int(share * 1_000_000)


def _quantity(value: object, units: Mapping[str, str], wanted: str) -> Decimal:
    written = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if written is not None and written[2] in units:
        return _EXACT.multiply(Decimal(written[1]), Decimal(units[written[2]]))
    if isinstance(value, str):
        raise Invalid(f"must be {wanted}, not {shown(value)}")
    return _number(value, wanted)


def duration(value: object) -> float:
    """`"300s"`, `"5m"`, `"250ms"`, `"1.5h"` or a plain number of seconds → seconds."""
    seconds = _quantity(value, _SECONDS, 'a duration like "30s", "5m" or "250ms"')
    if not 0 <= seconds <= _LONGEST:
        raise Invalid(f"must be between 0 and 365d, not {shown(value)}")
    return float(seconds)


def statuses(value: object) -> tuple[int, ...]:
    """A list of HTTP statuses that tell of an error."""
    found = value if isinstance(value, list) else [None]
    if not all(isinstance(each, int) and 400 <= each <= 599 for each in found):
        raise Invalid(f"must be a list of statuses from 400 to 599, not {shown(value)}")
    return tuple(found)


def time_limit(value: object) -> float:
    """A duration that is not zero → seconds."""
    seconds = duration(value)
    if seconds == 0:
        raise Invalid("must be longer than 0")
    return seconds


def size(value: object) -> int:
    """`"32MiB"`, `"10MB"`, `"512KiB"` or a plain number of bytes → bytes, at least one."""
    count = _quantity(value, _BYTES, 'a size like "32MiB", "10MB" or "512KiB"')
    if not 1 <= count <= _LARGEST or count != count.to_integral_value():
        raise Invalid(f"must be a whole number of bytes, not {shown(value)}")
    return int(count)


def moment(value: object) -> int:
    """A TOML date (its midnight) or date and time, in UTC unless it says otherwise → Unix ms."""
    if not isinstance(value, date):
        raise Invalid(f"must be a date like 2026-01-31, without quotes, not {shown(value)}")
    at = value if isinstance(value, datetime) else datetime.combine(value, time())
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at < _EPOCH:
        raise Invalid(f"must not be before 1970, not {shown(value)}")
    return (at - _EPOCH) // timedelta(milliseconds=1)


def file_path(value: object) -> Path:
    """A path, `~` expanded."""
    try:
        return Path(text(value)).expanduser()
    except RuntimeError:
        raise Invalid(f"{shown(value)}: there is no such home folder") from None


def web_address(value: object) -> str:
    """An http or https address without user, query or fragment, and without a slash at its end.

    Never shown: people put keys in addresses.
    """
    address = text(value)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise Invalid("must be an address like https://host/path") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise Invalid("must be an http:// or https:// address with a host")
    if not address.isascii() or " " in address or "\\" in address:
        raise Invalid("must not hold spaces, backslashes or other than ASCII characters")
    if "@" in parts.netloc:
        raise Invalid("must not hold a user name or password")
    if "?" in address or "#" in address:
        raise Invalid("must not hold a query or fragment")
    return address.rstrip("/")


def host_and_port(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` → host without brackets, port; raises `Invalid`."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) >= _PORTS:
        raise Invalid(
            f'{shown(address)}: must be "host:port", "[v6 address]:port", "unix:/path" or "systemd"'
        )
    host = found["six"] or found["host"]
    if found["six"] or not re.search("[A-Za-z]", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise Invalid(f"{shown(address)}: no such IP address") from None
    return host, int(found["port"])


def listen(value: object) -> tuple[str, ...]:
    """One address to listen on or an array of them: `host:port`, `unix:/path`, `systemd`."""
    addresses = tuple(text(item) for item in (value if isinstance(value, list) else [value]))
    if not addresses:
        raise Invalid("must name at least one address")
    for address in addresses:
        if address.startswith("unix:"):
            path = address.removeprefix("unix:")
            if not path.startswith("/") or len(path.encode()) > _UNIX_PATH_BYTES:
                raise Invalid(f"{shown(address)}: must be an absolute path of at most 107 bytes")
        elif address != "systemd":
            host_and_port(address)
    return addresses
