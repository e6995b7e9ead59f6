"""The daemon's life: it starts, reloads, drains, stops, and says clearly why it can't."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.e2e.daemon_process import Daemon, environment, free_port

SLOW = """
[models.slow]
context_window = 8192
max_output_tokens = 1024
free = true
deployments = [{ provider = "demo", model = "slow-100" }]
"""


@pytest.fixture
def own(tmp_path: Path) -> Daemon:
    """A daemon of this test alone, not yet started, with a slow model."""
    made = Daemon(tmp_path, port=free_port())
    made.config.write_text(made.config.read_text() + SLOW)
    return made


def ask(daemon: Daemon, key: str, model: str = "vendor/with-a-slash", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    return httpx.post(
        f"{daemon.url}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=20
    )


def lines(daemon: Daemon, event: str) -> list[dict[str, Any]]:
    """The log's lines of one kind."""
    parsed = [json.loads(line) for line in daemon.log.splitlines()]
    return [line for line in parsed if line["event"] == event]


def until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_one_canonical_line_a_call(own: Daemon) -> None:
    """A call leaves one line with all that matters, and neither prompt, answer nor key."""
    with own:
        key = own.new_key()
        answer = ask(own, key, messages=[{"role": "user", "content": "a secret question"}])
    (line,) = lines(own, "call.finished")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["status"], line["model"], line["provider"]) == (200, "vendor/with-a-slash", "demo")
    assert line["key"] == key[:9]
    assert line["completion_tokens"] > 0
    assert key not in own.log
    assert "secret question" not in own.log
    assert answer.json()["choices"][0]["message"]["content"] not in own.log


@pytest.mark.parametrize("by", ["signal", "command"])
def test_a_reload_swaps_everything_at_once(own: Daemon, by: str) -> None:
    """A new model is there after a reload, by SIGHUP as by command."""
    with own:
        key = own.new_key()
        assert ask(own, key, "fresh").status_code == 400
        own.config.write_text(
            own.config.read_text() + SLOW.replace("slow]", "fresh]").replace("slow-100", "demo")
        )
        if by == "command":
            assert own.command("reload") == {"reloaded": True, "needs_restart": []}
        else:
            own.signal(signal.SIGHUP)
            until(lambda: lines(own, "config.reloaded"), "no reload")
        assert ask(own, key, "fresh").status_code == 200


def test_a_bad_file_changes_nothing(own: Daemon) -> None:
    """A reload of a broken file says what is wrong and leaves the running configuration in place."""
    with own:
        key = own.new_key()
        good = own.config.read_text()
        own.config.write_text(good.replace('price = { input = "3.00"', 'price = { input = "-3.00"'))
        own.signal(signal.SIGHUP)
        until(lambda: lines(own, "config.refused"), "no refusal")
        assert 'models."claude-3-5-sonnet".price.input' in lines(own, "config.refused")[0]["error"]
        assert ask(own, key).status_code == 200
        refused = own.run("reload")
        assert refused.returncode == 2
        assert "price.input" in refused.stderr
        own.config.write_text(good.replace(f":{own.port}", f":{free_port()}", 1))
        assert own.command("reload")["needs_restart"] == ["server.listen"]


def test_a_stop_lets_streams_finish(own: Daemon) -> None:
    """After SIGTERM a running stream comes to its [DONE] while a new call hears 503 with Retry-After."""
    with own:
        key = own.new_key()
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.stream("POST", f"{own.url}/chat/completions", json=body, headers=headers) as stream:
            rest = stream.iter_text()
            next(rest)
            own.signal(signal.SIGTERM)
            until(lambda: lines(own, "daemon.draining"), "no drain")
            refused = ask(own, key)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
            assert "".join(rest).endswith("data: [DONE]\n\n")


def test_a_second_signal_ends_at_once(own: Daemon) -> None:
    """The second SIGTERM cuts what runs with an error event, books it, and ends the process."""
    with own:
        key = own.new_key()
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.stream("POST", f"{own.url}/chat/completions", json=body, headers=headers) as stream:
            rest = stream.iter_text()
            next(rest)
            own.signal(signal.SIGTERM)
            until(lambda: lines(own, "daemon.draining"), "no drain")
            began = time.monotonic()
            own.signal(signal.SIGTERM)
            assert '"code":"shutting_down"' in "".join(rest)
        own.wait()
        assert time.monotonic() - began < 5
    assert lines(own, "call.finished")[0]["error"] == "shutting_down"


def start(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tokligenced", "--config", str(config)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_port_in_use_is_one_line(own: Daemon) -> None:
    """A taken port is named in one line, and the exit code says that it is not the configuration's form."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own.port))
        taken.listen()
        ended = start(own.config)
    assert ended.returncode == 3
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert f"server.listen: 127.0.0.1:{own.port}" in line
    assert "Traceback" not in ended.stderr


def test_a_second_daemon_on_one_database_is_refused(own: Daemon) -> None:
    """Two daemons never write one database."""
    with own:
        ended = start(own.config)
        assert ended.returncode == 3
        assert "Traceback" not in ended.stderr


def test_an_unreadable_database_is_one_line(own: Daemon) -> None:
    """A file that is no database is named, and left as it is."""
    (own.folder / "tokligenced.db").write_text("this is not a database, and long enough to be sure" * 20)
    ended = start(own.config)
    assert ended.returncode == 3
    assert "tokligenced.db" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
