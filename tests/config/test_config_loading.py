"""The sections that every configuration has, unknown keys, and what a reload can't change."""

# One case a line, however long: so the tables can be read.
# ruff: noqa: E501

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tokligenced.config import (
    AccountSettings,
    CacheSettings,
    Config,
    ConfigErrors,
    DatabaseSettings,
    Endpoints,
    LogSettings,
    Server,
    restart_needed,
)
from tokligenced.config.loading import read
from tokligenced.config.reading import Reading, Table
from tokligenced.config.sources import node_of
from tokligenced.domain import Limits

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

MODEL = """
[models.m]
context_window = 8
max_output_tokens = 4
price = { input = "1", output = "1" }
deployments = [{ provider = "p", model = "m" }]
[providers.p]
type = "openai"
"""


def test_nothing_said(load: Load) -> None:
    """An empty file is every default."""
    assert load("") == Config()


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        ('"127.0.0.1:9000"', "http://localhost:9000"),
        ('"0.0.0.0:9000"', "http://localhost:9000"),
        ('"[2001:db8::1]:9000"', "http://[2001:db8::1]:9000"),
        ('["unix:/run/t.sock", "systemd", "gateway.example:80"]', "http://gateway.example:80"),
        ('"unix:/run/t.sock"', "http://localhost:8081"),
        ('"127.0.0.1:0"', "http://localhost:8081"),
    ],
)
def test_links_lead_to_where_it_listens(load: Load, listen: str, reached: str) -> None:
    """Without a `public_url` links and examples name the first address that clients can reach."""
    assert load(f"[server]\nlisten = {listen}").server.public_url == reached


def test_everything_said(load: Load, tmp_path: Path) -> None:
    """Each value lands in its field, in its unit."""
    config = load("""
        [server]
        listen = ["0.0.0.0:80", "unix:/run/t.sock"]
        public_url = "https://ai.example.com/"
        drain_timeout = "5m"
        max_request_bytes = "10MB"
        body_timeout = 2.5
        [database]
        path = "data/t.db"
        durability = "normal"
        [log]
        level = "debug"
        format = "json"
        [limits]
        requests_per_minute = 1
        tokens_per_minute = 2_000
        concurrency = 3
        [accounts]
        signup = "invite"
        welcome_credit = 1.50
        [endpoints]
        embeddings = true
        images = true
        rerank = true
        [cache]
        enabled = true
        max_bytes = "1MiB"
        max_age = "5m"
        share = 0.25
    """)
    assert config.server == Server(
        listen=("0.0.0.0:80", "unix:/run/t.sock"),
        public_url="https://ai.example.com",
        drain_timeout=300.0,
        max_request_bytes=10_000_000,
        body_timeout=2.5,
    )
    assert config.database == DatabaseSettings(path=tmp_path / "data/t.db", durability="normal")
    assert config.log == LogSettings(level="debug", format="json")
    assert config.limits == Limits(requests_per_minute=1, tokens_per_minute=2000, concurrency=3)
    assert config.accounts == AccountSettings(signup="invite", welcome_credit_nano=1_500_000_000)
    assert config.endpoints == Endpoints(embeddings=True, images=True, rerank=True)
    assert config.cache == CacheSettings(enabled=True, max_bytes=2**20, max_age=300.0, share=250_000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[sever]", 'sever: unknown key; did you mean "server"?'),
        (
            "qqq = 1",
            "qqq: unknown key; known are accounts, cache, database, endpoints, limits, log, models, providers, responses, server",
        ),
        ("[server]\nlisten_on = 'x:1'", 'server.listen_on: unknown key; did you mean "listen"?'),
        ("[database]\ndurabilty = 'full'", 'database.durabilty: unknown key; did you mean "durability"?'),
        ("[log]\nlvl = 'info'", 'log.lvl: unknown key; did you mean "level"?'),
        ("[limits]\nrpm = 1", "limits.rpm: unknown key; known are concurrency, requests_per_minute, tokens_per_minute"),
        ("[accounts]\nsign_up = 'open'", 'accounts.sign_up: unknown key; did you mean "signup"?'),
        ("[endpoints]\nimage = true", 'endpoints.image: unknown key; did you mean "images"?'),
        ("[endpoints]\n'odd key' = true", 'endpoints."odd key": unknown key; known are embeddings, images, rerank'),
        ("[providers.p]\ntype = 'openai'\nbase = 'x'", 'providers.p.base: unknown key; did you mean "base_url"?'),
        ("[providers.p]\ntype = 'openai'\napi_key = { enf = 'X' }", 'providers.p.api_key.enf: unknown key; did you mean "env"?'),
        ("[providers.p]\ntype = 'demo'\ndemo = { first = 1 }", 'providers.p.demo.first: unknown key; did you mean "first_byte"?'),
        (MODEL + "[models.m.x]", 'models."m".x: unknown key; known are aliases, '),
        (MODEL.replace("price", "prize"), 'models."m".prize: unknown key; did you mean "price"?'),
        (MODEL.replace("input", "inptu"), 'models."m".price.inptu: unknown key; did you mean "input"?'),
        (MODEL.replace("model =", "modell ="), 'models."m".deployments[0].modell: unknown key; did you mean "model"?'),
        (MODEL.replace("output =", "tiers = [{ abov = 1 }], output ="), 'models."m".price.tiers[0].abov: unknown key; did you mean "above"?'),
    ],
)  # fmt: skip
def test_unknown_keys(refused: Refused, text: str, line: str) -> None:
    """A key that does not exist is the first error, with a suggestion, at every level."""
    assert refused(text)[0].startswith(f"config.toml: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("server = 1", "server: must be a table"),
        ("[[server]]", "server: must be a table"),
        ("providers = []", "providers: must be a table"),
        ("[providers]\np = 'sk-1'", "providers.p: must be a table"),
        ("[models]\nm = 1", 'models."m": must be a table'),
        ("[server]\nlisten = 8081", "server.listen: must be a string, not 8081"),
        ("[server]\nlisten = []", "server.listen: must name at least one address"),
        ("[server]\npublic_url = 'localhost'", "server.public_url: must be an http:// or https:// address with a host"),
        ("[server]\nmax_request_bytes = '0MiB'", 'server.max_request_bytes: must be a whole number of bytes, not "0MiB"'),
        ("[server]\nbody_timeout = 0", "server.body_timeout: must be longer than 0"),
        ("[database]\npath = ''", "database.path: must not be empty"),
        ("[database]\npath = 5", "database.path: must be a string, not 5"),
        ("[database]\ndurability = 'none'", 'database.durability: must be one of full, normal, not "none"'),
        ("[log]\nlevel = 'INFO'", 'log.level: must be one of debug, info, warning, error, not "INFO"'),
        ("[log]\nformat = 1", "log.format: must be one of auto, json, console, not 1"),
        ("[limits]\nrequests_per_minute = true", "limits.requests_per_minute: must be an integer, not true"),
        ("[limits]\nconcurrency = 0", "limits.concurrency: must be at least 1, not 0"),
        ("[limits]\ntokens_per_minute = '1'", 'limits.tokens_per_minute: must be an integer, not "1"'),
        ("[accounts]\nsignup = true", "accounts.signup: must be one of open, invite, closed, not true"),
        ("[accounts]\nwelcome_credit = -1", "accounts.welcome_credit: -1: must not be negative"),
        ("[endpoints]\nimages = 'yes'", 'endpoints.images: must be true or false, not "yes"'),
    ],
)  # fmt: skip
def test_wrong_values(refused: Refused, text: str, line: str) -> None:
    """A value that can't be used is named by file, dotted path and reason."""
    assert refused(text) == [f"config.toml: {line}"]


def test_every_mistake_is_told(refused: Refused, load: Load) -> None:
    """One reading finds all that is wrong; the exception's own line shows the first and counts the rest."""
    text = "[log]\nlevel = 1\nformat = 2\n[server]\nbogus = 3"
    assert [line.split(": ")[1] for line in refused(text)] == ["server.bogus", "log.level", "log.format"]
    with pytest.raises(ConfigErrors, match=r"server\.bogus: unknown key; .* \(and 2 more\)$"):
        load(text)


def vocabulary() -> list[str]:
    """Every key there is, at whatever level, and some that are none."""
    reading = Reading(environ={}, folder=Path(), secrets=False)
    tree = {
        "providers": {kind: {"type": kind} for kind in ("openai", "demo")},
        "models": {"m": {"deployments": {}, "price": {"tiers": {}}}},
    }
    read(Table(reading, node_of("file", tree), ""))
    return sorted({path.rpartition(".")[2] for path in reading.known} | {"p", "m", "", "ö \n"})


LEAVES = st.one_of(
    st.text(max_size=5), st.booleans(), st.integers(-1, 2**70), st.decimals(), st.dates(), st.datetimes(),
    st.sampled_from(["openai", "azure", "demo", "m", "p", "1.5", "5s", "1KiB", "https://x"]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(vocabulary()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(structs.asdict(Config()), TREES)))
def test_any_tree_is_read_or_refused(tree: dict[str, Any]) -> None:
    """Whatever the files hold, reading ends with a configuration or with mistakes."""
    reading = Reading(environ={}, folder=Path(), secrets=True)
    config = read(Table(reading, node_of("file", tree), ""))
    assert isinstance(config, Config)
    for error in reading.unknown + reading.mistakes:
        assert error.file == "file"
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("", []),
        ('[server]\nlisten = "127.0.0.1:9"', ["server.listen", "server.public_url"]),
        ("[server]\nmax_request_bytes = 5", ["server.max_request_bytes"]),
        ('[database]\npath = "x.db"\ndurability = "normal"', ["database.path", "database.durability"]),
        ('[log]\nlevel = "debug"\nformat = "json"', ["log.level", "log.format"]),
        ("[limits]\nconcurrency = 1\n[endpoints]\nimages = true" + MODEL, []),
    ],
)
def test_restart_needed(load: Load, change: str, names: list[str]) -> None:
    """What a running daemon can't change is named; all else follows a reload."""
    assert restart_needed(load(""), load(change)) == names
    assert restart_needed(load(change), load("")) == names


def test_loading_twice_gives_equals(load: Load) -> None:
    """Two readings of the same files are equal, secrets included."""
    text = MODEL + 'api_key = { env = "K" }'
    assert load(text, environ={"K": "1"}) == load(text, environ={"K": "1"})
    assert load(text, environ={"K": "1"}) != load(text, environ={"K": "2"})
