"""What administrators' programs can do over HTTP, and who may."""

from typing import Any

import pytest

from tests.api.whole_gateway import Gateway
from tests.fakes import STALL, FakeUpstream, body, chat_completion, stream
from tests.fakes import error as failing
from tokligenced.gateway import serving

REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


async def ask(
    gateway: Gateway,
    method: str,
    path: str,
    key: str | None = None,
    *,
    headers: dict[str, str] | None = None,
    **arguments: Any,
) -> tuple[int, Any]:
    """(status, JSON) of an administrator's request; without a key it counts that it comes from here."""
    sent = {**(headers or {}), **({"Authorization": f"Bearer {key}"} if key else {})}
    async with gateway.http.request(
        method, f"{gateway.url}/api/admin{path}", headers=sent, **arguments
    ) as response:
        return response.status, await response.json()


async def done(gateway: Gateway, method: str, path: str, **arguments: Any) -> Any:
    """What is answered to a request that must succeed."""
    status, told = await ask(gateway, method, path, **arguments)
    assert status in {200, 201}, told
    return told


async def root(gateway: Gateway) -> str:
    """A key of an administrator."""
    directory = gateway.assembly.directory
    account = await directory.create_account("root@example.com", admin=True, actor="test")
    return (await directory.create_key(account, name="root", actor="test"))[1]


# Who may.


async def test_roles_hold(gateway: Gateway) -> None:
    """An administrator's key opens everything, another's is known and refused, a wrong one is nobody's."""
    assert (await ask(gateway, "GET", "/accounts", await root(gateway)))[0] == 200
    status, told = await ask(gateway, "GET", "/accounts", gateway.key)
    assert (status, told["error"]["code"]) == (403, "not_an_administrator")
    status, told = await ask(gateway, "GET", "/accounts", "tk-nonsense")
    assert (status, told["error"]["code"]) == (401, "invalid_api_key")


async def test_an_organizations_key_is_no_administrators(gateway: Gateway) -> None:
    """Not even that of an organization whose owner is an administrator: it is for its members."""
    await root(gateway)
    directory = gateway.assembly.directory
    org = await directory.create_organization("acme", owner_email="root@example.com", actor="test")
    _, key = await directory.create_key(org, name="ours", actor="test")
    assert (await ask(gateway, "GET", "/accounts", key))[0] == 403


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_a_proxy_on_the_machine_is_not_the_machine(gateway: Gateway, header: str) -> None:
    """What comes by way of a proxy needs a key."""
    status, told = await ask(gateway, "GET", "/accounts", headers={header: "203.0.113.7"})
    assert (status, told["error"]["code"]) == (401, "missing_api_key")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "evil.example:8081"},
        {"Host": "evil.example"},
        {"Host": ""},
    ],
)
async def test_a_web_page_is_not_the_machine(gateway: Gateway, headers: dict[str, str]) -> None:
    """A browser on the machine can't be used by a page, not even by one whose name leads here."""
    for method in ("GET", "POST"):
        status, told = await ask(gateway, method, "/accounts", headers=headers)
        assert (status, told["error"]["code"]) == (403, "foreign_origin")


async def test_who_did_it_is_recorded(gateway: Gateway) -> None:
    """The audit names the administrator's account, or that it was done on the machine."""
    key = await root(gateway)
    await ask(gateway, "POST", "/accounts", key, json={"email": "b@example.com"})
    await done(gateway, "POST", "/accounts", json={"email": "c@example.com"})
    records = (await done(gateway, "GET", "/audit", params={"limit": "2"}))["data"]
    account = gateway.assembly.directory.account("root@example.com")
    assert [(each["actor"], each["action"], each["detail"]["email"]) for each in records] == [
        ("local", "account.created", "c@example.com"),
        (account.id, "account.created", "b@example.com"),
    ]
    about = await done(gateway, "GET", "/audit", params={"subject": records[0]["subject"]})
    assert about["data"] == records[:1]


# What they do.


async def test_an_accounts_life(gateway: Gateway) -> None:
    """Created once, credited, set, found; what isn't there is 404, what is there already 409."""
    made = await done(gateway, "POST", "/accounts", json={"email": "B@example.com"})
    assert (made["email"], made["admin"]) == ("b@example.com", False)
    status, told = await ask(gateway, "POST", "/accounts", json={"email": "b@example.com"})
    assert (status, told["error"]["code"]) == (409, "conflict")
    for _ in range(2):
        credit = {"account": "b@example.com", "amount": "12.50", "reference": "inv-1"}
        assert (await done(gateway, "POST", "/credits", json=credit))["balance"] == "12.50"
    changed = await done(gateway, "PATCH", "/accounts/b@example.com", json={"price_factor": "0.8"})
    assert changed == made | {"price_factor": "0.8"}
    shown = await done(gateway, "GET", "/accounts/b@example.com")
    assert shown == {**changed, "balance": "12.50", "held": "0.00", "available": "12.50"}
    for method, path in (("GET", "/accounts/x@example.com"), ("PATCH", "/accounts/x@example.com")):
        status, told = await ask(gateway, method, path, **({"json": {}} if method == "PATCH" else {}))
        assert (status, told["error"]["code"]) == (404, "not_found")


async def test_organizations_and_keys(gateway: Gateway) -> None:
    """An organization gets limits and a key; the key is told once, rotated and revoked."""
    await done(gateway, "POST", "/orgs", json={"slug": "acme", "owner": "a@example.com"})
    org = await done(gateway, "PATCH", "/orgs/acme", json={"limits": {"concurrency": 3}})
    assert org["limits"]["concurrency"] == 3
    assert (await done(gateway, "GET", "/orgs/acme"))["balance"] == "0.00"
    await done(gateway, "POST", "/accounts", json={"email": "b@example.com"})
    await done(gateway, "POST", "/orgs/acme/members", json={"email": "b@example.com", "role": "admin"})
    people = (await done(gateway, "GET", "/orgs/acme/members"))["data"]
    assert [(each["email"][0], each["role"]) for each in people] == [("a", "owner"), ("b", "admin")]
    status, _ = await ask(gateway, "POST", "/orgs/acme/members/remove", json={"email": "a@example.com"})
    assert status == 409
    key = await done(gateway, "POST", "/keys", json={"org": "acme", "name": "ci", "spend_cap": "5"})
    assert key["key"].startswith("tk-")
    limits = await done(gateway, "GET", "/limits")
    assert [each["org"] for each in limits["orgs"]] == ["acme"]
    assert limits["defaults"]["concurrency"] == 100
    shown = await done(gateway, "GET", f"/keys/{key['id']}")
    assert "key" not in shown
    assert (shown["spent"], shown["spend_cap"]) == ("0.00", "5.00")
    new = await done(gateway, "POST", f"/keys/{key['id']}/rotate", json={"overlap": "1h"})
    assert new["replaces"] == key["id"]
    revoked = await done(gateway, "POST", f"/keys/{new['id']}/revoke")
    assert revoked["status"] == "revoked"
    async with gateway.get("/v1/key", headers={"Authorization": f"Bearer {new['key']}"}) as response:
        assert (await response.json())["error"]["code"] == "key_revoked"
    status, _ = await ask(gateway, "POST", f"/keys/{new['id']}/rotate", json={})
    assert status == 409


async def test_lists_come_page_by_page(gateway: Gateway) -> None:
    """However small the pages, together they are the list, in order; nobody's id begins none."""
    for number in range(5):
        await done(gateway, "POST", "/accounts", json={"email": f"n{number}@example.com"})
    whole = (await done(gateway, "GET", "/accounts"))["data"]
    seen: list[Any] = []
    more = True
    while more:
        params = {"limit": "2", **({"after": seen[-1]["id"]} if seen else {})}
        page = await done(gateway, "GET", "/accounts", params=params)
        seen += page["data"]
        more = page["has_more"]
    assert seen == whole
    assert len(seen) == 6
    for wrong in ("after=acct_x", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "colour=red"):
        status, told = await ask(gateway, "GET", f"/accounts?{wrong}")
        assert (status, told["error"]["code"]) == (400, "invalid_value")


async def test_calls_are_found(gateway: Gateway, upstream: FakeUpstream) -> None:
    """Every call is listed with its payer, newest first, page by page; one is shown with its arithmetic."""
    upstream.serve(body(chat_completion()))
    for _ in range(3):
        async with gateway.call(json=REQUEST) as response:
            assert response.status == 200
    page = await done(gateway, "GET", "/requests", params={"limit": "2"})
    assert page["has_more"]
    rest = await done(gateway, "GET", "/requests", params={"after": page["data"][-1]["id"]})
    ids = [each["id"] for each in (*page["data"], *rest["data"])]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 3
    assert not rest["has_more"]
    one = await done(gateway, "GET", f"/requests/{ids[0]}")
    assert one["account"] == "a@example.com"
    assert {line["part"] for line in one["lines"]} >= {"input", "output"}
    for params, count in (
        ({"model": "gpt-4o", "status": "200"}, 3),
        ({"account": "a@example.com", "provider": "fake"}, 3),
        ({"status": "503"}, 0),
        ({"key": "key_x"}, 0),
        ({"after": "req_x"}, 0),
    ):
        assert len((await done(gateway, "GET", "/requests", params=params))["data"]) == count
    assert (await ask(gateway, "GET", "/requests/req_x"))[0] == 404
    assert (await ask(gateway, "GET", "/requests?account=x@example.com"))[0] == 404
    used = await done(gateway, "GET", "/usage", params={"by": "account"})
    assert used["groups"][0]["calls"] == used["total"]["calls"] == 3


async def test_the_books(gateway: Gateway, upstream: FakeUpstream) -> None:
    """They are proved right, and their entries are told in order."""
    upstream.serve(body(chat_completion()))
    async with gateway.call(json=REQUEST) as response:
        assert response.status == 200
    await gateway.assembly.database.flush()
    verdict = await done(gateway, "GET", "/ledger/verify")
    assert (verdict["ok"], verdict["broken"], verdict["entries"]) == (True, [], 2)
    first = await done(gateway, "GET", "/ledger/entries", params={"limit": "1"})
    second = await done(gateway, "GET", "/ledger/entries", params={"after": "1"})
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert [each["kind"] for each in (*first["data"], *second["data"])] == ["credit", "charge"]
    assert first["data"][0]["target_name"] == "a@example.com"


async def test_models_and_what_they_cost(gateway: Gateway) -> None:
    """Prices stand beside deployments, and a usage is calculated as a call would be."""
    models = (await done(gateway, "GET", "/models"))["data"]
    first = models[0]
    assert first["id"] == "gpt-4o"
    assert first["prices"][0]["rates"]["output"] == "0.00001"
    asked = {"model": "gpt", "usage": {"input": 1_000, "output": 100}, "price_factor": "0.5"}
    told = await done(gateway, "POST", "/models/cost", json=asked)
    assert (told["model"], told["cost"]) == ("gpt-4o", "0.00175")
    assert [(line["part"], line["amount"]) for line in told["lines"]] == [
        ("input", "0.0025"),
        ("output", "0.001"),
    ]
    free = await done(gateway, "POST", "/models/cost", json={"model": "unreachable", "usage": {"input": 9}})
    assert (free["lines"], free["cost"]) == ([], "0")
    assert (await ask(gateway, "POST", "/models/cost", json={"model": "x", "usage": {}}))[0] == 404


async def test_providers_are_tried(gateway: Gateway, upstream: FakeUpstream) -> None:
    """One tiny call tells whether a provider works; no secret shows, and nothing is booked."""
    upstream.serve(body(chat_completion("OK")), failing(401, "key sk-secret-of-the-upstream is wrong"))
    shown = (await done(gateway, "GET", "/providers"))["data"]
    assert "sk-secret" not in str(shown)
    assert [(each["id"], each["state"], each["has_key"]) for each in shown] == [
        ("fake", "closed", True),
        ("second", "closed", False),
        ("nowhere", "closed", False),
    ]
    good = await done(gateway, "POST", "/providers/fake/test")
    assert (good["ok"], good["error"], good["model"]) == (True, None, "gpt-4o")
    bad = await done(gateway, "POST", "/providers/fake/test")
    assert bad["ok"] is False
    assert "sk-secret" not in bad["error"]
    assert (await done(gateway, "POST", "/providers/nowhere/test"))["ok"] is False
    assert (await ask(gateway, "POST", "/providers/x/test"))[0] == 404
    assert await gateway.rows() == []


async def test_a_trial_does_not_wait_for_ever(
    gateway: Gateway, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that says nothing is given up, and that is what is told."""
    monkeypatch.setattr(serving, "_PATIENCE", 0.05)
    upstream.serve(stream(STALL))
    told = await done(gateway, "POST", "/providers/fake/test")
    assert (told["ok"], told["error"]) == (False, "There was no whole answer within 0 s.")


async def test_configuration_and_reload(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value's file is named, a good change is taken over, a bad one refused and named."""
    monkeypatch.setenv("FAKE_KEY", "sk-other")
    path = gateway.folder / "config.toml"
    shown = await done(gateway, "GET", "/config")
    assert {"path": "limits.concurrency", "file": str(path)} in shown["sources"]
    assert "sk-" not in str(shown)
    path.write_text(path.read_text() + '[log]\nlevel = "error"\n')
    assert await done(gateway, "POST", "/config/reload") == {"reloaded": True, "needs_restart": ["log.level"]}
    assert (await done(gateway, "GET", "/config"))["needs_restart"] == ["log.level"]
    path.write_text(path.read_text() + "colour = 1\n")
    status, told = await ask(gateway, "POST", "/config/reload")
    assert (status, told["error"]["code"]) == (409, "invalid_config")
    assert "log.colour" in told["error"]["message"]
    assert (await done(gateway, "GET", "/status"))["state"] == "running"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"", 400),
        (b'"x"', 400),
        (b"[" * 50_000, 400),
        (b'{"email": "\xff@example.com"}', 400),
        (b'{"email": "<script>@example.com"}', 400),
        (b'{"email": 1}', 400),
        (b'{"email": "b@example.com", "colour": "red"}', 400),
        (b'{"email": "' + b"a" * 70_000 + b'"}', 413),
    ],
)
async def test_what_is_no_request(gateway: Gateway, sent: bytes, status: int) -> None:
    """A body that can't be is refused in the API's form, and nothing is done."""
    headers = {"Content-Type": "application/json"}
    answered, told = await ask(gateway, "POST", "/accounts", data=sent, headers=headers)
    assert answered == status
    assert set(told["error"]) >= {"message", "type", "code"}
    assert len(gateway.assembly.directory.list_accounts()) == 1


async def test_forms_are_not_taken(gateway: Gateway) -> None:
    """Only JSON is: a form in a page can't send that."""
    status, _ = await ask(gateway, "POST", "/accounts", data={"email": "b@example.com"})
    assert status == 415


async def test_other_methods_and_paths(gateway: Gateway) -> None:
    """A path's other methods are 405, an unknown path is 404, both as JSON; a value stands in one place."""
    status, told = await ask(gateway, "DELETE", "/accounts")
    assert (status, told["error"]["code"]) == (405, "method_not_allowed")
    assert (await ask(gateway, "GET", "/nothing"))[0] == 404
    status, _ = await ask(gateway, "PATCH", "/accounts/a@example.com", json={"email": "a@example.com"})
    assert status == 400
