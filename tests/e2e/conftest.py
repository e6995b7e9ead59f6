"""One daemon for all end-to-end tests, and the clients that talk to it."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.agents.witnesses import Missing, installed
from tests.e2e.daemon_process import Daemon, documented_port

JS = Path(__file__).parent / "js"


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon, on the documented port unless something else listens there."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "localhost,127.0.0.1")
        with Daemon(tmp_path_factory.mktemp("daemon"), port=documented_port()) as running:
            yield running


@pytest.fixture(scope="session")
def key(daemon: Daemon) -> str:
    """A key that may do everything."""
    return daemon.new_key()


@pytest.fixture
async def client(daemon: Daemon, key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The OpenAI SDK as users would set it up, without its retries."""
    async with openai.AsyncOpenAI(api_key=key, base_url=daemon.url, max_retries=0) as ready:
        yield ready


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The `openai` package for JavaScript, installed as its lock file says."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed to run the JavaScript example, and are not installed")
    installed, lock = JS / "node_modules" / ".package-lock.json", JS / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        ran = subprocess.run(
            ["npm", "ci", "--prefix", str(JS), "--no-audit", "--no-fund"],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
    return JS / "node_modules"


@pytest.fixture(scope="session")
def agents() -> Path:
    """The folder with the coding agents' programs; a test that needs them is skipped where there are none."""
    try:
        return installed()
    except Missing as reason:
        pytest.skip(str(reason))
