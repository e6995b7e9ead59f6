"""Keys and whom they prove.

A key is `tk-`, 30 random characters of base 62 (178 bits), and 6 more that are the CRC-32 of those 30:
the number `zlib.crc32` gives for their ASCII bytes, written in base 62 with the digits 0-9, A-Z, a-z,
most significant first, padded with 0 on the left. A mistyped key is thereby refused before anything is
looked up: CRC-32 notices every change within four neighbouring bytes, and six such digits write each
number in one way only.
"""

import hashlib
import re
import secrets
import zlib
from typing import Literal, NoReturn, Protocol

from tokligenced.clock import Clock
from tokligenced.domain import Key, Principal
from tokligenced.errors import Unauthenticated

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_PAIR = len(_PAIRS)
_PREFIX = "tk-"
_PUBLIC = len(_PREFIX) + 6
_MATCH = re.compile(r"tk-([0-9A-Za-z]{30})([0-9A-Za-z]{6})").fullmatch

_MESSAGES = {
    "missing_api_key": 'No API key was given; send it as "Authorization: Bearer tk-...".',
    "invalid_api_key": "The API key is not valid.",
    "key_expired": "The API key has expired.",
    "key_revoked": "The API key has been revoked.",
}


def _checksum(characters: str) -> str:
    number = zlib.crc32(characters.encode())
    return _PAIRS[number // (_PAIR * _PAIR)] + _PAIRS[number // _PAIR % _PAIR] + _PAIRS[number % _PAIR]


def mint() -> str:
    """A fresh key."""
    characters = "".join([secrets.choice(_DIGITS) for _ in range(30)])
    return _PREFIX + characters + _checksum(characters)


def well_formed(key: str) -> bool:
    """Whether this could be a key: its shape is right and its last characters fit the others."""
    match = _MATCH(key)
    return match is not None and _checksum(match[1]) == match[2]


def digest(key: str) -> bytes:
    """The SHA-256 of a key, 32 bytes: the only form in which it is kept. The key is well formed."""
    return hashlib.sha256(key.encode()).digest()


def prefix(key: str) -> str:
    """The public beginning by which people recognise a key: `tk-` and six characters."""
    return key[:_PUBLIC]


def status(key: Key, now: int) -> Literal["active", "expired", "revoked"]:
    """What a key is worth at `now`, in Unix milliseconds."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "active"


class Principals(Protocol):
    """Where keys are looked up: the directory."""

    def principal(self, key_digest: bytes) -> Principal | None:
        """Whom the key with this SHA-256 proves, be it expired or revoked; None: nobody."""


class Authenticator:
    """Turns the headers of a call into a principal, or refuses the call.

    It remembers nothing: each call asks the directory and the clock, so that a revocation or an
    expiry holds from the very next call on. All refusals are alike but for their code.
    """

    def __init__(self, principals: Principals, clock: Clock) -> None:
        self._principals = principals
        self._clock = clock

    def authenticate(self, authorization: str | None, api_key: str | None = None) -> Principal:
        """Whom the values of `Authorization` and `x-api-key` prove; None where there is no such header.

        A bearer token goes before `x-api-key`, unless it is no key of this gateway at all. Raises
        `Unauthenticated` with one of missing_api_key, invalid_api_key, key_expired, key_revoked.
        """
        key = ""
        if authorization is not None and authorization[:7].lower() == "bearer ":
            key = authorization[7:]
        if api_key and not key.startswith(_PREFIX):
            key = api_key
        if not key:
            _refuse("missing_api_key")
        principal = self._principals.principal(digest(key)) if well_formed(key) else None
        if principal is None:
            _refuse("invalid_api_key")
        current = status(principal.key, self._clock.wall_ms())
        if current != "active":
            _refuse(f"key_{current}")
        return principal


def _refuse(code: str) -> NoReturn:
    raise Unauthenticated(code, _MESSAGES[code])
