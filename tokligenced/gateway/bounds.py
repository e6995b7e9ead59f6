"""What names, addresses, limits, prices and dates may be; each raises `InvalidInput` that says so."""

import re

from msgspec import structs

from tokligenced.domain import LIST_PRICE, Limits
from tokligenced.errors import InvalidInput

_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,187}[a-z0-9])?").fullmatch
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?").fullmatch
_LONGEST_SHOWN = 100
_LONGEST_NAME = 100
_LONGEST_MODEL_NAME = 200
_GREATEST_LIMIT = 10**12
_GREATEST_PRICE = 1_000 * LIST_PRICE
_GREATEST_NANO = 2**63 - 1

LAST_INSTANT = 253_402_300_799_999  # the end of the year 9999, beyond which dates have no common form


def email(text: str) -> str:
    """An e-mail address as it is kept: in lower case."""
    address = text.lower()
    if not _EMAIL(address) or ".." in address:
        raise InvalidInput(f"{text[:_LONGEST_SHOWN]!r} is not an e-mail address")
    return address


def slug(text: str) -> None:
    """An organization's name in addresses."""
    if not _SLUG(text):
        raise InvalidInput(
            f"{text[:_LONGEST_SHOWN]!r} is not a slug:"
            " 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -"
        )


def name(text: str) -> None:
    """What people call a thing."""
    if not text.strip() or len(text) > _LONGEST_NAME or not text.isprintable():
        raise InvalidInput(f"name must be 1 to {_LONGEST_NAME} printable characters")


def limits(said: Limits) -> None:
    """A key's or an organization's limits; None is no limit."""
    for field, value in structs.asdict(said).items():
        if value is not None and not 1 <= value <= _GREATEST_LIMIT:
            raise InvalidInput(f"{field} must be between 1 and {_GREATEST_LIMIT}")


def models(names: frozenset[str] | None) -> None:
    """The models that a key may use; None is all of them."""
    if names is None:
        return
    if not names:
        raise InvalidInput("models must name at least one model")
    for each in names:
        if not each.strip() or len(each) > _LONGEST_MODEL_NAME or not each.isprintable():
            raise InvalidInput(f"models must be names of 1 to {_LONGEST_MODEL_NAME} printable characters")


def price(millionths: int) -> None:
    """What part of the list price a payer pays, in millionths."""
    if not 0 <= millionths <= _GREATEST_PRICE:
        raise InvalidInput(f"price_factor must be at most {_GREATEST_PRICE // LIST_PRICE}")


def expiry(at: int | None, now: int) -> None:
    """When a key ends, in Unix milliseconds; None is never."""
    if at is not None and not now < at <= LAST_INSTANT:
        raise InvalidInput("expires_at must be in the future")


def spend_cap(nano: int | None) -> None:
    """The most that a key may ever cost, in nano-USD; None is no cap."""
    if nano is not None and not 0 <= nano <= _GREATEST_NANO:
        raise InvalidInput("spend_cap must not be negative, nor above 9 billion USD")
