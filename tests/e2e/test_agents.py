"""Real coding agents do a task through the gateway: Claude Code, Codex and opencode.

Each makes a file with a content that no program could guess, by a tool call that a scripted upstream asks
for, and answers when it has the tool's result. `make agents` runs many more cases than these.
"""

import json
from pathlib import Path

import pytest

from tests.e2e.agents.witnesses import Missing, Row, cases, run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CASES = [
    "claude-s45-chat",
    "claude-s45-chat-parallel",
    "claude-o48-chatonly-strict",
    "claude-s45-anthropic-reason",
    "claude-o48-anthropic",
    "claude-s45-anthropic-529",
    "codex-55-anthropic-patch",
    "codex-55-anthropic-reason",
    "codex-61sol-anthropic-reason",
    "codex-55-openai-patch",
    "codex-61sol-openai",
    "codex-51-chatonly-par",
    "codex-61sol-chatonly-reason",
    "opencode-anthropic-chat",
    "opencode-resp-anthropic",
]
REASONING = ["claude-s45-anthropic-reason", "codex-55-anthropic-reason", "codex-61sol-anthropic-reason"]
# As Codex is without any settings: it tries a WebSocket first.
BUILT_IN = "built-in codex gpt-5.5 chatonly CODEX_BUILTIN=1"
# The upstream's tool call makes another file than the agent was asked for.
WRONG = "wrong-content claude claude-sonnet-4-5 anthropic -- --corrupt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the recordings lie."""
    return tmp_path_factory.mktemp("agents")


@pytest.fixture(scope="module")
def rows(agents: Path, folder: Path) -> dict[str, Row]:
    """How every case ended, by its name."""
    try:
        known = cases()
    except Missing as reason:
        pytest.skip(str(reason))
    return run(agents, [*(known[name] for name in CASES), BUILT_IN, WRONG], folder, quiet=True)


@pytest.mark.parametrize("case", CASES)
def test_an_agent_does_its_task(rows: dict[str, Row], case: str) -> None:
    """The file is there, the agent ends well, and the upstream saw nothing that a provider would refuse."""
    assert rows[case].passed, rows[case]
    assert rows[case].violations == {}


@pytest.mark.parametrize("case", REASONING)
def test_reasoning_comes_back_signed(rows: dict[str, Row], folder: Path, case: str) -> None:
    """The thinking of the first turn is in the second with its signature, whatever the agent's dialect."""
    assert rows[case].passed, rows[case]
    asked = [json.loads(line) for line in (folder / f"{case}.jsonl").read_text().splitlines()]
    turns = [each["reasoning_echoed"] for each in asked if each["method"] == "POST"]
    assert turns == [False, True]


def test_codex_gives_up_websockets_at_once(rows: dict[str, Row]) -> None:
    """It takes a 426 as the word for that; after other refusals it would try for six seconds."""
    assert rows["built-in"].passed, rows["built-in"]
    assert rows["built-in"].secs is not None
    assert rows["built-in"].secs < 6


def test_the_witnesses_can_fail(rows: dict[str, Row]) -> None:
    """A tool call that was changed on its way would be noticed: the file's content is compared."""
    assert not rows["wrong-content"].passed
