"""README's lines for each client, pasted as they stand there: only key, address and place are put in."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.api.whole_gateway import Gateway, running
from tests.e2e.daemon_process import Daemon, environment
from tests.fakes import FakeUpstream, chat_chunks, events, stream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

CLIENTS = (Path(__file__).parents[2] / "README.md").read_text().split("\n## Clients\n")[1].split("\n## ")[0]
SETTINGS = """
[database]
path = "{folder}/test.db"
[limits]
requests_per_minute = 1000
tokens_per_minute = 10_000_000
[providers.fake]
type = "openai"
base_url = "{url}/v1"
[models."claude-sonnet-4-5"]
context_window = 200_000
max_output_tokens = 64_000
aliases = ["claude-haiku-4-5"]
free = true
deployments = [{{ provider = "fake", model = "m" }}]
"""
PROGRAMS = {
    "OpenAI's SDKs": """\
from openai import OpenAI
print(OpenAI().responses.create(model="claude-3-5-sonnet", input="Hello!").output_text)
""",
    "Anthropic's SDKs": """\
from anthropic import Anthropic
asked = [{"role": "user", "content": "Hello!"}]
told = Anthropic().messages.create(model="claude-3-5-sonnet", max_tokens=99, messages=asked)
print(told.content[0].text)
""",
}
ANSWER = "I am an answer that came a long way."


def pasted(client: str, language: str, *, key: str, address: str) -> str:
    """The lines that stand below a client's name; `address` is the gateway's without `/v1`."""
    block = re.search(
        rf"^\*\*{client}\*\*[^`]*(?:`[^`\n]+`[^`]*)*```{language}\n(.*?)^```$",
        CLIENTS,
        re.MULTILINE | re.DOTALL,
    )
    assert block is not None, f"README has no {language} for {client}"
    return block[1].replace("tk-xxxxxxxxxxxx", key).replace("http://localhost:8081", address)


def exported(lines: str) -> dict[str, str]:
    """The variables that a shell would have after these lines."""
    return dict(re.findall(r"\b([A-Z_]+)=(\S+)", lines))


@pytest.fixture
async def talking(upstream: FakeUpstream, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose upstream streams one answer, whatever it is asked."""
    upstream.serve(stream(*events(*chat_chunks(re.findall(r"\S+ ?", ANSWER)))))
    settings = SETTINGS.format(folder=tmp_path, url=upstream.url)
    async with running(upstream, tmp_path, settings=settings) as gateway:
        yield gateway


async def said(command: list[str], home: Path, **variables: str) -> str:
    """What an agent prints that has nothing but its home and these variables, and no way out."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "localhost,127.0.0.1"}
        | nowhere
        | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_claude_code(talking: Gateway, agents: Path, tmp_path: Path) -> None:
    """Three lines, and it talks."""
    lines = pasted("Claude Code", "sh", key=talking.key, address=talking.url)
    told = await said([str(agents / "claude"), "-p", "Hello!"], tmp_path, **exported(lines))
    assert ANSWER in told


@pytest.mark.parametrize("lists", [False, True])
async def test_codex(talking: Gateway, agents: Path, tmp_path: Path, lists: bool) -> None:
    """Three lines, and it talks; with README's other way to give the key, it knows the gateway's models."""
    lines = pasted("Codex", "toml", key=talking.key, address=talking.url)
    other = re.search(r"With `(auth = .+?)` in the place of `env_key", CLIENTS)
    assert other is not None
    if lists:
        lines = re.sub(r'env_key = "\w+"', other[1], lines)
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(lines)
    command = [str(agents / "codex"), "exec", "--skip-git-repo-check", "Hello!"]
    told = await said(command, tmp_path, TOKLIGENCE_API_KEY=talking.key)
    assert ANSWER in told
    known = home / "models_cache.json"
    assert known.exists() == lists
    if lists:
        (model,) = msgspec.json.decode(known.read_bytes())["models"]
        assert (model["slug"], model["context_window"]) == ("claude-sonnet-4-5", 200_000)


async def test_opencode(talking: Gateway, agents: Path, tmp_path: Path) -> None:
    """One file, and it talks."""
    (tmp_path / "opencode.json").write_text(pasted("opencode", "json", key=talking.key, address=talking.url))
    quiet = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    # At every start it asks for a package of its own, which is kept on this machine too.
    quiet["npm_config_registry"] = "http://127.0.0.1:9/"
    assert ANSWER in await said([str(agents / "opencode"), "run", "Hello!"], tmp_path, **quiet)


@pytest.mark.parametrize("client", sorted(PROGRAMS))
def test_sdks_read_the_environment(daemon: Daemon, key: str, client: str) -> None:
    """Two variables, and no program has to change."""
    address = daemon.url.removesuffix("/v1")
    variables = exported(pasted(client, "sh", key=key, address=address))
    assert printed([sys.executable, "-c", PROGRAMS[client]], **variables).startswith("Hello!")


def test_the_ai_sdk(daemon: Daemon, key: str, node_modules: Path, tmp_path: Path) -> None:
    """The model that these lines make answers."""
    lines = pasted("Vercel's AI SDK", "ts", key=key, address=daemon.url.removesuffix("/v1"))
    asks = "import { generateText } from 'ai';\n"
    prints = "console.log((await generateText({ model, prompt: 'Hello!' })).text);\n"
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "example.mjs").write_text(asks + lines + prints)
    assert printed(["node", str(tmp_path / "example.mjs")]).startswith("Hello!")


def test_langchain(daemon: Daemon, key: str) -> None:
    """The model that these lines make answers."""
    pytest.importorskip("langchain_openai", reason="LangChain is not installed")
    lines = pasted("LangChain", "py", key=key, address=daemon.url.removesuffix("/v1"))
    program = lines + "print(model.invoke('Hello!').text)"
    assert printed([sys.executable, "-c", program]).startswith("Hello!")


def printed(command: list[str], **variables: str) -> str:
    """What a program prints that ends well."""
    done = subprocess.run(
        command, env=environment() | variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
