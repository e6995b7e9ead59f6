import dataclasses
import html
import re

import pytest
from jinja2 import meta

from tests.dashboard.building import PASSWORD, Browser, Building
from tests.dashboard.test_pages import call
from tokligenced.dashboard import organization_pages
from tokligenced.dashboard.pages import Billing, Keys, Page, UsageReport
from tokligenced.dashboard.rendering import Look

PAGES = [
    each for each in vars(organization_pages).values() if isinstance(each, type) and issubclass(each, Page)
]
NASTY = ["<script>alert(1)</script>", "a" * 10_000, "nul\0bell\a@example.com", "", '"><b>x</b>@example.com']


def account_id(building: Building, name: str) -> str:
    """Whose address begins so."""
    return building.assembly.directory.account(f"{name}@example.com").id


async def founded(building: Building) -> tuple[Browser, str]:
    """The owner of a new organization, acme, and its page."""
    owner = await building.person("owner@example.com")
    status, text = await owner.post("/organizations", slug="acme")
    assert status == 200
    assert "The organization is made" in text
    return owner, f"/organizations/{building.assembly.directory.organization('acme').id}"


async def joined(building: Building, owner: Browser, place: str, role: str, name: str = "") -> Browser:
    """Somebody called after their role, taken in by the owner."""
    browser = await building.person(f"{name or role}@example.com")
    status, text = await owner.post(f"{place}/members", email=f"{name or role}@example.com", role=role)
    assert status == 200
    assert "They belong to the organization now" in text
    return browser


@pytest.mark.parametrize(
    "page",
    [each for each in PAGES if each not in (Page, Keys, Billing, UsageReport)],
    ids=lambda each: each.__name__,
)
def test_template_uses_only_its_page(page: type[Page]) -> None:
    """A template of organizations shows nothing but the fields of its dataclass, and the frame."""
    environment = Look().environment
    assert environment.loader is not None
    source = environment.loader.get_source(environment, page.template)[0]
    used = meta.find_undeclared_variables(environment.parse(source))
    assert used <= {each.name for each in dataclasses.fields(page)} | {"frame", "m", "o"}


async def test_founding(building: Building) -> None:
    """Who makes an organization owns it, finds it in the list, and can't take a name twice."""
    owner, place = await founded(building)
    _, text = await owner.get("/organizations")
    assert f'href="{place}"' in text
    assert "owner</span>" in text
    assert 'aria-current="page">Organizations' in text
    status, text = await owner.post("/organizations", slug="acme")
    assert status == 400
    assert "There is already an organization" in text
    other = await building.person("other@example.com")
    _, text = await other.get("/organizations")
    assert "acme" not in text


async def test_members_change(building: Building) -> None:
    """An owner takes people in, gives them other roles and takes them out; each is seen on the page."""
    owner, place = await founded(building)
    member = await joined(building, owner, place, "member")
    of_member = f"{place}/members/{account_id(building, 'member')}"
    status, text = await member.get(place)
    assert status == 200
    assert "Add somebody" not in text
    assert text.count("<summary>") == 1  # to leave
    status, text = await owner.post(f"{of_member}/role", role="admin")
    assert status == 200
    assert "The role is changed" in text
    _, text = await member.get(place)
    assert "Add somebody" in text
    assert not re.search(r"<option[^>]*>owner", text)
    status, text = await owner.post(f"{of_member}/remove")
    assert "They don&#39;t belong" in text
    status, _ = await member.get(place)
    assert status == 404


async def test_leaving(building: Building) -> None:
    """Whoever likes leaves, but for the last owner, who is told why not and stays."""
    owner, place = await founded(building)
    member = await joined(building, owner, place, "member")
    status, text = await member.post(f"{place}/members/{account_id(building, 'member')}/remove")
    assert status == 200
    assert "You have left" in text
    for way in ({"role": "admin"}, {}):
        end = "role" if way else "remove"
        status, text = await owner.post(f"{place}/members/{account_id(building, 'owner')}/{end}", **way)
        assert status == 400
        assert "must keep an owner" in text
    status, _ = await owner.get(place)
    assert status == 200


async def test_roles_hold(building: Building) -> None:
    """A member changes nobody and an admin no owner, whatever they send; nothing changes by trying."""
    owner, place = await founded(building)
    admin = await joined(building, owner, place, "admin")
    member = await joined(building, owner, place, "member")
    await building.person("guest@example.com")
    ids = {name: f"{place}/members/{account_id(building, name)}" for name in ("owner", "admin", "member")}
    refused = [
        (member, f"{place}/members", {"email": "guest@example.com", "role": "member"}),
        (member, f"{place}/members", {"email": "nobody@example.com", "role": "member"}),
        (member, f"{ids['member']}/role", {"role": "owner"}),
        (member, f"{ids['admin']}/remove", {}),
        (admin, f"{place}/members", {"email": "guest@example.com", "role": "owner"}),
        (admin, f"{ids['admin']}/role", {"role": "owner"}),
        (admin, f"{ids['owner']}/role", {"role": "member"}),
        (admin, f"{ids['owner']}/remove", {}),
    ]
    _, before = await owner.get(place)
    for browser, path, fields in refused:
        status, text = await browser.post(path, **fields)
        assert status == 403, path
        assert "Your role does not allow that" in text
    assert await owner.get(place) == (200, before)


async def test_not_there_for_others(building: Building) -> None:
    """To strangers an organization is not there, nor what can be done to it or asked through it."""
    owner, place = await founded(building)
    await joined(building, owner, place, "member")
    stranger, visitor = await building.person("stranger@example.com"), await building.visitor()
    own = f"/organizations/{account_id(building, 'stranger')}"
    of_member = f"{place}/members/{account_id(building, 'member')}"
    for missing in (place, own, "/organizations/org_x", "/organizations/%00"):
        assert (await stranger.get(missing))[0] == 404
    for email in ("member@example.com", "nobody@example.com", "stranger@example.com"):
        assert (await stranger.post(f"{place}/members", email=email, role="member"))[0] == 404
    for end in ("role", "remove"):
        assert (await stranger.post(f"{of_member}/{end}", role="member"))[0] == 404
    stranger_there = f"{place}/members/{account_id(building, 'stranger')}"
    for end in ("role", "remove"):
        assert (await owner.post(f"{stranger_there}/{end}", role="member"))[0] == 404
    _, text = await visitor.get(place)
    assert "<h1>Sign in" in text
    status, _ = await owner.post(f"{place}/members", origin="http://evil.example", email="x", role="member")
    assert status == 403


async def test_wrong_forms(building: Building) -> None:
    """Whatever is typed comes back as text beside what is wrong, and takes nobody in."""
    owner, place = await founded(building)
    await building.person("guest@example.com")
    for typed in NASTY:
        for path, fields in (
            ("/organizations", {"slug": typed}),
            (f"{place}/members", {"email": typed, "role": "member"}),
            (f"{place}/members", {"email": "guest@example.com", "role": typed}),
            (f"{place}/members/{account_id(building, 'owner')}/role", {"role": typed}),
        ):
            status, text = await owner.post(path, **fields)
            assert status == 400, (path, typed[:50])
            assert 'role="alert"' in text
            assert "<script>alert" not in text
            assert "<b>x" not in text
    status, text = await owner.post(f"{place}/members", email="owner@example.com", role="member")
    assert status == 400
    assert "belongs to acme already" in text
    status, text = await owner.post(f"{place}/members", email="late@example.com", role="admin")
    assert "they have to sign up first" in text
    assert 'value="late@example.com"' in html.unescape(text)
    assert re.search(r"<option selected>admin", text)
    _, text = await owner.get(place)
    assert "guest@example.com" not in text


async def test_a_deleted_account_has_left(building: Building) -> None:
    """Who deletes their account is not among the members any more."""
    owner, place = await founded(building)
    member = await joined(building, owner, place, "member")
    await member.post("/account/settings/delete", password=PASSWORD)
    status, text = await owner.get(place)
    assert status == 200
    assert "deleted.invalid" not in text
    assert "member@example.com" not in text


async def test_keys(building: Building) -> None:
    """A key of the organization is shown once, calls at its expense, is rotated and revoked."""
    owner, place = await founded(building)
    admin = await joined(building, owner, place, "admin")
    org = building.assembly.directory.organization("acme")
    assembly = building.assembly
    await assembly.front.ledger.credit(org, 10**9, reference="r1", note=None, actor="cli")
    status, text = await admin.post(f"{place}/keys", name="shared", spend_cap="1.50", concurrency="2")
    assert status == 200
    found = re.search(r"<code>(tk-\w{36})</code>", text)
    assert found is not None
    assert f'href="{place}/keys"' in text
    key = next(each for each in assembly.directory.list_keys() if each.payer_id == org.id)
    await call(admin, found[1])
    assert assembly.front.ledger.balance(org).balance < 10**9
    _, text = await owner.get(f"{place}/keys")
    assert "shared" in text
    assert found[1] not in text
    assert "cap $1.50" in text
    status, text = await owner.post(f"{place}/keys/{key.id}/rotate", overlap="1h")
    assert status == 200
    assert "It is shown only now" in text
    status, text = await owner.post(f"{place}/keys/{key.id}/revoke")
    assert status == 200
    assert "The key is revoked" in text
    status, text = await owner.post(f"{place}/keys/{key.id}/rotate", overlap="1h")
    assert status == 400
    assert 'role="alert"' in text
    _, text = await owner.get("/account/keys")
    assert "shared" not in text


async def test_keys_by_role(building: Building) -> None:
    """A member sees the keys and changes none; to strangers, and by another address, none is there."""
    owner, place = await founded(building)
    member = await joined(building, owner, place, "member")
    stranger = await building.person("stranger@example.com")
    await owner.post(f"{place}/keys", name="shared")
    await owner.post("/account/keys", name="own")
    ids = {each.name: each.id for each in building.assembly.directory.list_keys()}
    of_key = f"{place}/keys/{ids['shared']}"
    _, text = await member.get(f"{place}/keys")
    assert "shared" in text
    assert "<form" not in text.split("<main")[1]
    for browser, expected in ((member, 403), (stranger, 404)):
        assert (await browser.post(f"{place}/keys", name="mine"))[0] == expected
        assert (await browser.post(f"{of_key}/revoke"))[0] == expected
        assert (await browser.post(f"{of_key}/rotate", overlap="0s"))[0] == expected
    assert (await stranger.get(f"{place}/keys"))[0] == 404
    assert (await owner.post(f"{place}/keys/{ids['own']}/revoke"))[0] == 404
    assert (await owner.post(f"/account/keys/{ids['shared']}/revoke"))[0] == 404
    assert all(each.revoked_at is None for each in building.assembly.directory.list_keys())
    assert len(ids) == 2


async def test_wrong_keys(building: Building) -> None:
    """What a key can't be is told at the form as text, and makes none."""
    owner, place = await founded(building)
    for typed in ("a" * 10_000, "nul\0bell\a", "", "line\nline"):
        assert (await owner.post(f"{place}/keys", name=typed))[0] == 400
    for field in ("expires_at", "spend_cap", "concurrency"):
        for typed in NASTY[:3]:
            status, text = await owner.post(f"{place}/keys", name="k", **{field: typed})
            assert status == 400, field
            assert 'role="alert"' in text
            assert "<script>alert" not in text
    assert building.assembly.directory.list_keys() == []
    await owner.post(f"{place}/keys", name=NASTY[0])
    _, text = await owner.get(f"{place}/keys")
    assert html.escape(NASTY[0]) in text


async def test_usage_and_money(building: Building) -> None:
    """Whoever is in the organization sees its use, by key as well, and its money; strangers see neither."""
    owner, place = await founded(building)
    member = await joined(building, owner, place, "member")
    stranger = await building.person("stranger@example.com")
    org = building.assembly.directory.organization("acme")
    ledger = building.assembly.front.ledger
    await ledger.credit(org, 10**9, reference="<b>r1</b>", note="<i>gift</i>", actor="cli")
    _, text = await owner.post(f"{place}/keys", name="<u>shared")
    found = re.search(r"<code>(tk-\w{36})</code>", text)
    assert found is not None
    call_id = await call(owner, found[1])
    _, text = await member.get(f"{place}/usage?by=key&days=7")
    assert "&lt;u&gt;shared" in text
    assert f'action="{place}/usage"' in text
    assert f'href="{place}/usage.csv?by=key' in text
    _, text = await member.get(f"{place}/usage.csv?by=model")
    assert "demo-chat,1,0," in text
    _, text = await member.get(f"{place}/billing")
    assert "+$1.00" in text
    assert "&lt;b&gt;r1" in text
    assert "&lt;i&gt;gift" in text
    assert call_id not in text
    for part in ("usage", "usage.csv", "billing"):
        assert (await stranger.get(f"{place}/{part}"))[0] == 404
    for nonsense in ("?before=%00", "?before=" + "9" * 8_000, "?by=%3Cscript%3E&metric=x&days=-1"):
        for part in ("usage", "billing"):
            assert (await member.get(f"{place}/{part}{nonsense}"))[0] in (200, 400)
    _, text = await owner.get("/account/usage?by=key")
    assert "shared" not in text
