"""Passwords: what may be one, and argon2id in threads of its own."""

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tokligenced.errors import InvalidInput

_SHORTEST = 10
_LONGEST = 1_000
_AT_ONCE = 2

# Of those that leaked most often, the ones that are long enough.
_LEAKED = """
    0123456789 0987654321 1111111111 11111111111 111111111111 1122334455 12345678900 1234567890 12345678901
    123456789012 1234567891 12345678910 123456789a 123456789q 1234567890a 1234567890q 1234512345 1234554321
    123456abcdef 123qwe123qwe 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u8i 1qaz2wsx3edc 1qazxsw23edc 9876543210
    aaaaaaaaaa a123456789 abc123456789 abcdefghij abcdefghijk administrator admin12345 admin123456 adminadmin
    asdfghjkl1 asdfghjkl; asdf123456 asdfasdfasdf basketball changeme123 changemenow charlie123 computer123
    football123 iloveyou12 iloveyou123 letmein123 letmeinnow liverpool1 manchester michelle123 mypassword
    passw0rd123 password00 password01 password10 password11 password12 password123 password1234 password12345
    passwordpassword p@ssw0rd123 p@ssword123 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv qwe123qwe123
    qwer123456 qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop1 qwertyuiop123
    qwertyuiop[] secret1234 sunshine123 superman123 test123456 testtesttest trustno1trustno1 welcome123
    welcome1234 zaq12wsxcde3 zxcvbnm123 zxcvbnm,./ zxcvbnmasdfghjkl
"""
_COMMONEST = frozenset(_LEAKED.split())

# 19 MiB, two passes, one lane: OWASP's choice for servers, some 30 ms of one core.
# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def check(password: str, email: str) -> None:
    """Raise `InvalidInput`, which says why, when the account of `email` may not have this password."""
    if len(password) < _SHORTEST:
        raise InvalidInput(f"the password must have at least {_SHORTEST} characters")
    if len(password) > _LONGEST:
        raise InvalidInput(f"the password must have at most {_LONGEST} characters")
    folded = password.strip().casefold()
    if folded == email.casefold():
        raise InvalidInput("the password must not be the e-mail address")
    if folded in _COMMONEST:
        raise InvalidInput("that password is one of the first that are tried; choose another")


class Passwords:
    """Hashes and verifies, at most two at once; whoever else wants to waits, and the loop never does."""

    def __init__(self, hasher: PasswordHasher = _HASHER) -> None:
        self._hasher = hasher
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="passwords")
        # Verified where there is no account, so that the answer takes as long.
        self._nobodys = hasher.hash("nobody's")

    async def hash(self, password: str) -> str:
        """The argon2id hash, with its parameters and a fresh salt."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._hasher.hash, _bytes(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one whose hash was kept; never so, but not sooner, for None."""
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(
            self._threads, self._verify, kept or self._nobodys, _bytes(password)
        )
        return right and kept is not None

    def _verify(self, kept: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """Let the threads end; who still waits for them is told that he is cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _bytes(password: str) -> bytes:
    # The same letters are the same password, however a keyboard composes them; and one character more than
    # the longest can never be right, so no more need be hashed.
    return unicodedata.normalize("NFC", password[: _LONGEST + 1]).encode("utf-8", "surrogatepass")
