"""Second factors: the codes of RFC 6238, each accepted once, and recovery codes for who lost theirs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.gateway.townhall import PASSWORD, TownHall, opened_hall
from tokligenced.domain import Account
from tokligenced.errors import Conflict, InvalidInput
from tokligenced.gateway.people import SignInRefused, totp


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[TownHall]:
    """The service, on a database of its own."""
    async with opened_hall(tmp_path / "t.db") as hall:
        yield hall


def code(hall: TownHall, secret: str, steps: int = 0) -> str:
    """What an authenticator shows now, or so many half minutes from now."""
    plain = totp.from_text(secret)
    assert plain is not None
    return totp.code(plain, hall.clock.wall_ms() // 30_000 + steps)


async def enrolled(hall: TownHall) -> tuple[Account, str, list[str]]:
    """Bob with a second factor; its secret and the recovery codes."""
    account = await hall.bob()
    offer = await hall.people.begin_totp(account)
    codes = await hall.people.confirm_totp(account, offer.secret, code(hall, offer.secret))
    hall.clock.advance(60)
    return account, offer.secret, codes


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_the_rfc(seconds: int, expected: str) -> None:
    """The test vectors of RFC 6238, appendix B, in their last six digits."""
    assert totp.code(b"12345678901234567890", seconds // 30) == expected
    assert totp.accepted_step(b"12345678901234567890", expected, seconds * 1_000) == seconds // 30


async def test_an_offer_fits_into_authenticators(hall: TownHall) -> None:
    """The URI names issuer and account, and holds the secret; until it is confirmed nothing changes."""
    account = await hall.bob()
    offer = await hall.people.begin_totp(account)
    assert offer.secret.isalnum()
    assert len(offer.secret) == 32
    parts = urlsplit(offer.uri)
    assert (parts.scheme, parts.netloc, parts.path) == (
        "otpauth",
        "totp",
        "/gateway.example%3Abob%40example.com",
    )
    assert parse_qs(parts.query) == {"secret": [offer.secret], "issuer": ["gateway.example"]}
    assert (await hall.people.begin_totp(account)).secret != offer.secret
    assert not await hall.people.has_totp(account)
    assert await hall.sign_in()


async def test_a_factor_is_confirmed_by_its_code(hall: TownHall) -> None:
    """A wrong code, another secret's, or a secret that is none changes nothing; a second is too many."""
    account = await hall.bob()
    offer = await hall.people.begin_totp(account)
    other = await hall.people.begin_totp(account)
    for secret, said in (
        (offer.secret, ""),
        (offer.secret, "abcdef"),
        (offer.secret, code(hall, offer.secret, -3)),
        (offer.secret, code(hall, other.secret)),
        (offer.secret[:-8], code(hall, offer.secret)),
        ("ä", "000000"),
        ("", "000000"),
    ):
        with pytest.raises(InvalidInput):
            await hall.people.confirm_totp(account, secret, said)
    assert not await hall.people.has_totp(account)
    await hall.people.confirm_totp(account, offer.secret, code(hall, offer.secret))
    assert await hall.people.has_totp(account)
    with pytest.raises(Conflict):
        await hall.people.confirm_totp(account, other.secret, code(hall, other.secret))
    assert len(await hall.audited("totp.enabled")) == 1


async def test_signing_in_needs_a_code(hall: TownHall) -> None:
    """Without one it is asked for, which tells that the password was right; a wrong one tells nothing."""
    _, secret, _ = await enrolled(hall)
    for missing in (None, "", "  "):
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in(code=missing)
        assert refused.value.reason == "code_needed"
    with pytest.raises(SignInRefused) as refused:
        await hall.sign_in("not the password", code=code(hall, secret))
    assert refused.value.reason == "wrong"
    assert await hall.filed("SELECT * FROM sessions") == []
    right = code(hall, secret)
    assert await hall.people.viewer(await hall.sign_in(code=f" {right[:3]} {right[3:]} ")) is not None


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_clocks_may_differ_a_little(hall: TownHall, steps: int, good: bool) -> None:
    """The code of the half minute before or after is taken, an older or a later one is not."""
    _, secret, _ = await enrolled(hall)
    hall.clock.advance(600)
    said = code(hall, secret, steps)
    if good:
        assert await hall.sign_in(code=said)
    else:
        with pytest.raises(SignInRefused, match="wrong"):
            await hall.sign_in(code=said)


async def test_a_code_is_taken_once(hall: TownHall) -> None:
    """Neither it nor one before it is of use again, also where both come at once."""
    _, secret, _ = await enrolled(hall)
    said = code(hall, secret)
    results = await asyncio.gather(*[hall.sign_in(code=said) for _ in range(3)], return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1
    for used in (said, code(hall, secret, -1)):
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in(code=used)
        assert refused.value.reason == "wrong_code"
    hall.clock.advance(60)
    assert await hall.sign_in(code=code(hall, secret))


async def test_the_code_that_confirmed_signs_nobody_in(hall: TownHall) -> None:
    """What was typed to confirm the factor has been used, too."""
    account = await hall.bob()
    offer = await hall.people.begin_totp(account)
    said = code(hall, offer.secret)
    await hall.people.confirm_totp(account, offer.secret, said)
    with pytest.raises(SignInRefused, match="used already"):
        await hall.sign_in(code=said)


async def test_codes_cannot_be_guessed(hall: TownHall) -> None:
    """Wrong codes wait like wrong passwords, and asking for the code in between does not help."""
    _, secret, _ = await enrolled(hall)
    right = code(hall, secret)
    wrong = "000000" if right != "000000" else "000001"
    for number in range(5):
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in(code=wrong, address=f"198.51.100.{number}")
        assert refused.value.reason == "wrong_code"
        if number < 4:
            with pytest.raises(SignInRefused) as refused:
                await hall.sign_in(address=f"203.0.113.{number}")
            assert refused.value.reason == "code_needed"
    with pytest.raises(SignInRefused) as refused:
        await hall.sign_in(code=right, address="198.51.100.99")
    assert refused.value.reason == "slow_down"


async def test_recovery_codes_work_once(hall: TownHall) -> None:
    """There are ten; each signs in once, however it is typed, and no file holds one."""
    account, _, codes = await enrolled(hall)
    assert len(set(codes)) == 10
    assert await hall.sign_in(code=codes[0])
    assert await hall.sign_in(code=codes[1].upper().replace("-", " "))
    for used in codes[:2]:
        with pytest.raises(SignInRefused) as refused:
            await hall.sign_in(code=used)
        assert refused.value.reason == "wrong_code"
    assert await hall.filed("SELECT count(*) FROM recovery_codes") == [(8,)]
    assert [row[0] for row in await hall.audited("recovery_code.used")] == [account.id] * 2
    for file in hall.office.services.database.path.parent.iterdir():
        content = file.read_bytes()
        assert not any(each.encode() in content for each in codes), file


async def test_a_factor_ends_by_the_password(hall: TownHall) -> None:
    """A wrong password leaves it; the right one takes it away with its recovery codes, as often as asked."""
    account, _, codes = await enrolled(hall)
    with pytest.raises(InvalidInput, match="the password is wrong"):
        await hall.people.end_totp(account, "not the password")
    assert await hall.people.has_totp(account)
    await hall.people.end_totp(account, PASSWORD)
    await hall.people.end_totp(account, PASSWORD)
    assert not await hall.people.has_totp(account)
    assert len(await hall.audited("totp.disabled")) == 1
    assert await hall.filed("SELECT * FROM recovery_codes") == []
    assert await hall.sign_in(code=codes[0])  # none is needed, so none is looked at
