"""The command line: what people type, what they see, and the exit codes scripts go by."""

import asyncio
import json
import os
import pty
import subprocess
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.pictures import STATUS
from tokligenced import __version__, cli, perform
from tokligenced.api import control
from tokligenced.clock import RandomIds, SystemClock, Tasks
from tokligenced.errors import ConfigError, StoreError
from tokligenced.gateway import auth
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.operations import (
    OPERATIONS,
    Caller,
    Nothing,
    Object,
    Operation,
    Operations,
    Result,
    Services,
)
from tokligenced.store.database import Database

CONFIG = """
[database]
path = "t.db"

[providers.up]
type = "openai"
api_key = { env = "SECRET_OF_A_PROVIDER" }

[models.m]
context_window = 1000
max_output_tokens = 100
free = true
deployments = [{ provider = "up", model = "m" }]
"""


class Done:
    """What a finished command left."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def json(self) -> Any:
        """What it printed, read as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """A configuration whose database is not there yet, and whose provider's secret is nowhere."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def run(*arguments: str, **environ: str) -> Done:
    """Run the command as a process of its own, without a terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOKLIGENCED")}
    done = subprocess.run(
        [sys.executable, "-m", "tokligenced", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Here:
    """Runs commands inside the test's process, which is quicker."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *arguments: str) -> Done:
        """Run one command."""
        code = cli.main(arguments)
        return Done(code, *self._capfd.readouterr())


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """A way to run commands in this process."""
    monkeypatch.delenv("TOKLIGENCED_CONFIG", raising=False)
    monkeypatch.delenv("TOKLIGENCED_DEBUG", raising=False)
    return Here(capfd)


@asynccontextmanager
async def daemon(config_path: Path) -> AsyncIterator[control.ControlServer]:
    """What of a daemon matters here: it has the lock, and a control socket that is not open yet."""
    clock = SystemClock()
    crashes: list[BaseException] = []
    tasks = Tasks(lambda _name, error: crashes.append(error))
    path = config_path.with_name("t.db")
    database = await Database.open(
        path, durability="normal", tasks=tasks, on_lost=lambda _writes, _error: None
    )
    directory = await Directory.load(database, clock=clock, ids=RandomIds(clock))
    ledger = await Ledger.open(database, clock=clock, report=lambda _outcome, _principal: None)

    async def status(_services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        return STATUS

    server = control.ControlServer(
        control.socket_path(path),
        Operations(
            Services(directory=directory, ledger=ledger, database=database, clock=clock),
            {**OPERATIONS, "status": Operation(Nothing, status)},
        ),
        on_failure=lambda _name, error: crashes.append(error),
    )
    try:
        yield server
    finally:
        await server.close()
        await database.close()
        await tasks.close()
    assert not crashes


def one_line(error: str) -> bool:
    """Whether this is one line, for people, and no traceback."""
    return error.startswith("tokligenced: ") and error.endswith("\n") and error.count("\n") == 1


def administer(config_path: Path) -> dict[str, Object | list[Object]]:
    """What an administrator does on a first day; everything that was printed as JSON."""
    said: dict[str, Any] = {}
    where = ("--config", str(config_path), "--json")
    said["account"] = run("accounts", "create", "Ann@Example.com", "--admin", *where).json()
    said["org"] = run("orgs", "create", "acme", "--owner", "ann@example.com", *where).json()
    said["mine"] = run("keys", "create", "--account", "ann@example.com", "--name", "mine", *where).json()
    settings = ("--rpm", "5", "--tpm", "6", "--concurrency", "7", "--models", "b, a")
    ends = ("--expires", "2099-01-31", "--spend-cap", "12.5")
    said["ours"] = run("keys", "create", "--org", "acme", "--name", "ours", *settings, *ends, *where).json()
    said["new"] = run("keys", "rotate", said["mine"]["id"], "--overlap", "24h", *where).json()
    said["revoked"] = run("keys", "revoke", said["new"]["id"], *where).json()
    said["accounts"] = run("accounts", "list", *where).json()
    said["orgs"] = run("orgs", "list", *where).json()
    said["keys"] = run("keys", "list", *where).json()
    return said


def check_first_day(said: dict[str, Any]) -> None:
    """What `administer` must have been told."""
    assert said["account"]["id"].startswith("acct_")
    assert (said["account"]["email"], said["account"]["admin"]) == ("ann@example.com", True)
    assert (said["org"]["slug"], said["org"]["owner"]) == ("acme", "ann@example.com")
    assert auth.well_formed(said["mine"]["key"])
    assert said["mine"]["prefix"] == said["mine"]["key"][:9]
    assert said["mine"]["account"] == "ann@example.com"
    assert said["mine"]["models"] is said["mine"]["expires_at"] is said["mine"]["spend_cap"] is None
    assert said["ours"]["limits"] == {"requests_per_minute": 5, "tokens_per_minute": 6, "concurrency": 7}
    assert (said["ours"]["org"], said["ours"]["models"]) == ("acme", ["a", "b"])
    assert said["ours"]["expires_at"] == "2099-01-31T00:00:00.000Z"
    assert said["ours"]["spend_cap"] == "12.50"
    assert said["new"]["replaces"] == said["mine"]["id"]
    assert said["revoked"]["status"] == "revoked"
    assert said["accounts"] == [said["account"]]
    assert said["orgs"] == [said["org"]]
    assert [key["id"] for key in said["keys"]] == [said[name]["id"] for name in ("mine", "ours", "new")]
    assert [key["status"] for key in said["keys"]] == ["active", "active", "revoked"]
    plain = [said[name]["key"][9:] for name in ("mine", "ours", "new")]
    assert not any(secret in json.dumps(said["keys"]) for secret in plain)


def test_commands_work_without_a_daemon(config_path: Path) -> None:
    """Nobody has the database: each command opens it, does its work, and leaves it to the next."""
    check_first_day(administer(config_path))


async def test_commands_work_beside_a_daemon(config_path: Path) -> None:
    """A daemon has the database: the same commands say the same, and the daemon knows of the change."""
    async with daemon(config_path) as server:
        await server.start()
        check_first_day(await asyncio.to_thread(administer, config_path))


def test_tables_are_for_people(config_path: Path, here: Here) -> None:
    """Without --json lists are tables, whose lines are whole when piped, and names are shown as they are."""
    where = ("--config", str(config_path))
    assert here(*where, "accounts", "create", "ann@example.com").out.startswith(
        "account ann@example.com created: acct_"
    )
    assert here(*where, "orgs", "create", "acme", "--owner", "ann@example.com").out.startswith(
        "organization acme created"
    )
    name = "[red]" + "long " * 18 + "☂"
    created = here(
        *where,
        "keys",
        "create",
        "--org",
        "acme",
        "--name",
        name,
        "--rpm",
        "5",
        "--tpm",
        "7",
        "--expires",
        "2099-01-31",
    )
    assert auth.well_formed(created.out.removesuffix("\n"))
    assert created.err == ""
    header, row = here(*where, "keys", "list").out.splitlines()
    assert header.split() == ["id", "prefix", "name", "payer", "limits", "expires", "status"]
    for shown in ("key_", created.out[:9], name, "org acme", "rpm 5, tpm 7", " 2099-01-31T00:00Z ", "active"):
        assert shown in row
    assert created.out[9:39] not in row
    assert "yes" not in here(*where, "accounts", "list").out
    revoked = here(*where, "keys", "revoke", row.split()[0])
    assert revoked.out == f"key {row.split()[0]} ({name}) is revoked\n"


def test_a_person_is_told_that_a_key_is_shown_once(config_path: Path) -> None:
    """On a terminal the key is alone on stdout, and the note about it on stderr."""
    where = ("--config", str(config_path))
    run("accounts", "create", "ann@example.com", *where)
    command = ["keys", "create", "--account", "ann@example.com", "--name", "mine", *where]
    reading, terminal = pty.openpty()
    with os.fdopen(reading, "rb", buffering=0) as screen:
        done = subprocess.run(
            [sys.executable, "-m", "tokligenced", *command],
            stdout=subprocess.PIPE,
            stderr=terminal,
            check=True,
        )
        os.close(terminal)
        note = screen.read(10_000).decode()
    assert auth.well_formed(done.stdout.decode().removesuffix("\n"))
    assert "only time the key is shown" in note
    assert done.stdout.decode().strip() not in note


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["keys", "revoke", "key_0"], 1, "there is no key 'key_0'"),
        (["keys", "rotate", "key_0"], 1, "there is no key"),
        (["accounts", "create", "ann@example.com"], 1, "already an account"),
        (["orgs", "create", "acme", "--owner", "bob@example.com"], 1, "no account 'bob@example.com'"),
        (["keys", "create", "--org", "acme", "--name", "x"], 1, "no organization 'acme'"),
        (["accounts", "create", "ann"], 2, "not an e-mail address"),
        (["keys", "create", "--name", "x"], 2, "exactly one of account and org"),
        (["keys", "create", "--account", "ann@example.com", "--name", "a\nb"], 2, "name must be"),
        (
            ["keys", "create", "--account", "ann@example.com", "--name", "x", "--rpm", "0"],
            2,
            "requests_per_minute",
        ),
        (["keys", "create", "--account", "ann@example.com", "--name", "x", "--rpm", "many"], 2, "--rpm"),
        (["keys", "create", "--account", "ann@example.com", "--name", "x", "--models", ","], 2, "models"),
        (
            ["keys", "create", "--account", "ann@example.com", "--name", "x", "--expires", "2001-01-01"],
            2,
            "future",
        ),
        (
            ["keys", "create", "--account", "ann@example.com", "--name", "x", "--spend-cap", "lots"],
            2,
            "spend_cap",
        ),
        (["keys", "create", "--account", "ann@example.com"], 2, "--name"),
        (["keys", "rotate", "key_0", "--overlap", "long"], 2, "overlap"),
        (["keys", "lst"], 2, "No such command 'lst'"),
        (["keys"], 2, "Missing command"),
        (["--cnfig", "x"], 2, "No such option"),
        (["keys", "list", "extra"], 2, "extra"),
        (["status"], 3, "no daemon answers"),
        (["reload"], 3, "no daemon answers"),
    ],
)
def test_a_no_is_one_line_and_an_exit_code(
    config_path: Path, here: Here, arguments: list[str], code: int, message: str
) -> None:
    """1: the answer is no; 2: wrong use; 3: out of reach. The reason is one line on stderr."""
    here("--config", str(config_path), "accounts", "create", "ann@example.com")
    done = here("--config", str(config_path), *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert one_line(done.err)


async def test_the_daemon_s_no_has_the_same_exit_code(config_path: Path) -> None:
    """An error that came over the control socket ends a command as if it had happened here."""
    async with daemon(config_path) as server:
        await server.start()
        where = ("--config", str(config_path))
        outcomes = await asyncio.gather(
            asyncio.to_thread(run, "keys", "revoke", "key_0", *where),
            asyncio.to_thread(run, "accounts", "create", "ann", *where),
            asyncio.to_thread(run, "reload", *where),
            asyncio.to_thread(run, "status", *where),
            asyncio.to_thread(run, "status", "--json", *where),
        )
    assert [done.code for done in outcomes] == [1, 2, 2, 0, 0]
    assert all(one_line(done.err) for done in outcomes[:3])
    assert outcomes[3].out.startswith("tokligenced 1.2.3, running")
    assert outcomes[4].json() == STATUS


async def test_a_lock_without_a_socket_is_out_of_reach(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When someone has the database and nobody answers, a command gives up after a while with 3."""
    monkeypatch.setattr(perform, "_PATIENCE", 0.1)
    async with daemon(config_path):
        done = await asyncio.to_thread(here, "--config", str(config_path), "keys", "list")
    assert done.code == 3
    assert one_line(done.err)
    assert "no daemon answers" in done.err


async def test_a_daemon_that_starts_is_waited_for(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that has the lock but does not listen yet is asked again."""
    loop = asyncio.get_running_loop()
    async with daemon(config_path) as server:

        def start(_pause: float) -> None:
            asyncio.run_coroutine_threadsafe(server.start(), loop).result()

        monkeypatch.setattr(perform, "time", types.SimpleNamespace(sleep=start, monotonic=lambda: 0.0))
        done = await asyncio.to_thread(here, "--config", str(config_path), "keys", "list", "--json")
    assert done.json() == []


async def test_a_daemon_that_stops_is_waited_for(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that has the lock and no socket any more: when it has gone, the command does it itself."""
    loop = asyncio.get_running_loop()
    stopping = daemon(config_path)
    await stopping.__aenter__()

    def stop(_pause: float) -> None:
        asyncio.run_coroutine_threadsafe(stopping.__aexit__(None, None, None), loop).result()

    monkeypatch.setattr(perform, "time", types.SimpleNamespace(sleep=stop, monotonic=lambda: 0.0))
    done = await asyncio.to_thread(here, "--config", str(config_path), "keys", "list", "--json")
    assert done.json() == []


def test_two_commands_at_once_do_not_hinder_each_other(config_path: Path) -> None:
    """Of commands that start together each gets its turn, and of equal ones exactly one succeeds."""
    command = [
        sys.executable,
        "-m",
        "tokligenced",
        "accounts",
        "create",
        "ann@example.com",
        "--config",
        config_path,
    ]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [process.communicate(timeout=30)[1].decode() for process in started]
    assert sorted(process.returncode for process in started) == [0, 1, 1], errors


def test_the_configuration_is_found(config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config may stand before or after a command, where the last word counts; else the environment says."""
    for arguments in (
        ["--config", str(config_path), "keys", "list", "--json"],
        ["keys", "list", "--json", "--config", str(config_path)],
        ["--config", "/nowhere", "keys", "list", "--json", "--config", str(config_path)],
    ):
        assert here(*arguments).json() == []
    done = here("keys", "list")
    assert done.code == 2
    assert "/etc/tokligenced/config.toml" in done.err
    monkeypatch.setenv("TOKLIGENCED_CONFIG", str(config_path))
    assert here("keys", "list", "--json").json() == []
    assert here("--config", "/nowhere", "keys", "list", "--json").code == 2


def test_commands_need_no_provider_s_secret(config_path: Path, here: Here) -> None:
    """What a daemon lacks to speak to upstreams does not keep an administrator from the keys."""
    assert here("--config", str(config_path), "keys", "list", "--json").json() == []
    done = here("check", "--config", str(config_path))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"{config_path}: providers.up.api_key")


def test_check_counts_and_warns(config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good configuration is summed up in a line; a warning is shown, the secret that it is about isn't."""
    monkeypatch.setenv("SECRET_OF_A_PROVIDER", "sk-abcdefgh")
    done = here("check", "--config", str(config_path))
    assert (done.code, done.out, done.err) == (0, f"{config_path}: ok, 1 provider, 1 model\n", "")
    config_path.write_text(CONFIG.replace('{ env = "SECRET_OF_A_PROVIDER" }', '{ literal = "sk-ijklmnop" }'))
    done = here("check", "--config", str(config_path))
    assert done.code == 0
    assert done.err.startswith("warning: ")
    assert "sk-" not in done.out + done.err


def test_check_names_every_error(config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error of a configuration is a line of its own: file, dotted path, reason."""
    monkeypatch.setenv("SECRET_OF_A_PROVIDER", "sk-abcdefgh")
    config_path.write_text(CONFIG.replace("free = true", 'price = { input = "abc", output = "1" }\nfoo = 1'))
    done = here("check", "--config", str(config_path))
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 2
    assert f'{config_path}: models."m".price.input: ' in done.err
    assert here("keys", "list", "--config", str(config_path)).code == 2


def test_init_writes_a_configuration_that_is_good(tmp_path: Path, here: Here) -> None:
    """The starter passes `check` as it is; what is there already is never overwritten."""
    path = tmp_path / "new.toml"
    assert here("init", str(path)).code == 0
    text = path.read_text()
    assert here("check", "--config", str(path)).code == 0
    again = here("init", str(path))
    assert again.code == 1
    assert one_line(again.err)
    assert path.read_text() == text
    assert here("init", str(tmp_path / "gone" / "new.toml")).code == 2
    assert here("init").code == 2


def test_a_database_out_of_reach_is_3(config_path: Path, here: Here) -> None:
    """A folder that is not there, or a file that is no database of ours, is said in a line."""
    config_path.with_name("t.db").write_bytes(b"something else entirely" * 1000)
    done = here("keys", "list", "--config", str(config_path))
    assert done.code == 3
    assert one_line(done.err)
    config_path.write_text(CONFIG.replace("t.db", "gone/t.db"))
    done = here("keys", "list", "--config", str(config_path))
    assert done.code == 3
    assert one_line(done.err)


def test_the_unexpected_is_one_line_too(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug ends a command with 1 and a line; the traceback is for who asks for it."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(perform, "perform", fail)
    done = here("keys", "list", "--config", str(config_path))
    assert done.code == 1
    assert one_line(done.err)
    assert "RuntimeError" in done.err
    monkeypatch.setenv("TOKLIGENCED_DEBUG", "1")
    done = here("keys", "list", "--config", str(config_path))
    assert done.code == 1
    assert "Traceback" in done.err


def test_an_interrupted_command_says_nothing_more(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends a command with 130, as shells expect, and without a traceback."""

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(perform, "perform", interrupt)
    done = here("keys", "list", "--config", str(config_path))
    assert done.code == 130
    assert done.err.strip() == ""


def test_without_a_command_the_daemon_runs(
    config_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--config PATH` alone runs the daemon with that file, `demo` its own; what stops them is one line."""
    stand_in = types.ModuleType("tokligenced.daemon")
    started: list[Path] = []

    def run_daemon(path: Path) -> None:
        started.append(path)
        raise StoreError("no database")

    def run_demo() -> None:
        raise ConfigError("demo.toml", "", "bad")

    monkeypatch.setattr(stand_in, "run", run_daemon, raising=False)
    monkeypatch.setattr(stand_in, "demo", run_demo, raising=False)
    monkeypatch.setitem(sys.modules, "tokligenced.daemon", stand_in)
    monkeypatch.setattr("tokligenced.daemon", stand_in, raising=False)
    assert here("--config", str(config_path)).code == 3
    assert started == [config_path]
    assert here("demo").code == 2


def test_version_and_help(here: Here) -> None:
    """The version in a line; help for every command, with the options that all share."""
    assert here("--version").out == f"tokligenced {__version__}\n"
    helped = here("--help")
    assert helped.code == 0
    for command in ("demo", "init", "check", "keys", "accounts", "orgs", "reload", "status", "top"):
        assert command in helped.out
    for group, names in (
        ("keys", "create list revoke rotate"),
        ("accounts", "create list"),
        ("orgs", "create list"),
    ):
        for name in names.split():
            out = here(group, name, "--help").out
            assert "--json" in out
            assert "--config" in out


def test_commands_load_no_web_server(config_path: Path) -> None:
    """Help and administrators' commands are quick: what only the daemon needs is not imported for them."""
    script = (
        "import sys\n"
        "from tokligenced import cli\n"
        "code = cli.main(sys.argv[1:])\n"
        "heavy = {'aiohttp', 'rich', 'uvloop', 'structlog', 'hypothesis'} & set(sys.modules)\n"
        "sys.exit(code or (f'imports {heavy}' if heavy else 0))\n"
    )
    for arguments in (["--help"], ["keys", "list", "--json", "--config", str(config_path)]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
