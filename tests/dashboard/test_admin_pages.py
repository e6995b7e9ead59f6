import dataclasses
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from jinja2 import meta

from tests.dashboard.building import PASSWORD, Browser, Building
from tests.dashboard.test_pages import call, new_key
from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.admin import charges_nothing
from tokligenced.dashboard.app import ROUTES
from tokligenced.dashboard.pages import NAVIGATION, Page
from tokligenced.dashboard.rendering import Look
from tokligenced.store import audit

PAGES = [each for each in vars(admin_pages).values() if isinstance(each, type) and issubclass(each, Page)]
ENTRANCES = [each.path for each in NAVIGATION if each.who == "admin"]


async def administrator(building: Building) -> Browser:
    """Who runs the gateway, made by the link on the console and signed in."""
    link = await building.assembly.people.setup_link()
    assert link is not None
    browser = await building.visitor()
    token = urlsplit(link).query.removeprefix("token=")
    status, text = await browser.post("/setup", email="root@example.com", password=PASSWORD, token=token)
    assert status == 200, text
    return browser


@pytest.mark.parametrize("page", [each for each in PAGES if each is not Page], ids=lambda each: each.__name__)
def test_template_uses_only_its_page(page: type[Page]) -> None:
    """A template of administrators shows nothing but the fields of its dataclass, and the frame."""
    environment = Look().environment
    assert environment.loader is not None
    source = environment.loader.get_source(environment, page.template)[0]
    used = meta.find_undeclared_variables(environment.parse(source))
    assert used <= {each.name for each in dataclasses.fields(page)} | {"frame", "m", "a"}


async def test_for_administrators_alone(building: Building) -> None:
    """Every page of administrators asks strangers to sign in, and is not there for anybody else."""
    visitor, person = await building.visitor(), await building.person("person@example.com")
    _, text = await person.get("/account")
    assert "/admin" not in text
    for route in ROUTES:
        assert route.path.startswith("/admin") == (route.who == "admin")
        if route.who != "admin":
            continue
        path = route.path.format(id="acct_x", key="key_x", name="demo")
        for browser, expected in ((visitor, "<h1>Sign in"), (person, "Nothing here")):
            ask = browser.get if route.method == "GET" else browser.post
            status, text = await ask(path)
            assert expected in text, path
            assert status == (404 if browser is person else 200), path
            assert "Administration" not in text


async def test_entrances(building: Building) -> None:
    """An administrator is led to every page, and each is there."""
    root = await administrator(building)
    _, text = await root.get("/account")
    assert 'href="/admin"' in text
    for path in ENTRANCES:
        status, text = await root.get(path)
        assert status == 200, path
        assert all(f'href="{each}"' in text for each in ENTRANCES)
        assert text.count("<h1>") == 1


async def test_overview(building: Building) -> None:
    """The overview counts everybody's calls, and the books are examined where it says so."""
    person = await building.person("caller@example.com")
    await call(person, await new_key(person))
    await building.assembly.database.flush()
    root = await administrator(building)
    _, text = await root.get("/admin")
    assert '<td>demo-chat</td><td class="n">1</td>' in text
    assert "available" in text
    assert "Nothing is charged" not in text
    assert "<b>bold" not in text
    status, text = await root.get("/admin/ledger")
    assert status == 200
    assert "The books are right" in text


async def test_accounts_by_page(building: Building) -> None:
    """Accounts are found by a part of their address, and listed a page at a time."""
    root = await administrator(building)
    for number in range(60):
        await building.assembly.directory.create_account(f"p{number}@example.com", actor="test")
    _, text = await root.get("/admin/accounts")
    assert "p48@example.com" in text
    assert "p49@example.com" not in text
    more = re.search(r'href="(/admin/accounts\?after=\w+)"', text)
    assert more is not None
    _, text = await root.get(more[1])
    assert "p49@example.com" in text
    assert "p48@example.com" not in text
    assert "More</a>" not in text
    _, text = await root.get("/admin/accounts?q=P59")
    assert text.count("@example.com</a></td>") == 1
    status, text = await root.get("/admin/accounts?q=%3Cscript%3E")
    assert status == 200
    assert "No account found" in text
    assert "<script>" not in text
    for path in ("/admin/accounts?after=acct_none", "/admin/accounts/acct_none", "/admin/accounts/%3Cb%3E"):
        assert (await root.get(path))[0] == 404, path


async def test_credit(building: Building) -> None:
    """A credit counts once for its reference, however often its form is sent, and bears who gave it."""
    root = await administrator(building)
    await building.person("paid@example.com")
    directory = building.assembly.directory
    account = directory.account("paid@example.com")
    place = f"/admin/accounts/{account.id}"
    _, text = await root.get(place)
    offered = re.search(r'name="reference" type="text" value="(dashboard-\d+)"', text)
    assert offered is not None
    for _ in range(2):
        status, text = await root.post(
            f"{place}/credit", amount="2.50", reference=offered[1], note="<i>thanks</i>"
        )
        assert status == 200
        assert "The credit is in the books" in text
        assert "<dd>$7.50" in text
    actor = directory.account("root@example.com").id
    assert (await root.get(f"/admin/requests?account={account.email}"))[0] == 200
    assert f'href="/admin/audit?subject={account.id}"' in text
    records = await audit.page(building.assembly.database, subject=account.id, before=None, limit=9)
    assert [each.actor for each in records if each.action == "payer.credited"][:1] == [actor]
    for fields in (
        {"amount": "-1"},
        {"amount": "0"},
        {"amount": "1e9"},
        {"amount": "9" * 400},
        {"amount": "<b>1</b>"},
        {"amount": "1", "reference": "x" * 201},
        {"amount": "1", "reference": offered[1]},
        {"amount": "1", "note": "n" * 501},
        {"amount": ""},
    ):
        status, text = await root.post(f"{place}/credit", **{"reference": "new", **fields})
        assert status == 400, fields
        assert 'role="alert"' in text
        assert "<b>" not in text
        assert "<dd>$7.50" in text
    status, _ = await root.post(f"{place}/credit", origin="https://evil.example", amount="1", reference="e")
    assert status == 403
    assert (await root.post("/admin/accounts/acct_none/credit", amount="1", reference="e"))[0] == 404


async def test_terms(building: Building) -> None:
    """An account is served on the terms of its form, and on the old ones when they can't be."""
    root = await administrator(building)
    place = f"/admin/accounts/{building.assembly.directory.account('root@example.com').id}"
    _, text = await root.post(f"{place}/terms", unlimited="yes", price_factor="0.8")
    assert "The terms are changed." in text
    for factor in ("-1", "9" * 400, "<b>", ""):
        status, text = await root.post(f"{place}/terms", unlimited="no", price_factor=factor)
        assert status == 400, factor
        assert "<b>" not in text
    account = building.assembly.directory.account("root@example.com")
    assert account.unlimited
    assert account.price_millionths == 800_000


async def test_revoke_anybodys_key(building: Building) -> None:
    """An administrator revokes a key where its account is shown, and at no other account's place."""
    root = await administrator(building)
    await new_key(await building.person("keys@example.com"))
    directory = building.assembly.directory
    (key,) = directory.list_keys()
    wrong = directory.account("root@example.com").id
    assert (await root.post(f"/admin/accounts/{wrong}/keys/{key.id}/revoke"))[0] == 404
    _, text = await root.post(f"/admin/accounts/{key.payer_id}/keys/{key.id}/revoke")
    assert "The key is revoked." in text
    assert directory.key(key.id).revoked_at is not None


async def test_models(building: Building) -> None:
    """Models are shown with their prices by the million, as text whatever they are called."""
    root = await administrator(building)
    _, text = await root.get("/admin/models")
    assert "input $2.5, cached input $1.25" in text
    assert "output $10" in text
    assert "team/&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<b>bold" not in text
    assert "Nothing is charged" not in text


def test_charges_nothing() -> None:
    """A model is warned of whose price of now is nothing, unless it is said to be free."""
    past = {"current": False, "rates": {"input": "1"}, "tiers": []}
    now = {"current": True, "rates": {}, "tiers": []}
    assert charges_nothing({"free": False, "prices": [past, now]})
    assert not charges_nothing({"free": True, "prices": []})
    assert not charges_nothing({"free": False, "prices": [past | {"current": True}]})


async def test_calculator(building: Building) -> None:
    """What a usage would cost is told line by line, and what can't be counted is refused in words."""
    root = await administrator(building)
    asked = "/admin/models?model=demo-chat"
    status, text = await root.get(f"{asked}&input=1000000&output=500000&price_factor=0.5")
    assert status == 200
    assert "$3.75" in text
    assert "$0<" in (await root.get("/admin/models?model=team/%3Cb%3Ebold%3C/b%3E&input=5"))[1]
    for wrong in (
        "&input=-1",
        "&output=1e9",
        f"&input={'9' * 400}",
        "&images=%3Cb%3E",
        "&price_factor=-1",
        "&at=yesterday",
        "x",
        "%3Cb%3E",
    ):
        status, text = await root.get(asked + wrong)
        assert status == 400, wrong
        assert 'role="alert"' in text
        assert "<b>" not in text


async def test_try_a_provider(building: Building) -> None:
    """What came of a provider's trial stays on the page; one that is not there can't be tried."""
    root = await administrator(building)
    _, text = await root.get("/admin/providers")
    assert "Last trial" not in text
    status, text = await root.post("/admin/providers/demo/test")
    assert status == 200
    assert "The provider was tried." in text
    assert "answered" in text
    assert "Last trial" in (await root.get("/admin/providers"))[1]
    assert (await root.post("/admin/providers/%3Cb%3E/test"))[0] == 404
    assert (await root.post("/admin/providers/demo/test", origin="https://evil.example"))[0] == 403


async def test_everybodys_requests(building: Building) -> None:
    """Everybody's calls are found by who paid, and each is shown with its arithmetic."""
    person = await building.person("caller@example.com")
    call_id = await call(person, await new_key(person))
    root = await administrator(building)
    for query in ("", "?account=caller@example.com&status=200", "?model=demo-chat&provider=demo"):
        status, text = await root.get(f"/admin/requests{query}")
        assert status == 200
        assert call_id in text, query
    for query in ("?status=404", "?account=root@example.com"):
        assert "No requests" in (await root.get(f"/admin/requests{query}"))[1]
    status, text = await root.get(f"/admin/requests/{call_id}")
    assert status == 200
    assert "caller@example.com" in text
    assert "Charged, rounded up once" in text
    assert (await root.get("/admin/requests/req_none"))[0] == 404
    for query in ("?status=-1", f"?status={'9' * 400}", "?account=%3Cb%3E", "?account=a@b.example&org=c"):
        status, text = await root.get(f"/admin/requests{query}")
        assert status == 400, query
        assert 'role="alert"' in text
        assert "<b>" not in text


async def test_requests_by_page(building: Building) -> None:
    """Calls are listed a page at a time, the newest first."""
    person = await building.person("caller@example.com")
    key = await new_key(person)
    made = [await call(person, key) for _ in range(51)]
    root = await administrator(building)
    _, text = await root.get("/admin/requests")
    assert made[1] in text
    assert made[0] not in text
    more = re.search(r'href="(/admin/requests\?after=\w+)"', text)
    assert more is not None
    _, text = await root.get(more[1])
    assert made[0] in text
    assert made[1] not in text


async def test_audit(building: Building) -> None:
    """The trail names who did what, and what people typed stays text there."""
    person = await building.person("owner@example.com")
    await person.post("/account/keys", name="<b>key</b>")
    root = await administrator(building)
    status, text = await root.get("/admin/audit")
    assert status == 200
    assert "owner@example.com" in text
    assert "key.created" in text
    assert "<b>" not in text
    (key,) = building.assembly.directory.list_keys()
    _, text = await root.get(f"/admin/audit?subject={key.id}")
    assert "account.created" not in text
    assert "Nothing recorded" in (await root.get("/admin/audit?subject=%3Cb%3E"))[1]
    for after in ("-1", "x", "9" * 400):
        assert (await root.get(f"/admin/audit?after={after}"))[0] == 400, after


async def test_configuration(building: Building) -> None:
    """Values are shown by the file that owns them; a file that can't be used is refused in words."""
    root = await administrator(building)
    _, text = await root.get("/admin/config")
    assert "providers.demo.type" in text
    _, text = await root.post("/admin/config/reload")
    assert "The configuration is in use." in text
    path = Path(building.assembly.database.path).parent / "config.toml"
    path.write_text(path.read_text() + "\n[<b>]\n")
    status, text = await root.post("/admin/config/reload")
    assert status == 400
    assert 'role="alert"' in text
    assert "<b>" not in text
    assert (await root.get("/models"))[0] == 200
