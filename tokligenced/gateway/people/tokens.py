"""Random bearers: sessions, one-time links, recovery codes. Only their SHA-256 is ever kept.

They have 80 bits of chance or more, so a plain hash is enough: there is nothing to guess.
"""

import base64
import hashlib
import secrets

_RECOVERY_BYTES = 10
_GROUP = 4


def mint() -> str:
    """A token of 256 bits, fit for cookies and links."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """The SHA-256 of a token; whatever somebody sends in its place has one, too."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def mint_recovery_code() -> str:
    """A recovery code: 80 bits as four groups of four letters and digits, to be written down."""
    characters = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(characters[place : place + _GROUP] for place in range(0, len(characters), _GROUP))


def recovery_digest(code: str) -> bytes:
    """The SHA-256 of a recovery code, however it is spaced and whatever case it is typed in."""
    return digest("".join(code.lower().replace("-", "").split()))


def mint_secret() -> bytes:
    """The secret of a second factor, 160 bits as RFC 4226 recommends."""
    return secrets.token_bytes(20)
