"""Keys and whom they prove."""

import timeit
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tokligenced.domain import Account, Key, Principal
from tokligenced.errors import Unauthenticated
from tokligenced.gateway import auth

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NOW = 1_800_000_000_000
ACCOUNT = Account(id="acct_1", email="a@example.com", created_at=0)


class StoppedClock:
    """A clock that shows `now` until it is set to something else."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def wall_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


class OneKey:
    """A directory that knows a single key."""

    def __init__(self, plain: str, **settings: int | None) -> None:
        key = Key(
            id="key_1",
            digest=auth.digest(plain),
            prefix=auth.prefix(plain),
            name="one",
            payer_kind="account",
            payer_id=ACCOUNT.id,
            created_at=0,
        )
        self.known = Principal(key=structs.replace(key, **settings), payer=ACCOUNT)
        self.asked = 0

    def principal(self, key_digest: bytes) -> Principal | None:
        self.asked += 1
        return self.known if key_digest == self.known.key.digest else None


def refusal(
    authenticator: auth.Authenticator, authorization: str | None, api_key: str | None = None
) -> Unauthenticated:
    """What the authenticator raises."""
    with pytest.raises(Unauthenticated) as caught:
        authenticator.authenticate(authorization, api_key)
    return caught.value


@pytest.fixture
def plain() -> str:
    """A fresh key."""
    return auth.mint()


@pytest.fixture
def directory(plain: str) -> OneKey:
    """A directory that knows it."""
    return OneKey(plain)


@pytest.fixture
def authenticator(directory: OneKey) -> auth.Authenticator:
    """An authenticator over that directory."""
    return auth.Authenticator(directory, StoppedClock())


def test_a_key_has_the_promised_form(plain: str) -> None:
    """A key is `tk-`, 30 base62 characters, and their CRC-32 as 6 more, most significant first."""
    body, check = plain[3:33], plain[33:]
    number = 0
    for digit in check:
        number = number * 62 + DIGITS.index(digit)
    assert plain.startswith("tk-")
    assert len(plain) == 39
    assert set(body) <= set(DIGITS)
    assert number == zlib.crc32(body.encode())
    assert auth.well_formed(plain)
    assert auth.prefix(plain) == plain[:9]


def test_small_checksums_are_padded() -> None:
    """A checksum with leading zeros still has six characters."""
    bodies = (f"{number:030}" for number in range(10_000_000))
    body = next(body for body in bodies if zlib.crc32(body.encode()) < 62**4)
    number = zlib.crc32(body.encode())
    check = "".join(DIGITS[number // 62**place % 62] for place in range(5, -1, -1))
    assert check.startswith("00")
    assert auth.well_formed(f"tk-{body}{check}")
    assert not auth.well_formed(f"tk-{body}{check[2:]}")


def test_minted_keys_differ() -> None:
    """No key is minted twice, and all digits of base 62 occur."""
    keys = [auth.mint() for _ in range(2000)]
    assert len(set(keys)) == len(keys)
    assert set("".join(key[3:] for key in keys)) == set(DIGITS)


@given(st.integers(0, 38), st.characters())
def test_every_changed_character_is_refused(position: int, character: str) -> None:
    """A key with one character wrong, whichever and wherever, is not well formed."""
    key = auth.mint()
    changed = key[:position] + character + key[position + 1 :]
    assert auth.well_formed(changed) == (changed == key)


def test_every_single_mistyping_of_a_key_is_refused(plain: str) -> None:
    """All 2,196 keys that differ in one base62 character from a key are refused."""
    for position in range(3, 39):
        for digit in DIGITS.replace(plain[position], ""):
            assert not auth.well_formed(plain[:position] + digit + plain[position + 1 :])


@given(st.integers(3, 37))
def test_neighbours_swapped_are_refused(position: int) -> None:
    """Two neighbouring characters in each other's place, the commonest mistyping, are noticed."""
    key = auth.mint()
    swapped = key[:position] + key[position + 1] + key[position] + key[position + 2 :]
    assert auth.well_formed(swapped) == (swapped == key)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """Nothing a header may hold makes the check fail: shortened, lengthened and strange keys are refused."""
    key = auth.mint()
    for candidate in (text, key + text, text + key, "tk-" + text):
        assert auth.well_formed(candidate) == (candidate == key)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_scheme_is_case_insensitive(
    authenticator: auth.Authenticator, directory: OneKey, plain: str, scheme: str
) -> None:
    """RFC 9110: the name of an authentication scheme has no case."""
    assert authenticator.authenticate(f"{scheme} {plain}") is directory.known


def test_x_api_key_is_as_good(authenticator: auth.Authenticator, directory: OneKey, plain: str) -> None:
    """The header of the Messages API proves as much as a bearer token."""
    assert authenticator.authenticate(None, plain) is directory.known


def test_a_bearer_token_that_is_no_key_gives_way(
    authenticator: auth.Authenticator, directory: OneKey, plain: str
) -> None:
    """Clients that send a token of their own beside our key are let in by the key."""
    assert authenticator.authenticate("Bearer sk-ant-something", plain) is directory.known
    assert authenticator.authenticate("Basic dTpw", plain) is directory.known
    assert authenticator.authenticate(f"Bearer {plain}", "sk-ant-something") is directory.known


def test_a_bearer_key_goes_first(authenticator: auth.Authenticator, plain: str) -> None:
    """A wrong key in `Authorization` is not saved by a right one elsewhere."""
    assert refusal(authenticator, f"Bearer {auth.mint()}", plain).code == "invalid_api_key"
    assert refusal(authenticator, "Bearer tk-short", plain).code == "invalid_api_key"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "tk-x", "Bearer\ttk-x"])
@pytest.mark.parametrize("api_key", [None, ""])
def test_no_key_is_told_from_a_wrong_one(
    authenticator: auth.Authenticator, header: str | None, api_key: str | None
) -> None:
    """Who sends no key reads missing_api_key, and how to send one."""
    error = refusal(authenticator, header, api_key)
    assert error.code == "missing_api_key"
    assert "Authorization: Bearer" in error.message


@pytest.mark.parametrize("form", ["Bearer  {}", "Bearer {} ", "Bearer {}\t", "Bearer {}\n", "Bearer \t{}"])
def test_stray_whitespace_is_refused(authenticator: auth.Authenticator, plain: str, form: str) -> None:
    """Between scheme and key there is one space, after the key nothing."""
    assert refusal(authenticator, form.format(plain)).code == "invalid_api_key"
    assert refusal(authenticator, None, f" {plain}").code == "invalid_api_key"


def test_a_mistyped_key_is_refused_without_a_look_up(
    authenticator: auth.Authenticator, directory: OneKey, plain: str
) -> None:
    """The checksum keeps mistyped keys from the directory; unknown ones get there, and read the same."""
    mistyped = refusal(authenticator, f"Bearer {plain[:-1]}{'1' if plain[-1] == '0' else '0'}")
    assert directory.asked == 0
    unknown = refusal(authenticator, f"Bearer {auth.mint()}")
    assert directory.asked == 1
    assert mistyped.code == unknown.code == "invalid_api_key"
    assert mistyped.message == unknown.message


def test_expiry_and_revocation_hold_at_once(plain: str) -> None:
    """From its last millisecond on a key is refused, and so is a revoked one, whatever else is true of it."""
    clock = StoppedClock(NOW - 1)
    expiring = auth.Authenticator(OneKey(plain, expires_at=NOW), clock)
    expiring.authenticate(f"Bearer {plain}")
    clock.now = NOW
    assert refusal(expiring, f"Bearer {plain}").code == "key_expired"
    for settings in ({}, {"expires_at": NOW - 1}):
        revoked = auth.Authenticator(OneKey(plain, revoked_at=NOW, **settings), clock)
        assert refusal(revoked, f"Bearer {plain}").code == "key_revoked"


def test_refusals_have_one_shape(plain: str, authenticator: auth.Authenticator) -> None:
    """Every refusal is a 401 of type authentication_error that repeats nothing of the key."""
    refused = [
        refusal(authenticator, None),
        refusal(authenticator, "Bearer tk-nonsense"),
        refusal(authenticator, f"Bearer {auth.mint()}"),
        refusal(auth.Authenticator(OneKey(plain, expires_at=1), StoppedClock()), f"Bearer {plain}"),
        refusal(auth.Authenticator(OneKey(plain, revoked_at=1), StoppedClock()), f"Bearer {plain}"),
    ]
    for error in refused:
        assert (error.status, error.type) == (401, "authentication_error")
        assert error.param is None
        assert "tk-n" not in error.message
        assert plain[3:9] not in error.message


def test_authentication_is_cheap(authenticator: auth.Authenticator, plain: str) -> None:
    """A good key costs microseconds, for it is proved on every call; the bound allows for a busy machine."""
    header = f"Bearer {plain}"
    fastest = min(timeit.repeat(lambda: authenticator.authenticate(header), number=2000, repeat=5)) / 2000
    assert fastest < 20e-6
