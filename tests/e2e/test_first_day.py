"""The examples of the documentation, as they stand there: only the key is put in.

Where the documented port is taken on this machine, the port is replaced too.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.daemon_process import Daemon, environment

pytestmark = pytest.mark.e2e

PYTHON = """\
from openai import OpenAI

client = OpenAI(
    api_key="tk-xxxxxxxxxxxx",  # Your Tokligence API key
    base_url="http://localhost:8081/v1"
)

response = client.chat.completions.create(
    model="claude-3-5-sonnet",  # Check /models for available models
    messages=[
        {"role": "user", "content": "Hello!"}
    ]
)

print(response.choices[0].message.content)
"""

PYTHON_STREAMING = """\
from openai import OpenAI

client = OpenAI(
    api_key="tk-xxxxxxxxxxxx",
    base_url="http://localhost:8081/v1"
)

stream = client.chat.completions.create(
    model="claude-3-5-sonnet",
    messages=[{"role": "user", "content": "Write a story"}],
    stream=True
)

for chunk in stream:
    if chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="")
"""

CURL = """\
curl http://localhost:8081/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer tk-xxxxxxxxxxxx" \\
  -d '{
    "model": "claude-3-5-sonnet",
    "messages": [
      {"role": "user", "content": "Hello!"}
    ]
  }'
"""


def personal(example: str, daemon: Daemon, key: str) -> str:
    """The example with the user's own key."""
    return example.replace("tk-xxxxxxxxxxxx", key).replace("localhost:8081", f"localhost:{daemon.port}")


def printed(command: list[str], folder: Path) -> str:
    """What a program prints that ends well."""
    ran = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_python_example_works_unchanged(daemon: Daemon, key: str, tmp_path: Path) -> None:
    """The first program that a newcomer copies prints an answer."""
    (tmp_path / "example.py").write_text(personal(PYTHON, daemon, key))
    assert printed([sys.executable, "example.py"], tmp_path).startswith("Hello!")


def test_the_streaming_example_works_unchanged(daemon: Daemon, key: str, tmp_path: Path) -> None:
    """Its loop takes the first choice of every chunk, so no chunk comes without one unasked."""
    (tmp_path / "example.py").write_text(personal(PYTHON_STREAMING, daemon, key))
    story = printed([sys.executable, "example.py"], tmp_path)
    assert story.startswith("Once upon a time")
    assert story.endswith("The end.")


def test_the_javascript_example_works_unchanged(
    daemon: Daemon, key: str, tmp_path: Path, node_modules: Path
) -> None:
    """The same with the `openai` package of npm."""
    (tmp_path / "node_modules").symlink_to(node_modules)
    example = (node_modules.parent / "first_day.mjs").read_text()
    (tmp_path / "example.mjs").write_text(personal(example, daemon, key))
    assert printed(["node", "example.mjs"], tmp_path).startswith("Hello!")


def test_the_curl_example_works_unchanged(daemon: Daemon, key: str, tmp_path: Path) -> None:
    """Without any SDK, the answer is OpenAI's JSON."""
    answer = json.loads(printed(["sh", "-c", personal(CURL, daemon, key)], tmp_path))
    assert answer["object"] == "chat.completion"
    assert answer["model"]
    assert answer["choices"][0]["message"]["content"].startswith("Hello!")
    assert answer["usage"]["total_tokens"] > 0
