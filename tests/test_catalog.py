"""The snapshot of what can be served."""

from pathlib import Path

import pytest

from tokligenced import catalog
from tokligenced.config import Config, ProviderSettings, load
from tokligenced.domain import Deployment, Key, Limits, Model


def model(name: str, *aliases: str) -> Model:
    """A model of that name."""
    return Model(
        id=name,
        name=name,
        context_window=8,
        max_output_tokens=4,
        free=True,
        deployments=(Deployment(provider="p", model=name),),
        aliases=aliases,
    )


def key(*models: str) -> Key:
    """A key that may use these models; all, if none is named."""
    return Key(
        id="key_1",
        digest=b"",
        prefix="tk-abcdef",
        name="k",
        payer_kind="account",
        payer_id="acct_1",
        models=frozenset(models) if models else None,
        created_at=0,
    )


PROVIDERS = {"p": ProviderSettings(name="p", type="openai", base_url="https://example.com")}
MODELS = {name: model(name, *aliases) for name, *aliases in (("b", "bee", "org/b"), ("a",), ("c", "sea"))}
CATALOG = catalog.build(Config(providers=PROVIDERS, models=MODELS))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("b", "b"),
        ("bee", "b"),
        ("org/b", "b"),
        ("a", "a"),
        ("sea", "c"),
        ("B", None),
        ("p", None),
        ("", None),
    ],
)
def test_names(name: str, found: str | None) -> None:
    """A model is found by its id and by its aliases, spelt exactly."""
    assert CATALOG.names.get(name) is (MODELS[found] if found else None)


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ((), ["b", "a", "c"]),
        (("c", "b"), ["b", "c"]),
        (("sea",), ["c"]),
        (("bee", "b"), ["b"]),
        (("gone",), []),
    ],
)
def test_what_a_key_may_use(named: tuple[str, ...], allowed: list[str]) -> None:
    """A key that names no models may use all; else those it names by id or alias, in the catalog's order."""
    assert [model.id for model in CATALOG.allowed(key(*named))] == allowed
    assert [model.id for model in CATALOG.models if catalog.allows(key(*named), model)] == allowed


def test_a_key_with_an_empty_list_may_use_nothing() -> None:
    """An empty list of models is a list, not the absence of one."""
    nothing = Key(
        id="k",
        digest=b"",
        prefix="",
        name="",
        payer_kind="org",
        payer_id="o",
        models=frozenset(),
        created_at=0,
    )
    assert CATALOG.allowed(nothing) == []


def test_a_catalog_from_a_file(tmp_path: Path) -> None:
    """What the file says is what the catalog holds, in the file's order."""
    path = tmp_path / "config.toml"
    path.write_text("""
        limits = { concurrency = 7 }
        endpoints = { rerank = true }
        [providers.demo]
        type = "demo"
        [models."z/1"]
        aliases = ["z"]
        context_window = 8
        max_output_tokens = 4
        free = true
        deployments = [{ provider = "demo", model = "demo" }]
        [models.a]
        context_window = 8
        max_output_tokens = 4
        free = true
        deployments = [{ provider = "demo", model = "demo" }]
    """)
    built = catalog.build(load(path, {}))
    assert [model.id for model in built.models] == ["z/1", "a"]
    assert built.names["z"] is built.names["z/1"]
    assert set(built.providers) == {"demo"}
    assert built.endpoints.rerank
    assert built.default_limits == Limits(requests_per_minute=60, tokens_per_minute=200_000, concurrency=7)


def test_an_empty_catalog() -> None:
    """Without models there is a catalog all the same."""
    empty = catalog.build(Config())
    assert (empty.models, dict(empty.names), empty.allowed(key())) == ((), {}, [])
