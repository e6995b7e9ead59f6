"""`status`, `top` and `grafana` as people see them: pictures of a daemon that says what it is told to."""

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.pictures import STATUS, TOP
from tokligenced import cli, show
from tokligenced.cli import watch

# A command whose daemon is made up: each look finds a call more.
SCRIPT = """
import sys
from tests.cli.pictures import TOP
from tokligenced import cli, perform
looks = 0
def made_up(_config, operation, _parameters, _on_progress):
    global looks
    looks += 1
    assert operation == "top"
    return {**TOP, "calls_running": 1000 + looks}
perform.perform = made_up
sys.exit(cli.main(["top", "--every", "0.2"]))
"""


def pictured(said: dict[str, Any], *, rows: int = 10, width: int = 120) -> str:
    """A frame as text."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(watch.frame(said, rows=rows))
    return out.getvalue()


def changed(**fields: Any) -> dict[str, Any]:
    """The picture with other fields."""
    return deepcopy({**TOP, **fields})


def test_status_is_a_few_lines_and_a_table() -> None:
    """What an operator asks first is there, each in a line of its own."""
    assert show.status_lines(STATUS) == [
        "tokligenced 1.2.3, running, up 2 h 05 min, pid 42",
        "now          3 calls, 2 streams, 2 holds of 0.04 USD",
        "last minute  60 calls, 0 errors, 9,000 tokens, 0.09 USD",
        "today (UTC)  1,234 calls, 1 error, 56,789 tokens, 12.5 USD",
        "ledger       ok, 5 queued, last commit 2030-01-31T14:05:00Z",
        "process      61.4 MB, 30 files, event loop at most 1.5 ms late",
    ]


def test_status_prints_providers_with_their_state(capfd: pytest.CaptureFixture[str]) -> None:
    """Below the lines stands a table: each provider, its state, and what it served today."""
    show.status(STATUS)
    *_, header, openai, azure = capfd.readouterr().out.splitlines()
    assert header.split() == ["provider", "type", "state", "calls", "errors", "tokens", "cost"]
    assert openai.split() == ["openai", "openai", "closed", "1,234", "1", "56,789", "12.5"]
    assert azure.split() == ["azure", "azure", "open", "0", "0", "0", "0"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"state": "draining", "not_ready": ["draining"]}, "1.2.3, draining, up"),
        ({"not_ready": ["ledger_broken"]}, "pid 42, ledger_broken"),
        ({"database": "t.db: the disk is nearly full"}, "the disk is nearly full, 5 queued"),
        ({"ledger": {**STATUS["ledger"], "lost": 3, "last_commit_at": None}}, "3 LOST, last commit -"),
        ({"uptime": 59}, "up 59 s"),
        ({"uptime": 61}, "up 1 min"),
        ({"uptime": 3_600 * 49}, "up 2 days"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], told: str) -> None:
    """Draining, a broken ledger, a full disk and lost writes can be read off the picture."""
    assert told in pictured(changed(**fields))


def test_a_frame_lists_calls_the_oldest_first() -> None:
    """Each call has a line with its key's prefix, model, provider, age and tokens so far."""
    lines = pictured(TOP).splitlines()
    assert lines[6] == "providers    openai closed, azure open"
    assert lines[8].split() == ["id", "key", "endpoint", "model", "provider", "attempts", "age", "tokens"]
    assert lines[9].split()[1:] == ["tk-abcde0", "chat", "vendor/model", "-", "0", "61.0", "s", "0"]
    assert lines[11].split()[1:] == [
        "tk-abcde2", "chat", "stream", "vendor/model", "openai", "2", "59.0", "s", "2,000",
    ]  # fmt: skip


def test_calls_that_do_not_fit_are_counted() -> None:
    """A frame shows as many calls as there is room for, and says how many more there are."""
    lines = pictured(changed(calls_running=1_002), rows=2).splitlines()
    assert lines[-1].rstrip() == "and 1,000 more calls"
    assert "more" not in pictured(TOP)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_breaks_no_line(width: int) -> None:
    """Whatever the width, a frame has as many lines as a wide one, none longer than the terminal."""
    lines = pictured(TOP, width=width).splitlines()
    assert len(lines) == len(pictured(TOP).splitlines())
    assert max(map(len, lines)) <= width


def test_markup_in_a_name_is_text() -> None:
    """A provider or model that looks like markup is shown as it is called."""
    said = changed(calls=[{**TOP["calls"][0], "model": "[red]x[/red]"}], calls_running=1)
    assert "[red]x[/red]" in pictured(said)


def test_without_a_terminal_top_is_one_frame(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the output goes to a pipe there is one whole picture and the end, as JSON if wanted."""
    monkeypatch.setattr(watch, "have_done", lambda _operation, _parameters: TOP)
    assert cli.main(["top"]) == 0
    out = capfd.readouterr().out
    assert out.splitlines() == pictured(TOP, width=show.UNFOLDED).splitlines()
    assert "\x1b" not in out
    assert cli.main(["top", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == TOP


def test_without_a_daemon_there_is_nothing_to_watch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`top` without a daemon ends with 3 and one line."""
    (tmp_path / "c.toml").write_text(f'[database]\npath = "{tmp_path}/t.db"\n')
    assert cli.main(["top", "--config", str(tmp_path / "c.toml")]) == 3
    assert "no daemon answers" in capfd.readouterr().err


@contextmanager
def at_a_terminal() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`top` on a terminal of its own: the process, and our end of the terminal."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=its, stdout=its, stderr=its,
        cwd=Path(__file__).parents[2], env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        start_new_session=True,
    )  # fmt: skip
    os.close(its)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def until_shown(terminal: int, text: bytes) -> bytes:
    """What appears on the terminal until it has this in it."""
    seen = b""
    deadline = time.monotonic() + 20
    while text not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65_536)
    return seen


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_top_goes_on_until_it_is_told_to_stop(key: bytes) -> None:
    """On a terminal the picture is made anew until q or Ctrl-C, which end it as if nothing had been."""
    with at_a_terminal() as (process, terminal):
        until_shown(terminal, b"1,001 calls")
        until_shown(terminal, b"1,003 calls")
        if key == b"q":
            os.write(terminal, key)
        else:
            process.send_signal(2)
        until_shown(terminal, b"\x1b[?1049l")  # back from the alternate screen
        assert process.wait(20) == 0


def test_grafana_prints_a_dashboard(capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed is a dashboard whose panels have ids of their own and lie beside each other."""
    assert cli.main(["grafana"]) == 0
    dashboard = json.loads(capfd.readouterr().out)
    panels = dashboard["panels"]
    assert dashboard["title"] == "tokligenced"
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    squares = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) < 24
