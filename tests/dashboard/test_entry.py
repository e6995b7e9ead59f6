import io
import re

import pytest

from tests.dashboard.building import PASSWORD, Building
from tokligenced.dashboard.security import cookie_name, place_within
from tokligenced.gateway.people import totp

FORMS = ["/sign-in", "/sign-out", "/sign-up", "/account/keys", "/account/settings/delete"]


@pytest.mark.parametrize("path", FORMS)
async def test_other_sites_send_no_forms(building: Building, path: str) -> None:
    """A form of another site, or of who knows where, is refused before it is read."""
    person = await building.person("cross@example.com")
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
        {"Origin": building.url, "Sec-Fetch-Site": "cross-site"},
        {"Origin": building.url, "Sec-Fetch-Site": "same-site"},
    ):
        async with person.http.post(building.url + path, headers=headers) as response:
            assert response.status == 403


async def test_cookie(building: Building) -> None:
    """The session's cookie is no script's business, and is sent with no form of another site."""
    visitor = await building.visitor()
    await building.person("cookie@example.com")
    data = {"email": "cookie@example.com", "password": PASSWORD}
    async with visitor.http.post(
        f"{building.url}/sign-in", data=data, headers={"Origin": building.url}, allow_redirects=False
    ) as response:
        cookie = response.headers["Set-Cookie"]
    assert response.status == 303
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert cookie_name("https://x") == "__Host-tokligenced"


async def test_signing_in(building: Building) -> None:
    """A wrong password is refused in the same words as an unknown address; going on stays on this site."""
    await building.person("in@example.com")
    visitor = await building.visitor()
    answers = [
        await visitor.post("/sign-in", email=email, password="wrong password")
        for email in ("in@example.com", "no@example.com")
    ]
    assert {status for status, _ in answers} == {400}
    assert all("address or the password is wrong" in text for _, text in answers)
    status, text = await visitor.post(
        "/sign-in", email="in@example.com", password=PASSWORD, next="//evil.example/"
    )
    assert status == 200
    assert "<h1>Overview</h1>" in text
    _, text = await visitor.post("/sign-out")
    assert "You are signed out." in text
    _, text = await visitor.get("/account")
    assert "<h1>Sign in</h1>" in text


@pytest.mark.parametrize("place", ["//evil", "/\\evil", "https://evil", "", "javascript:x", "/a\r\nb"])
def test_places_elsewhere(place: str) -> None:
    """Nobody is led to another site."""
    assert place_within(place) == "/account"
    assert place_within("/account/keys?x=1") == "/account/keys?x=1"


async def test_set_up(building: Building) -> None:
    """The link on the console makes the first administrator, once."""
    link = await building.assembly.people.setup_link()
    assert link is not None
    token = link.partition("token=")[2]
    visitor = await building.visitor()
    _, text = await visitor.get(f"/setup?token={token}")
    assert token in text
    status, text = await visitor.post("/setup", token=token, email="root@example.com", password=PASSWORD)
    assert "<h1>Overview</h1>" in text
    assert building.assembly.directory.account("root@example.com").admin
    status, _ = await visitor.post("/setup", token=token, email="two@example.com", password=PASSWORD)
    assert status == 400


async def test_reset(building: Building) -> None:
    """A reset link sets a new password, once."""
    await building.person("lost@example.com")
    account = building.assembly.directory.account("lost@example.com")
    token = (await building.assembly.people.reset_link(account)).partition("token=")[2]
    visitor = await building.visitor()
    _, text = await visitor.post("/reset", token=token, password="a new good one")
    assert "The password is changed." in text
    status, _ = await visitor.post("/reset", token=token, password="a new good one")
    assert status == 400


async def test_bad_forms(building: Building) -> None:
    """A form that is too large or no form at all is refused, and nothing crashes."""
    visitor = await building.visitor()
    headers = {"Origin": building.url, "Content-Type": "application/x-www-form-urlencoded"}
    large = io.BytesIO(b"email=" + b"x" * 3_000_000)
    async with visitor.http.post(f"{building.url}/sign-up", data=large, headers=headers) as response:
        assert response.status == 413
    for email in ("", "nobody", "a\0b@example.com", "<b>@example.com"):
        status, text = await visitor.post("/sign-up", email=email, password=PASSWORD)
        assert status == 400
        assert 'role="alert"' in text
    headers = {"Origin": building.url, "Content-Type": "multipart/form-data"}
    async with visitor.http.post(f"{building.url}/sign-in", data=b"\xff\xfe", headers=headers) as response:
        assert response.status == 400


async def test_files(building: Building) -> None:
    """Style and script are kept by browsers for good: their addresses change with what they hold."""
    visitor = await building.visitor()
    _, text = await visitor.get("/")
    for place in {part.split('"')[0] for part in text.split('="')[1:] if part.startswith("/static/")}:
        async with visitor.http.get(building.url + place) as response:
            assert response.status == 200
            assert "immutable" in response.headers["Cache-Control"]
    assert (await visitor.get("/static/style.css"))[0] == 404


async def test_second_factor(building: Building) -> None:
    """Who has turned codes on is asked for one; a recovery code does, once."""
    person = await building.person("codes@example.com")
    _, text = await person.post("/account/settings/totp")
    found = re.search(r'name="secret" value="(\w+)"', text)
    assert found is not None
    secret = totp.from_text(found[1])
    assert secret is not None
    status, text = await person.post("/account/settings/totp/confirm", secret=found[1], code="nonsense")
    assert status == 400
    code = totp.code(secret, building.assembly.front.clock.wall_ms() // 30_000)
    _, text = await person.post("/account/settings/totp/confirm", secret=found[1], code=code)
    assert "<h1>Recovery codes</h1>" in text
    (codes,) = re.findall(r"<code>([a-z0-9\n-]+)</code>", text)
    visitor = await building.visitor()
    fields = {"email": "codes@example.com", "password": PASSWORD}
    status, text = await visitor.post("/sign-in", **fields)
    assert status == 400
    assert 'name="code"' in text
    _, text = await visitor.post("/sign-in", **fields, code=codes.split()[0])
    assert "<h1>Overview</h1>" in text
    status, text = await visitor.post("/sign-in", **fields, code=codes.split()[0])
    assert status == 400
