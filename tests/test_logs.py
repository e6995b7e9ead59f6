"""Logs: where they go, what is in them, and that they never take anything down with them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import structlog
from tokligenced import logs
logs.configure("info", {form!r})
log = structlog.get_logger()
log.debug("too.little")
log.info("first", number=1)
log.warning("second", text="a\x1b[2Jb")
try:
    secret = "a prompt"
    raise RuntimeError("oops")
except RuntimeError:
    log.exception("third")
print("went on")
"""


def run(form: str, stderr: object = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(form=form)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_pipe_gets_json() -> None:
    """Each event is one line of JSON, in order, and what is below the level is not there."""
    lines = [json.loads(line) for line in run("auto").stderr.splitlines()]
    assert [line["event"] for line in lines] == ["first", "second", "third"]
    assert lines[0]["number"] == 1
    assert "oops" in lines[2]["exception"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str) -> None:
    """Local variables, and with them what users wrote, are in no log."""
    assert "a prompt" not in run(form).stderr.replace('secret = "a prompt"', "")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_log_that_can_t_be_written_stops_nothing(form: str) -> None:
    """On a full disk lines are lost, and the program goes on."""
    with Path("/dev/full").open("w") as full:
        ended = run(form, full)
    assert ended.stdout == "went on\n"
