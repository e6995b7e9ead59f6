"""One-time codes of authenticators: RFC 6238 with SHA-1, 30 seconds and six digits, as all of them speak it.

https://www.rfc-editor.org/rfc/rfc6238
"""

import base64
import binascii
import hmac
from urllib.parse import quote, urlencode

_STEP = 30_000  # milliseconds
_DIGITS = 6
_SECRET_BYTES = 20


def code(secret: bytes, step: int) -> str:
    """The code of a time step."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    place = mac[-1] & 0x0F
    number = int.from_bytes(mac[place : place + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


def accepted_step(secret: bytes, said: str, now: int, after: int = -1) -> int | None:
    """The time step whose code was said; None when it is no code that is good at `now` (milliseconds).

    The steps before and after the present one count, for clocks that are not quite right and for people who
    type slowly. Those up to `after` do not: their codes may have been used.
    """
    said = "".join(said.split())
    present = now // _STEP
    for step in (present, present - 1, present + 1):
        if step > after and hmac.compare_digest(code(secret, step).encode(), said.encode("utf-8", "replace")):
            return step
    return None


def to_text(secret: bytes) -> str:
    """The secret as people type it into an authenticator: base 32."""
    return base64.b32encode(secret).decode()


def from_text(text: str) -> bytes | None:
    """What `to_text` wrote, however spaced; None when it isn't that."""
    try:
        secret = base64.b32decode("".join(text.split()).upper())
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == _SECRET_BYTES else None


def uri(secret: bytes, account: str, issuer: str) -> str:
    """The `otpauth:` URI that a QR code holds.

    https://github.com/google/google-authenticator/wiki/Key-Uri-Format
    """
    label = quote(f"{issuer}:{account}", safe="")
    return f"otpauth://totp/{label}?{urlencode({'secret': to_text(secret), 'issuer': issuer})}"
