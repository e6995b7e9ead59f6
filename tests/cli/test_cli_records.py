"""Commands on what is recorded, and on who is in an organization."""

from pathlib import Path

import pytest

from tests.test_cli import CONFIG, Here
from tokligenced import show


@pytest.fixture
def here(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """A way to run commands in this process, with two accounts and an organization of the first."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("TOKLIGENCED_CONFIG", str(path))
    monkeypatch.delenv("TOKLIGENCED_DEBUG", raising=False)
    here = Here(capfd)
    for email in ("ann@example.com", "bob@example.com"):
        assert here("accounts", "create", email).code == 0
    assert here("orgs", "create", "acme", "--owner", "ann@example.com").code == 0
    return here


def test_members_come_and_go(here: Here) -> None:
    """A member is admitted, listed with a role, and dismissed; the last owner stays."""
    assert (
        here("orgs", "admit", "acme", "bob@example.com", "--role", "admin").out == "bob@example.com: admin\n"
    )
    assert here("orgs", "members", "acme", "--json").json() == [
        {"email": "ann@example.com", "role": "owner"},
        {"email": "bob@example.com", "role": "admin"},
    ]
    assert here("orgs", "dismiss", "acme", "bob@example.com").code == 0
    refused = here("orgs", "dismiss", "acme", "ann@example.com")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert [each["email"] for each in here("orgs", "members", "acme", "--json").json()] == ["ann@example.com"]
    assert here("orgs", "admit", "acme", "nobody@example.com").code == 1


def test_the_audit_trail_is_listed(here: Here) -> None:
    """Changes come newest first, a page at a time, with whatever was said of them."""
    page = here("audit", "--limit", "2", "--json").json()
    assert [each["action"] for each in page["data"]] == ["organization.created", "account.created"]
    assert page["has_more"]
    listed = here("audit", "--limit", "2")
    assert "slug acme" in listed.out
    assert "admin no" in listed.out
    last = page["data"][-1]["id"]
    assert listed.err == f"There are more: --after {last}\n"
    rest = here("audit", "--after", str(last), "--json").json()
    assert [each["action"] for each in rest["data"]] == ["account.created"]
    subject = page["data"][0]["subject"]
    about = here("audit", "--subject", subject, "--json").json()
    assert [each["action"] for each in about["data"]] == ["organization.created"]


def test_requests_without_any(here: Here) -> None:
    """A list without calls is a head; what is not there is said in a line."""
    assert here("requests", "list").out.split() == [
        "id", "created", "payer", "model", "provider", "status", "error", "duration_ms", "cost",
    ]  # fmt: skip
    assert here("requests", "list", "--account", "nobody@example.com").code == 1
    missing = here("requests", "show", "req_1")
    assert (missing.code, missing.err) == (1, "tokligenced: there is no request 'req_1'\n")
    assert here("requests", "list", "--limit", "0").code == 2


def test_a_request_is_shown_with_its_price(capfd: pytest.CaptureFixture[str]) -> None:
    """What is known stands in lines, and below them what the price is the sum of."""
    line = {"part": "output", "count": 1_190, "rate": "0.00001", "amount": "0.0119"}
    show.request({"id": "req_1", "error": None, "cost": "0.0119", "usage": {"output": 1}, "lines": [line]})
    assert capfd.readouterr().out.split() == [
        "id:", "req_1", "cost:", "0.0119",
        "part", "count", "rate", "amount",
        "output", "1,190", "0.00001", "0.0119",
    ]  # fmt: skip
    show.request({"id": "req_2", "lines": [], "usage": {}})
    assert capfd.readouterr().out == "id: req_2\n"
