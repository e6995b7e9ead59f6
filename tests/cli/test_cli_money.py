"""Commands on money: what people type, what they see, and the exit codes scripts go by."""

import asyncio
import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.test_cli import CONFIG, Here, daemon, one_line, run
from tokligenced import cli
from tokligenced.store import witness
from tokligenced.store.ledger import Head


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """A configuration whose database is not there yet."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def here(config_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """A way to run commands in this process, with an account and an organization."""
    monkeypatch.setenv("TOKLIGENCED_CONFIG", str(config_path))
    monkeypatch.delenv("TOKLIGENCED_DEBUG", raising=False)
    here = Here(capfd)
    assert here("accounts", "create", "ann@example.com").code == 0
    assert here("orgs", "create", "acme", "--owner", "ann@example.com").code == 0
    return here


def administer(folder: Path, *where: str) -> None:
    """An administrator's round of the books, with and without a daemon."""
    run("accounts", "create", "ann@example.com", *where).json()
    for _ in range(2):
        credited = run(
            "credit",
            "--account",
            "ann@example.com",
            "12.5",
            "--reference",
            "inv-1",
            "--note",
            "spring",
            *where,
        ).json()
        assert credited == {
            "account": "ann@example.com",
            "amount": "12.50",
            "balance": "12.50",
            "held": "0.00",
            "available": "12.50",
            "reference": "inv-1",
        }
    other = run("credit", "--account", "ann@example.com", "13", "--reference", "inv-1", *where)
    assert (other.code, other.out) == (1, "")
    assert one_line(other.err)
    assert "'inv-1' already credited 12.5 USD, not 13" in other.err
    assert run("usage", *where).json()["groups"] == []
    verdict = run("ledger", "verify", *where).json()
    assert (verdict["ok"], verdict["broken"], verdict["entries"]) == (True, [], 1)
    head = verdict["head"]
    assert run("ledger", "verify", "--head", f"{head['seq']}:{head['hash']}", *where).json()["ok"]
    (entry,) = run("ledger", "export", *where).json()
    assert (entry["seq"], entry["amount"], entry["target_name"]) == (1, "12.5", "ann@example.com")
    assert (entry["note"], entry["hash"]) == ("spring", head["hash"])
    target = folder / "copy.db"
    copied = run("backup", str(target), *where).json()
    assert (copied["path"], copied["bytes"]) == (str(target), target.stat().st_size)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT hex(hash) FROM entries").fetchall() == [(head["hash"].upper(),)]
    terms = run("accounts", "set", "ann@example.com", "--unlimited", "--price-factor", "0.8", *where).json()
    assert (terms["unlimited"], terms["price_factor"]) == (True, "0.8")


def test_without_a_daemon(config_path: Path, tmp_path: Path) -> None:
    """Nobody has the database: each command opens it and does its work."""
    administer(tmp_path, "--config", str(config_path), "--json")


async def test_beside_a_daemon(config_path: Path, tmp_path: Path) -> None:
    """A daemon has the database: the same commands say the same."""
    async with daemon(config_path) as server:
        await server.start()
        await asyncio.to_thread(administer, tmp_path, "--config", str(config_path), "--json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["credit", "--account", "ann@example.com", "1"], 2, "--reference"),
        (["credit", "--account", "ann@example.com", "--reference", "r"], 2, "AMOUNT"),
        (["credit", "1", "--reference", "r"], 2, "exactly one of account and org"),
        (["credit", "--account", "bob@example.com", "1", "--reference", "r"], 1, "no account"),
        (
            ["credit", "--account", "ann@example.com", "--reference", "r", "--", "-5"],
            2,
            "must not be negative",
        ),
        (["credit", "--account", "ann@example.com", "--reference", "r", "-5"], 2, "-5"),
        (["credit", "--account", "ann@example.com", "0", "--reference", "r"], 2, "above 0"),
        (["credit", "--account", "ann@example.com", "NaN", "--reference", "r"], 2, "amount"),
        (["credit", "--account", "ann@example.com", "1e3", "--reference", "r"], 2, "amount"),
        (["credit", "--account", "ann@example.com", "0.0000000001", "--reference", "r"], 2, "nano-USD"),
        (
            ["credit", "--account", "ann@example.com", "9223372036.854775808", "--reference", "r"],
            2,
            "too large",
        ),
        (["usage", "--by", "colour"], 2, "--by"),
        (["usage", "--since", "soon"], 2, "since must be a date"),
        (["usage", "--format", "xml"], 2, "--format"),
        (["ledger", "verify", "--head", "1"], 2, "SEQ:HASH"),
        (["ledger"], 2, "Missing command"),
        (["accounts", "set", "ann@example.com"], 2, "nothing to change"),
        (["accounts", "set", "ann@example.com", "--price-factor", "lots"], 2, "price_factor"),
        (["accounts", "set", "bob@example.com", "--limited"], 1, "no account"),
        (["orgs", "set", "acme", "--rpm", "many"], 2, "'many' is neither a number nor none"),
        (["orgs", "set", "acme", "--rpm", "0"], 2, "requests_per_minute"),
        (["orgs", "set", "umbrella", "--rpm", "1"], 1, "no organization"),
        (["backup"], 2, "PATH"),
        (["backup", "/"], 1, "exists already"),
        (["backup", "/nowhere/copy.db"], 3, "/nowhere/copy.db"),
    ],
)
def test_a_no_is_one_line_and_an_exit_code(here: Here, arguments: list[str], code: int, message: str) -> None:
    """1: the answer is no; 2: wrong use; 3: out of reach. The reason is one line on stderr."""
    done = here(*arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err
    assert one_line(done.err)


def test_the_newest_copies_are_kept(here: Here, tmp_path: Path) -> None:
    """With --keep a copy named after the time joins the others, the oldest go, and no other file does."""
    folder = tmp_path / "backups"
    folder.mkdir()
    names = [f"tokligenced-2020010{day}T000000Z.db" for day in range(1, 5)]
    for name in (*names, "tokligenced-mine.db", "a.db"):
        (folder / name).touch()
    done = here("backup", "--keep", "3", str(folder), "--json").json()
    copies = sorted(path.name for path in folder.iterdir())
    assert copies == sorted(["a.db", "tokligenced-mine.db", *names[2:], Path(done["path"]).name])
    assert Path(done["path"]).stat().st_size == done["bytes"] > 0


def test_what_people_see(here: Here) -> None:
    """Without --json there are lines and tables for people."""
    credited = here("credit", "--org", "acme", "1000", "--reference", "r 1")
    assert (
        credited.out == "acme: balance 1000.00 USD, held 0.00, available 1000.00 (reference r 1: 1000.00)\n"
    )
    verified = here("ledger", "verify").out
    head = here("ledger", "verify", "--json").json()["head"]["hash"]
    assert verified == f"ok: 1 entry, 1 payer, 0 open holds, head 1 {head[:16]}\n"
    assert here("accounts", "set", "ann@example.com", "--unlimited").out == (
        "ann@example.com: unlimited, price factor 1\n"
    )
    set_ = here("orgs", "set", "acme", "--rpm", "5", "--tpm", "6", "--concurrency", "7")
    assert set_.out == "acme: limited, price factor 1, rpm 5, tpm 6, concurrency 7\n"
    assert here("orgs", "set", "acme", "--rpm", "none", "--price-factor", "0.75").out == (
        "acme: limited, price factor 0.75, tpm 6, concurrency 7\n"
    )
    header, row = here("orgs", "list").out.splitlines()
    assert header.split() == ["id", "slug", "owner", "unlimited", "price_factor", "limits", "created"]
    assert " 0.75 " in row
    assert "tpm 6, concurrency 7" in row
    created = here("orgs", "create", "new", "--owner", "ann@example.com", "--tpm", "9", "--json").json()
    assert created["limits"] == {"requests_per_minute": None, "tokens_per_minute": 9, "concurrency": None}


def book(path: Path) -> None:
    """Two calls in the file, as plain SQL: this is about how they are shown."""
    with closing(sqlite3.connect(path)) as connection:
        columns = {
            "started_at": "unixepoch() * 1000", "key_id": "'key_1'", "payer_id": "'org_1'",
            "endpoint": "'chat'", "model": "'m, \"1\"'", "stream": "0", "status": "200", "attempts": "1",
            "input": "1234", "cached_input": "1", "cache_write_5m": "0", "cache_write_1h": "0",
            "audio_in": "0", "image_in": "0", "output": "3", "reasoning": "4", "audio_out": "0",
            "image_out": "0", "images": "0", "searches": "0", "estimated": "0", "cost_nano": "0",
            "duration_us": "1",
        }  # fmt: skip
        for id_ in ("'req_1'", "'req_2'"):
            values = ", ".join([id_, *columns.values()])
            connection.execute(f"INSERT INTO calls (id, {', '.join(columns)}) VALUES ({values})")
        connection.commit()


def test_usage_in_every_form(here: Here, config_path: Path) -> None:
    """A table with a total for people; CSV and JSON for programs."""
    book(config_path.with_name("t.db"))
    header, row, total = here("usage").out.splitlines()
    assert header.split() == [
        "model",
        "calls",
        "errors",
        "prompt",
        "cached",
        "completion",
        "reasoning",
        "cost",
    ]
    assert row.split() == ["m,", '"1"', "2", "0", "2,470", "2", "14", "8", "0"]
    assert total.split() == ["total", "2", "0", "2,470", "2", "14", "8", "0"]
    (group,) = csv.DictReader(io.StringIO(here("usage", "--format", "csv").out))
    as_json = here("usage", "--since", "2020-01-01", "--json").json()
    assert as_json == here("usage", "--since", "2020-01-01", "--format", "json").json()
    assert group == {name: str(value) for name, value in as_json["groups"][0].items()}
    assert (group["model"], group["prompt_tokens"]) == ('m, "1"', "2470")
    by_key = list(csv.reader(io.StringIO(here("usage", "--by", "key", "--format", "csv").out)))
    assert by_key[0][:3] == ["key", "prefix", "name"]
    assert by_key[1][:4] == ["key_1", "", "", "2"]
    empty = here("usage", "--since", "2999-01-01", "--by", "day")
    assert [line.split()[0] for line in empty.out.splitlines()] == ["day", "total"]
    assert here("usage", "--since", "2999-01-01", "--format", "csv").out.count("\n") == 1
    for by in ("model", "key", "account", "org", "provider", "day"):
        used = here("usage", "--by", by, "--json").json()
        assert used["by"] == by
        table = here("usage", "--by", by)
        assert (table.code, table.err) == (0, "")


def test_broken_books_are_told_line_by_line(here: Here, config_path: Path) -> None:
    """What is wrong is a line each on stdout, a sum on stderr, and 1; with --json the same as an object."""
    path = config_path.with_name("t.db")
    here("credit", "--org", "acme", "10", "--reference", "r")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE balances SET balance = balance - 1 WHERE owner LIKE 'org_%'")
        connection.execute("UPDATE balances SET balance = balance + 1 WHERE owner = 'operator:house'")
        connection.commit()
    done = here("ledger", "verify")
    assert done.code == 1
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["balance", "balance"]
    assert done.err == "tokligenced: 2 findings\n"
    done = here("ledger", "verify", "--json")
    assert done.code == 1
    assert (json.loads(done.out)["ok"], len(json.loads(done.out)["broken"])) == (False, 2)


def test_a_file_that_went_back_in_time(here: Here, config_path: Path, tmp_path: Path) -> None:
    """An older copy in the database's place is noticed by its witness, and by a head from the log."""
    path = config_path.with_name("t.db")
    here("credit", "--org", "acme", "10", "--reference", "r")
    here("backup", str(tmp_path / "old.db"))
    here("credit", "--org", "acme", "10", "--reference", "s")
    head = here("ledger", "verify", "--json").json()["head"]
    witness.write(witness.path_beside(path), Head(head["seq"], head["hash"]), 1)
    assert here("ledger", "verify").code == 0
    (tmp_path / "old.db").replace(path)
    done = here("ledger", "verify")
    assert done.code == 1
    assert done.out.startswith("the file went back in time: entry 2, seen by t.db.head at 1970-01-01T")
    witness.path_beside(path).unlink()
    assert here("ledger", "verify").code == 0
    assert here("ledger", "verify", "--head", f"2:{head['hash']}").code == 1


def test_exports_are_whole(here: Here) -> None:
    """All entries in order, as CSV with a header or as one JSON array, also when there is none."""
    assert here("ledger", "export", "--json").json() == []
    assert here("ledger", "export").out.startswith("seq,at,kind,source,source_name,target,")
    for number in range(3):
        here("credit", "--org", "acme", "1", "--reference", f"r{number}", "--note", 'a "quoted", note')
    rows = list(csv.DictReader(io.StringIO(here("ledger", "export").out)))
    as_json = here("ledger", "export", "--format", "json").json()
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert rows == [{name: "" if v is None else str(v) for name, v in row.items()} for row in as_json]
    assert rows[0]["note"] == 'a "quoted", note'
    assert (rows[0]["source"], rows[0]["target_name"]) == ("operator:funding", "acme")


def test_a_reader_that_leaves_is_no_error(here: Here) -> None:
    """`ledger export | head` ends without a word on stderr."""
    here("credit", "--org", "acme", "1", "--reference", "r")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "tokligenced", "ledger", "export"],
            stdout=out, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


async def test_a_relative_path_is_of_who_asks(config_path: Path, tmp_path: Path) -> None:
    """A backup beside a daemon goes where the command was typed, not where the daemon works."""
    (tmp_path / "elsewhere").mkdir()
    async with daemon(config_path) as server:
        await server.start()
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tokligenced", "--config", str(config_path), "backup", "copy.db"],
            cwd=tmp_path / "elsewhere", env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path}/elsewhere/copy.db: ")
    assert (tmp_path / "elsewhere" / "copy.db").exists()


def test_a_person_sees_how_far_a_backup_is(config_path: Path, tmp_path: Path) -> None:
    """On a terminal there is a bar while it is copied; the result alone is on stdout."""
    reading, terminal = pty.openpty()
    with os.fdopen(reading, "rb", buffering=0) as screen:
        done = subprocess.run(
            [sys.executable, "-m", "tokligenced", "--config", config_path, "backup", tmp_path / "copy.db"],
            stdout=subprocess.PIPE, stderr=terminal, check=True, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(terminal)
        shown = screen.read(10_000).decode()
    assert "copying" in shown
    assert "100%" in shown
    assert done.stdout.decode().startswith(f"{tmp_path}/copy.db: ")


def test_help_names_every_command(here: Here) -> None:
    """The commands are listed with what they do, and each explains its options."""
    listed = here("--help").out
    for command in ("credit", "usage", "ledger", "backup"):
        assert command in listed
    for words in (["credit"], ["usage"], ["ledger", "verify"], ["ledger", "export"], ["backup"]):
        out = here(*words, "--help").out
        assert "--json" in out
        assert "--config" in out
    assert cli.main(["orgs", "set", "--help"]) == 0
