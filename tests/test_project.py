"""What must be true of the project as a tree of files, whatever the code does."""

import ast
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.e2e import test_first_day as first_day
from tokligenced import cli

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "config.example.toml",
    "pyproject.toml",
    "systemd",
    "tests",
    "tokligenced",
}
LONGEST_FILE = 400
REGISTRIES = re.compile(r"\b(?:[a-z-]+\.)*(?:pypi|pythonhosted|npmjs|debian|crates)\.(?:org|com|io)\b")
HOMES = re.compile(r"""(?:^|[\s"'=(:`])/(?:root|home|Users|work)/""", re.MULTILINE)
PIN = re.compile(r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>\S+) \\$", re.MULTILINE)

README = (ROOT / "README.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def project_files() -> list[Path]:
    """Every file that is tracked or would be: new ones count before they are added."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    return [path for name in sorted(filter(None, listed.split("\0"))) if (path := ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """`file:line: match` for each place in the project's texts."""
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}"
        for path in project_files()
        for text in [path.read_bytes().decode(errors="replace")]
        for match in pattern.finditer(text)
    ]


def pins(lock: str) -> dict[str, str]:
    """Name → version of each pin in a lock file."""
    return {
        canonicalize_name(pin["name"]): pin["version"]
        for pin in PIN.finditer((ROOT / ".lock" / lock).read_text())
    }


def blocks(language: str) -> list[str]:
    """README's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def parse(words: list[str]) -> None:
    """Read a command line as far as click does before it runs the command.

    Raises `KeyError` for a command and `click.UsageError` for an option or argument that is none.
    """
    command: click.Command = cli.root
    while isinstance(command, click.Group) and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words).close()


def test_no_registry_hosts() -> None:
    """No file names a package registry: which one serves the packages is the machine's affair."""
    assert lines_with(REGISTRIES) == []


def test_no_machine_paths() -> None:
    """No file knows the directory of somebody's machine."""
    assert lines_with(HOMES) == []


def test_top_level() -> None:
    """The top level holds what the design lists and nothing else beside dotfiles."""
    found = {path.relative_to(ROOT).parts[0] for path in project_files()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def test_file_length() -> None:
    """No source file is long enough to hold two things."""
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in project_files()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tokligenced")
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_test_states_its_promise() -> None:
    """Each test function has a docstring of one line: the promise that it keeps."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in project_files()
        if path.is_relative_to(ROOT / "tests") and path.match("test_*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if not (docstring := ast.get_docstring(node)) or "\n" in docstring
    ]
    assert silent == []


def test_package_data() -> None:
    """Whatever lies in the package beside its code is installed with it."""
    package = ROOT / "tokligenced"
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["tokligenced"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in project_files() if path.is_relative_to(package) and path.suffix != ".py"}
    assert data
    assert data <= installed


@pytest.mark.parametrize("lock", ["build.txt", "runtime.txt", "dev.txt", "clients.txt"])
def test_locks_are_hashed(lock: str) -> None:
    """Every requirement in a lock is pinned to one version and has its hashes."""
    text = re.sub(r"^ *#.*\n|^\n", "", (ROOT / ".lock" / lock).read_text(), flags=re.MULTILINE)
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    loose = [
        entry.splitlines()[0] for entry in entries if entry and not (PIN.match(entry) and "--hash=" in entry)
    ]
    assert pins(lock)
    assert loose == []


def test_locks_cover_what_is_declared() -> None:
    """Each dependency in pyproject.toml is in its lock, at a version that it accepts."""
    project = PYPROJECT["project"]
    declared = {
        "build.txt": PYPROJECT["build-system"]["requires"],
        "runtime.txt": project["dependencies"],
        "dev.txt": project["dependencies"] + project["optional-dependencies"]["dev"],
        "clients.txt": project["dependencies"] + project["optional-dependencies"]["clients"],
    }
    missing = [
        f"{lock}: {text}"
        for lock, texts in declared.items()
        for text in texts
        for wanted in [Requirement(text)]
        if not wanted.specifier.contains(pins(lock).get(canonicalize_name(wanted.name), ""))
    ]
    assert missing == []


def test_tests_run_what_is_served() -> None:
    """The tests' locks hold the very versions that the gateway is served with, and fit together."""
    assert pins("runtime.txt").items() <= pins("dev.txt").items()
    dev = pins("dev.txt")
    assert {name: dev.get(name, version) for name, version in pins("clients.txt").items()} == pins(
        "clients.txt"
    )


def test_readme_commands_exist() -> None:
    """Every command that README has a reader type is one that the command line takes."""
    typed = re.findall(r"^(?:sudo )?(?:-u \w+ )?tokligenced (.+)", "\n".join(blocks("sh")), re.MULTILINE)
    listed = re.findall(r"^\| `tokligenced (.+?)` \|", README, re.MULTILINE)
    assert typed
    assert listed
    for line in typed + listed:
        parse(shlex.split(re.sub(r"[][]", "", line)))


def test_readme_targets_exist() -> None:
    """Every `make` verb in README is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", " ".join(re.findall(r"`[^`\n]+`", README) + blocks("sh"))))
    assert {"run", "test", "bench", "install"} <= named
    assert named <= targets


def test_readme_examples_are_tested() -> None:
    """The examples in README are, letter for letter, those that the end-to-end tests run."""
    javascript = (ROOT / "tests/e2e/js/first_day.mjs").read_text()
    assert blocks("python") == [first_day.PYTHON, first_day.PYTHON_STREAMING]
    assert blocks("js") == [javascript]
    assert first_day.CURL in blocks("sh")


def test_readme_error_codes_exist() -> None:
    """Every code in README's table of errors is one that the gateway can give."""
    table = re.findall(r"^\| [\d, ]+ \| `\w+` \| (.*) \|$", README, re.MULTILINE)
    sources = "".join(path.read_text() for path in (ROOT / "tokligenced").rglob("*.py"))
    codes = re.findall(r"`(\w+)`", " ".join(table))
    assert codes
    assert [code for code in codes if f'"{code}"' not in sources] == []
