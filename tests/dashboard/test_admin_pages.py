import dataclasses
from urllib.parse import urlsplit

import pytest
from jinja2 import meta

from tests.dashboard.building import PASSWORD, Browser, Building
from tests.dashboard.test_pages import call, new_key
from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.app import ROUTES
from tokligenced.dashboard.pages import NAVIGATION, Page
from tokligenced.dashboard.rendering import Look

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
