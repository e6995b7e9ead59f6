"""The files we hand out: the example that lists every option, and the one to start from."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from tokligenced.config import Config, ProviderSettings, load, starter
from tokligenced.config.loading import read
from tokligenced.config.reading import Reading, Table
from tokligenced.config.sources import node_of

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text()
# An example that is to be uncommented: a # without a space behind it.
COMMENTED = re.compile(r"^#(?=[\w\[])", re.MULTILINE)
ENVIRON = dict.fromkeys(re.findall(r'env = "(\w+)"', EXAMPLE), "sk-example")


def without_names(path: str) -> str:
    """A dotted path with `*` for the names that people choose; a tier has the parts of a price."""
    path = re.sub(r"\[\d+\]", "", path)
    path = re.sub(r"^(providers\.[^.]+\.headers)\..*", r"\1", path)
    path = re.sub(r'^(models|providers)\.("[^"]+"|[^.]+)', r"\1.*", path)
    return re.sub(r"\.tiers\.(?!above)", ".", path)


def documented() -> set[str]:
    """The path of every key that stands in the example, commented or not, and of the tables they are in."""
    paths: set[str] = set()

    def walk(value: object, path: str) -> None:
        paths.add(path)
        if isinstance(value, list):
            for item in value:
                walk(item, path)
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else key)

    tree = tomllib.loads(COMMENTED.sub("", EXAMPLE))
    for section in ("providers", "models"):
        for table in tree[section].values():
            walk(table, f"{section}.*")
    walk(tree, "")
    return paths


def known(text: str) -> set[str]:
    """The path of every key that the reader asks for when it reads this."""
    reading = Reading(environ=ENVIRON, folder=Path(), secrets=True)
    read(Table(reading, node_of("example", tomllib.loads(text)), ""))
    reading.check()
    return {without_names(path) for path in reading.known}


def test_every_option_is_documented() -> None:
    """An option that the example does not list fails here; the sources of secrets stand in a comment."""
    missing = known(COMMENTED.sub("", EXAMPLE)) - documented()
    sources = {f"providers.*.api_key.{kind}" for kind in ("file", "credential", "literal")}
    assert missing == sources
    assert all(
        re.search(rf"^#.*\{{ {kind} = ", EXAMPLE, re.MULTILINE) for kind in ("file", "credential", "literal")
    )


def test_every_option_has_its_sentence() -> None:
    """Above each option stands what it does, at its first appearance."""
    of_deployments = {"deployments", "provider", "model", "weight", "priority"}  # explained above their table
    seen: set[str] = set()
    lines = EXAMPLE.splitlines()
    for before, line in pairwise(lines):
        if (option := re.match(r"#?(\w+) = ", line)) and option[1] not in seen:
            seen.add(option[1])
            assert before.startswith("# ") or option[1] in of_deployments, line


def test_the_example_shows_the_defaults(tmp_path: Path) -> None:
    """What the example says is what would hold without it."""
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE)
    config, plain = load(path, ENVIRON), Config()
    for section in ("server", "database", "log", "limits", "accounts", "endpoints", "cache"):
        assert getattr(config, section) == getattr(plain, section)
    assert config.warnings == ()
    for settings in config.providers.values():
        least = ProviderSettings(name=settings.name, type=settings.type, base_url=settings.base_url)
        given = {name: getattr(settings, name) for name in ("api_key", "api_version")}
        assert settings == structs.replace(least, **given)
    example = config.models["gpt-4o-mini"]
    assert (example.free, example.deployments[0].weight, example.deployments[0].priority) == (False, 1, 1)


def test_the_example_shows_the_default_addresses(tmp_path: Path) -> None:
    """Each base_url in the example is the one its type has anyway; Azure has none."""
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE)
    said = load(path, ENVIRON).providers
    path.write_text(re.sub(r"(?m)^base_url = .*(?<!azure\.com\")$", "", EXAMPLE))
    assert "api.openai.com/v1" not in path.read_text()
    assert load(path, ENVIRON).providers == said


def test_the_prices_of_the_example_follow_its_comments(tmp_path: Path) -> None:
    """What a comment says a part costs by default is what it costs there."""
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE)
    said = load(path, ENVIRON).models["gpt-4o-mini"].prices
    path.write_text(re.sub(r"(?m)^# .*\((?:as \w+|nothing)\)\.\n(?!cached_input).*$", "", EXAMPLE))
    assert "audio_input" not in path.read_text()
    assert load(path, ENVIRON).models["gpt-4o-mini"].prices == said


def test_the_starter_works_as_it_is(tmp_path: Path) -> None:
    """It needs no variable, no account and no folder but its own."""
    path = tmp_path / "config.toml"
    path.write_text(starter(path))
    config = load(path, {})
    assert config.database.path == tmp_path / "tokligenced.db"
    assert config.models["demo"].deployments[0].provider == "demo"
    assert config.providers["demo"].type == "demo"
    assert config.warnings == ()
    assert (config.server, config.limits) == (Config().server, Config().limits)


def test_the_starter_uncommented(tmp_path: Path) -> None:
    """What it shows as examples is right as well."""
    path = tmp_path / "config.toml"
    path.write_text(COMMENTED.sub("", starter(path)))
    (tmp_path / "anthropic.key").write_text("sk-example")
    config = load(path, {"OPENAI_API_KEY": "sk-example"})
    assert set(config.providers) == {"demo", "openai", "anthropic", "local"}
    assert len(config.models) == 4
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("path", "database"),
    [
        ("/etc/tokligenced/config.toml", "/var/lib/tokligenced/tokligenced.db"),
        ("/srv/ai/config.toml", "tokligenced.db"),
    ],
)
def test_the_starters_database(path: str, database: str) -> None:
    """Below /etc, where a daemon may not write, the database goes to its state folder."""
    assert tomllib.loads(starter(Path(path)))["database"]["path"] == database
