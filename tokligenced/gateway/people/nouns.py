"""What the pages are told of a person: who looks, their sessions, an offer of a second factor, a refusal."""

from typing import Literal

from msgspec import Struct

from tokligenced.domain import Account
from tokligenced.errors import TokligencedError

Reason = Literal["wrong", "code_needed", "wrong_code", "slow_down"]

_MESSAGES: dict[Reason, str] = {
    "wrong": "The e-mail address or the password is wrong.",
    "code_needed": "A code of the authenticator is needed, too.",
    "wrong_code": "The code is wrong, or was used already.",
    "slow_down": "Too many attempts; wait a little.",
}


class SignInRefused(TokligencedError):
    """Nobody is signed in, for `reason`; `wait` is in how many seconds another try may do better."""

    def __init__(self, reason: Reason, wait: float = 0.0) -> None:
        super().__init__(_MESSAGES[reason])
        self.reason = reason
        self.wait = wait


class Viewer(Struct, frozen=True, kw_only=True):
    """Who looks at a page: an account as it is now, and since when (Unix milliseconds) it is signed in."""

    account: Account
    session_id: str
    created_at: int


class SessionRow(Struct, frozen=True, kw_only=True):
    """A session as its owner sees it; times are Unix milliseconds, `address` is where it began.

    `seen_at` is right to the hour: not each page is worth a write.
    """

    id: str
    created_at: int
    seen_at: int
    address: str


class TotpOffer(Struct, frozen=True, kw_only=True):
    """A second factor to be taken into an authenticator: the secret in base 32, and its `otpauth:` URI.

    Nothing is kept until `confirm_totp` gets the secret back with a code made of it.
    """

    secret: str
    uri: str
