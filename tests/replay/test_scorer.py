"""The shared scorer drives the daemon with every recording, in every way that a network can deliver it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.replay.recordings import CORPUS, SHARED

pytestmark = pytest.mark.e2e

_SCORER = SHARED / "fidelity"
_MODES = "whole,split,bytes,trunc,eof"
_KINDS = "chat,responses,embeddings,rerank"
_PATIENCE = 100
_VERDICTS = {"pass", "fail"}

# Where scorer and gateway disagree: (recording, aspect) → why the gateway is right or can do no better.
_NO_SEARCH = "the provider, as configured there, has no search of the web, which is refused by name"
_NO_STORE = "the client asks for its answer to be kept, which is refused by name where nothing is kept"
LIMITS: dict[tuple[str, str], str] = {
    **dict.fromkeys(
        [
            ("openai-responses-029-responses-websearch-input", each)
            for each in ("sdk", "text", "finish", "usage")
        ],
        _NO_SEARCH,
    ),
    **dict.fromkeys(
        [
            ("openai-responses-032-agent-run-reasoning-stream", each)
            for each in ("sdk", "text", "finish", "usage", "reasoning")
        ],
        _NO_STORE,
    ),
}
_OWN_CHAT = "Cohere's own chat is not spoken: its compatibility endpoint is"
_UNASKED = "arguments in pieces come only when asked for, which the gateway does not; tests/replay reads them"
_AS_CHAT = (
    "the scorer's configuration does not say that this upstream has /responses, so it is asked for chat"
)
# What the scorer gives no verdict on: recording → why.
UNJUDGED = {
    "azure-responses-008-openai-file-search-tool-1-chunks": _AS_CHAT,
    "deepseek-responses-006-deepseek-responses-replay-own-reasoning-history": _AS_CHAT,
    "openai-responses-001-openai-error-1-chunks": _AS_CHAT,
    "openai-responses-002-reasoning-model-temperature-error": _AS_CHAT,
    "openai-responses-030-responses-basic-streaming": _AS_CHAT,
    "openai-responses-031-responses-tool-use-streaming": _AS_CHAT,
    "openai-responses-033-responses-tool-calls": _AS_CHAT,
    "openai-responses-034-openai-responses-native-output-decimal-strict": _AS_CHAT,
    "openai-responses-035-async": _AS_CHAT,
    "openai-responses-036-responses-api-1": _AS_CHAT,
    "cohere-chat-001-cohere-empty-tool-call-chunks": _OWN_CHAT,
    "cohere-chat-002-cohere-null-args": _OWN_CHAT,
    "cohere-chat-004-cohere-v2-chat-legacy-with-tool-calls-and-histor-1": _OWN_CHAT,
    "cohere-chat-008-agent-with-multiple-tools-6": _OWN_CHAT,
    "cohere-chat-009-error-handling-with-cohere-command-a-03-2025-rai": _OWN_CHAT,
    "gemini-chat-001-google-stream-no-args-tool-call-chunks": _UNASKED,
    "gemini-chat-002-google-stream-tool-call-arguments-chunks": _UNASKED,
}


def scored(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The verdicts by recording and aspect; what the scorer only notes or finds debatable is none."""
    verdicts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        # `request.x` repeats a part of `request`.
        if row["result"] in _VERDICTS and not row["aspect"].startswith("request."):
            verdicts.setdefault((row["case"], row["aspect"]), []).append(row)
    return verdicts


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What the scorer says of the daemon, which it starts itself."""
    out = tmp_path_factory.mktemp("scorer")
    # Fails loudly where shared/ does not lie beside the clone.
    assert (_SCORER / "drive.py").is_file(), f"{_SCORER} is missing: put shared/ beside the clone"
    command = [sys.executable, str(_SCORER / "drive.py"), "--corpus", str(CORPUS), "--out", str(out)]
    command += ["--adapter", str(_SCORER / "adapters" / "tokligenced.py")]
    command += ["--modes", _MODES, "--kinds", _KINDS, "--workers", "2"]
    ran = subprocess.run(
        command,
        env={**os.environ, "TOKLIGENCED_BIN": str(Path(sys.executable).with_name("tokligenced"))},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return scored([json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()])


def test_every_scored_aspect_passes(verdicts: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """In no mode does a client miss anything, get anything wrong, or take half an answer for a whole one."""
    failed = [
        f"{case} {row['mode']} {aspect}: {row['reason']}"
        for (case, aspect), rows in verdicts.items()
        for row in rows
        if row["result"] == "fail" and (case, aspect) not in LIMITS
    ]
    assert failed == []
    assert {row["mode"] for rows in verdicts.values() for row in rows} == set(_MODES.split(","))


def test_no_limit_is_claimed_that_is_none(
    verdicts: dict[tuple[str, str], list[dict[str, Any]]],
) -> None:
    """Each entry in the table of limits stands for a verdict that really fails."""
    idle = [key for key in LIMITS if all(row["result"] == "pass" for row in verdicts.get(key, []))]
    assert idle == []


def test_every_recording_is_judged(verdicts: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Of the kinds that are served, only those in the table get no verdict."""
    index = json.loads((CORPUS / "index.json").read_text())
    served = {entry["id"] for entry in index if entry["kind"] in _KINDS.split(",")}
    assert served - {case for case, _ in verdicts} == set(UNJUDGED)
