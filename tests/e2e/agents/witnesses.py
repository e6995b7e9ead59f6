"""Coding agents, each in a home of its own, against a daemon with a scripted upstream behind it.

What drives them, the script of the upstream and the cases lie beside the repository, in `shared/agents`. The
agents are npm packages with native programs inside; nothing is fetched from elsewhere, and where the machine
allows it (root on Linux) they run with loopback as their only network.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

HERE = Path(__file__).parent
DRIVER = Path(__file__).parents[4] / "shared" / "agents"
PROGRAMS = ("claude", "codex", "opencode")
_INSTALL_SECONDS = 300
_RUN_SECONDS = 900


class Missing(Exception):
    """Why the agents can't be run here."""


class Row(msgspec.Struct, frozen=True):
    """How a case ended: whether the agent did its task, and what of its requests a provider would refuse."""

    case: str
    passed: bool = msgspec.field(name="pass")
    violations: dict[str, int]
    upstream_requests: list[str]
    secs: float | None


def installed() -> Path:
    """The folder with the agents' programs, installed as the lock file says. Raises `Missing`."""
    modules = HERE / "node_modules"
    stamp, lock = modules / ".package-lock.json", HERE / "package-lock.json"
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Missing("node and npm are needed to run coding agents, and are not installed")
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        # Not `npm ci`: it refuses a lock that lacks one platform's program, and not all registries have all.
        command = ["npm", "install", "--no-save", "--prefix", str(HERE), "--no-audit", "--no-fund"]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Missing(f"the agents could not be installed within {_INSTALL_SECONDS} s") from None
        if ran.returncode:
            raise Missing(f"the agents could not be installed: {ran.stderr.strip()[-300:]}")
        stamp.touch()
    for program in PROGRAMS:
        started = subprocess.run(
            [str(modules / ".bin" / program), "--version"], capture_output=True, text=True, check=False
        )
        if started.returncode:
            raise Missing(f"{program} does not start here: {started.stderr.strip()[-300:]}")
    return modules / ".bin"


def cases() -> dict[str, str]:
    """Name → line of each case that the gateway's routes can serve. Raises `Missing`."""
    listed = DRIVER / "cases_gateway.txt"
    if not listed.exists():
        raise Missing(f"the agents' cases are not beside the repository, in {'/'.join(DRIVER.parts[-2:])}")
    lines = [line for line in listed.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return {name: line for line in lines for name, client, *_ in [line.split()] if client != "gemini"}


def loopback_only() -> list[str]:
    """What to put before a command to leave it no other network, as far as this machine allows that."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return []
    allowed = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False)
    return [str(DRIVER / "netns.sh")] if allowed.returncode == 0 else []


def run(programs: Path, lines: Iterable[str], folder: Path, *, quiet: bool) -> dict[str, Row]:
    """Run cases one after another; a row for each. The recordings stay in `folder`.

    Raises `AssertionError` where the gateway or the driver itself fails.
    """
    listed, homes = folder / "cases.txt", folder / "homes"
    listed.write_text("\n".join(lines))
    homes.mkdir()
    environment = os.environ | {
        "CLIENTS_BIN": str(programs),
        "SCRATCH": str(homes),
        "TOKLIGENCED_BIN": str(Path(sys.executable).parent / "tokligenced"),
        # Codex's sandbox needs rights that containers often lack, and is not what is tried here.
        "CODEX_SANDBOX": "danger-full-access",
    }
    matrix = [sys.executable, str(DRIVER / "matrix.py"), "--gateway", str(DRIVER / "gateways/tokligenced.sh")]
    ran = subprocess.run(
        [*loopback_only(), *matrix, "--out", str(folder), str(listed)],
        env=environment,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    results = folder / "results.json"
    assert results.exists(), ran.stdout
    return {row.case: row for row in msgspec.json.decode(results.read_bytes(), type=list[Row])}
