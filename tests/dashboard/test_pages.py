import ast
import dataclasses
import html
import re
from pathlib import Path

import pytest
from jinja2 import meta

import tokligenced
from tests.dashboard.building import PASSWORD, Browser, Building
from tokligenced import errors
from tokligenced.dashboard import pages
from tokligenced.dashboard.app import ROUTES
from tokligenced.dashboard.pages import Page
from tokligenced.dashboard.rendering import Look, duration, per_million, usd

PAGES = [each for each in vars(pages).values() if isinstance(each, type) and issubclass(each, Page)]
OWN = [
    "/account",
    "/account/keys",
    "/account/usage",
    "/account/requests",
    "/account/billing",
    "/account/settings",
]


async def call(browser: Browser, key: str) -> str:
    """The id of a call that was made and paid for."""
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {key}"}
    async with browser.http.post(
        f"{browser.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert response.status == 200
        return response.headers["x-request-id"]


async def new_key(browser: Browser, **fields: str) -> str:
    """What a key is, as its page shows it once."""
    status, text = await browser.post("/account/keys", name="laptop", **fields)
    assert status == 200, text
    found = re.search(r"<code>(tk-\w{36})</code>", text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("page", [each for each in PAGES if each is not Page], ids=lambda each: each.__name__)
def test_template_uses_only_its_page(page: type[Page]) -> None:
    """A template shows nothing but the fields of its dataclass, and the frame."""
    environment = Look().environment
    assert environment.loader is not None
    source = environment.loader.get_source(environment, page.template)[0]
    used = meta.find_undeclared_variables(environment.parse(source))
    assert used <= {each.name for each in dataclasses.fields(page)} | {"frame", "m"}


def test_no_inline_scripts_or_styles() -> None:
    """No template needs what the content security policy forbids."""
    environment = Look().environment
    assert environment.loader is not None
    for name in environment.list_templates():
        source = environment.loader.get_source(environment, name)[0]
        assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|<script(?! src)|https?://", source), name


@pytest.mark.parametrize(
    "path", ["/", "/models", "/docs", "/docs/clients/codex", "/status", "/sign-in", "/reset"]
)
async def test_public_pages(building: Building, path: str) -> None:
    """Everybody sees the public pages, and a HEAD is answered like a GET."""
    visitor = await building.visitor()
    status, text = await visitor.get(path)
    assert status == 200
    assert text.count("<h1>") == 1
    async with visitor.http.head(building.url + path) as response:
        assert response.status == 200
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]


def test_docs_list_every_error() -> None:
    """A code that a client can be told stands in the reference."""
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.CallError)
    }
    told = {
        str(node.args[0].value)
        for path in Path(tokligenced.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    operators_only = {"usage_disbelieved"}
    environment = Look().environment
    assert environment.loader is not None
    page = environment.loader.get_source(environment, "docs.html")[0]
    assert len(told) > 20
    assert {code for code in told - operators_only if code not in page} == set()


async def test_model_search(building: Building) -> None:
    """The price list is searched by name, and shows names as text whatever is in them."""
    visitor = await building.visitor()
    _, text = await visitor.get("/models?q=DEMO")
    assert "demo-chat" in text
    assert "$2.50" in text
    assert "team/" not in text
    _, text = await visitor.get("/models?q=team")
    assert "team/&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>" not in text
    _, text = await visitor.get("/models?q=%3Cscript%3E")
    assert "No model found" in text
    assert "<script>" not in text


async def test_first_day(building: Building) -> None:
    """Who signs up makes a key, calls with it, and sees the call, its arithmetic and the charge."""
    person = await building.person("new@example.com")
    key = await new_key(person)
    call_id = await call(person, key)
    for path in OWN:
        status, text = await person.get(path)
        assert status == 200, path
        assert key not in text
    _, text = await person.get("/account/requests")
    assert call_id in text
    status, text = await person.get(f"/account/requests/{call_id}")
    assert status == 200
    assert "Charged, rounded up once" in text
    _, text = await person.get("/account/billing")
    assert call_id in text
    assert "welcome" in text
    month = re.search(r"/account/billing/(\d{4}-\d\d)", text)
    assert month is not None
    status, text = await person.get(month[0])
    assert status == 200
    assert "demo-chat" in text
    status, text = await person.get("/account/usage.csv?by=model")
    assert text.splitlines()[1].startswith("demo-chat,1,0,")
    status, text = await person.get("/account/settings/export")
    assert call_id in text
    assert key not in text


async def test_key_form(building: Building) -> None:
    """A key gets the limits of its form; a form that can't be comes back with what was typed."""
    person = await building.person("keys@example.com")
    await new_key(
        person, requests_per_minute="7", spend_cap="1.50", models="demo-chat", expires_at="2999-01-01"
    )
    _, text = await person.get("/account/keys")
    assert "7 requests/min" in text
    assert "cap $1.50" in text
    for field, value in (
        ("requests_per_minute", "-1"),
        ("requests_per_minute", "9" * 400),
        ("spend_cap", "1e9"),
        ("expires_at", "yesterday"),
        ("name", "x" * 10_000),
        ("name", ""),
    ):
        status, text = await person.post("/account/keys", **{"name": "kept", field: value})
        assert status == 400, (field, value)
        assert 'role="alert"' in text


async def test_rotate_and_revoke(building: Building) -> None:
    """A rotated key leaves a new one that is shown once; a revoked one says so."""
    person = await building.person("turn@example.com")
    await new_key(person)
    (key,) = building.assembly.directory.list_keys()
    status, text = await person.post(f"/account/keys/{key.id}/rotate", overlap="24h")
    assert status == 200
    assert "Your new key" in text
    status, text = await person.post(f"/account/keys/{key.id}/revoke")
    assert "The key is revoked." in text
    status, _ = await person.post(f"/account/keys/{key.id}/rotate", overlap="24h")
    assert status == 400


async def test_nothing_of_others(building: Building) -> None:
    """Another's key, call or session is not there, whoever knows its id."""
    owner = await building.person("owner@example.com")
    call_id = await call(owner, await new_key(owner))
    (key,) = building.assembly.directory.list_keys()
    account = building.assembly.directory.account("owner@example.com")
    (session,) = await building.assembly.people.sessions(account.id)
    other = await building.person("other@example.com")
    for path in (f"/account/requests/{call_id}", f"/account/requests?before={call_id}"):
        assert (await other.get(path))[0] == 404
    for path in (
        f"/account/keys/{key.id}/revoke",
        f"/account/keys/{key.id}/rotate",
        f"/account/settings/sessions/{session.id}/end",
    ):
        assert (await other.post(path, overlap="0s"))[0] == 404
    _, text = await other.get(f"/account/requests?key={key.id}")
    assert call_id not in text


async def test_markup_stays_text(building: Building) -> None:
    """What people type is shown as text wherever it comes back."""
    person = await building.person("mark@example.com")
    name = "<script>alert(1)</script>"
    status, text = await person.post("/account/keys", name=name)
    assert status == 200
    assert name not in text
    _, text = await person.get("/account/keys")
    assert html.escape(name) in text


async def test_settings(building: Building) -> None:
    """A password is changed, which signs everybody out; an account is deleted by its password alone."""
    person = await building.person("set@example.com")
    status, _ = await person.post("/account/settings/password", old="wrong password", new="another good one")
    assert status == 400
    status, text = await person.post("/account/settings/password", old=PASSWORD, new="another good one")
    assert "Sign in with the new one" in text
    assert "Sign in" in (await person.get("/account"))[1]
    await person.post("/sign-in", email="set@example.com", password="another good one", next="/account")
    status, text = await person.post("/account/settings/totp")
    assert "<svg" in text
    status, _ = await person.post("/account/settings/delete", password="wrong password")
    assert status == 400
    _, text = await person.post("/account/settings/delete", password="another good one")
    assert "The account is deleted." in text


def test_money_for_people() -> None:
    """Amounts are exact, with two decimal places or more."""
    assert usd(1_234_567_890_000) == "$1,234.56789"
    assert usd(-5) == "-$0.000000005"
    assert per_million(2_500_000) == "$2.50"
    assert duration(None) == "none"
    assert duration(0.0123) == "12 ms"


def test_routes_say_who() -> None:
    """Whatever is under /account, /admin or /organizations is for nobody who is not signed in."""
    for route in ROUTES:
        inside = route.path.startswith(("/account", "/admin", "/organizations"))
        assert inside == (route.who != "anybody"), route.path
