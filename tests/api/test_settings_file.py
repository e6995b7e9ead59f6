"""What administrators configure lands in their own file, whole or not at all, and secrets never come back."""

import stat
import tomllib
from typing import Any

import pytest

from tests.api.test_admin_api import ask, done
from tests.api.whole_gateway import Gateway
from tests.fakes import FakeUpstream, body, chat_completion

PROVIDER = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-very-secret"}


@pytest.fixture(autouse=True)
def key_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the main file refers to is there when it is read again."""
    monkeypatch.setenv("FAKE_KEY", "sk-secret-of-the-upstream")


def change(path: str, value: Any) -> dict[str, Any]:
    """A change of one value."""
    return {"changes": [{"path": path.split("/"), "value": value}]}


async def test_a_price_is_changed(gateway: Gateway, upstream: FakeUpstream) -> None:
    """The next call costs what was set; the file that owns it is named; taken away, it is as it was."""
    told = await done(gateway, "PATCH", "/config", json=change("models/gpt-4o/price/input", "5.00"))
    assert told == {"reloaded": True, "needs_restart": []}
    usage = {"model": "gpt-4o", "usage": {"input": 1_000_000}}
    assert (await done(gateway, "POST", "/models/cost", json=usage))["cost"] == "5"
    own = gateway.folder / "conf.d" / "90-dashboard.toml"
    sources = (await done(gateway, "GET", "/config"))["sources"]
    assert {"path": 'models."gpt-4o".price.input', "file": str(own)} in sources
    upstream.serve(body(chat_completion()))
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    async with gateway.call(json=request) as response:
        assert response.status == 200
    (newest, *_) = (await done(gateway, "GET", "/audit", params={"subject": "config"}))["data"]
    assert (newest["action"], newest["detail"]["changed"]) == (
        "config.reloaded",
        ["models.gpt-4o.price.input"],
    )
    await done(gateway, "PATCH", "/config", json=change("models/gpt-4o/price/input", None))
    assert (await done(gateway, "POST", "/models/cost", json=usage))["cost"] == "2.5"


async def test_a_secret_goes_in_and_never_out(gateway: Gateway) -> None:
    """It stands alone in a file that only its owner may read; a new one takes the place of the old one."""
    folder = gateway.folder / "conf.d"
    for secret in ("sk-very-secret", "sk-even-more-secret"):
        sent = change("providers/new", PROVIDER | {"api_key": secret})
        assert secret not in str(await done(gateway, "PATCH", "/config", json=sent))
        (file,) = folder.glob("*.key")
        assert file.read_text() == secret
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        own = (folder / "90-dashboard.toml").read_text()
        assert secret not in own
        assert tomllib.loads(own)["providers"]["new"]["api_key"] == {"file": f"conf.d/{file.name}"}
    for path in ("/config", "/providers", "/audit"):
        assert "-secret" not in str(await done(gateway, "GET", path))
    await done(gateway, "PATCH", "/config", json=change("providers/new", None))
    assert list(folder.glob("*.key")) == []


@pytest.mark.parametrize(
    ("path", "value", "status"),
    [
        ("models/gpt-4o/price/input", "-1", 409),
        ("models/gpt-4o/colour", "red", 409),
        ("models/new", {"context_window": 1}, 409),
        ("limits/concurrency", 1.5, 409),
        ("limits/concurrency", [None], 400),
        ("server/listen", "0.0.0.0:80", 400),
        ("database/path", "/tmp/x", 400),
        ("limits", 3, 400),
        ("providers/new", PROVIDER | {"type": "nonsense"}, 409),
        ("providers/new", PROVIDER | {"api_key": "two words"}, 400),
        ("providers/a b", PROVIDER, 400),
        ("providers/..", PROVIDER, 400),
    ],
)
async def test_a_bad_change_changes_nothing(gateway: Gateway, path: str, value: Any, status: int) -> None:
    """It is refused, and neither the files nor what is served are other than before."""
    await done(gateway, "PATCH", "/config", json=change("limits/concurrency", 7))
    folder = gateway.folder / "conf.d"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    sent = change("limits/concurrency", 8)
    sent["changes"] += change(path, value)["changes"]
    answered, told = await ask(gateway, "PATCH", "/config", json=sent)
    assert answered == status, told
    assert "sk-very-secret" not in str(told)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert (await done(gateway, "GET", "/limits"))["defaults"]["concurrency"] == 7
