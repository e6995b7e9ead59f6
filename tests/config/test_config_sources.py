"""Files, merged; each value knows whose it is."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.config import Config, ConfigErrors, sources
from tokligenced.config import load as load_config
from tokligenced.config.sources import merge, node_of

Load = Callable[..., Config]
Refused = Callable[..., list[str]]

KEYS = st.sampled_from(["a", "b", "c", "api_key"])
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        st.integers() | st.lists(st.integers(), max_size=2),
        lambda inner: st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(keys, value) of all that is not a table."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def joined(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """What merging ought to give, said in another way: `above`, and what it leaves untouched."""
    result = {key: value for key, value in below.items() if key not in above}
    for key, value in above.items():
        tables = isinstance(value, dict) and isinstance(below.get(key), dict) and key != "api_key"
        result[key] = joined(below[key], value) if tables else value
    return result


@given(TREES, TREES)
def test_merging(below: dict[str, Any], above: dict[str, Any]) -> None:
    """Tables merge deeply, all else replaces, an api_key as a whole."""
    merged = merge(node_of("below", below), node_of("above", above))
    assert merged.plain() == joined(below, above)


@given(TREES, TREES)
def test_each_value_knows_its_file(below: dict[str, Any], above: dict[str, Any]) -> None:
    """A value belongs to the last file that sets it."""
    merged = merge(node_of("below", below), node_of("above", above))
    of_above = {".".join(path) for path, _ in leaves(above)}
    expected = {
        path: "above" if path in of_above else "below"
        for path in (".".join(keys) for keys, _ in leaves(joined(below, above)))
    }
    assert dict(sources.origins(merged)) == expected


@given(TREES)
def test_merging_with_nothing(tree: dict[str, Any]) -> None:
    """An empty file changes nothing, below or above."""
    node, empty = node_of("file", tree), node_of("file", {})
    assert merge(node, empty) == node == merge(empty, node)


def test_drop_ins_in_name_order(load: Load, tmp_path: Path) -> None:
    """conf.d/*.toml is merged by name; other names and hidden files don't count."""
    config = load(
        '[server]\npublic_url = "http://a"\nlisten = ["127.0.0.1:1", "127.0.0.1:2"]\n[log]\nlevel = "error"',
        {
            "20-b.toml": '[server]\npublic_url = "http://c"',
            "10-a.toml": '[server]\npublic_url = "http://b"\nlisten = "127.0.0.1:3"',
            ".hidden.toml": "not = [toml",
            "30.toml.bak": "not = [toml",
        },
    )
    assert config.server.public_url == "http://c"
    assert config.server.listen == ("127.0.0.1:3",)
    assert config.log.level == "error"
    assert config.origins == {
        "server.public_url": str(tmp_path / "conf.d/20-b.toml"),
        "server.listen": str(tmp_path / "conf.d/10-a.toml"),
        "log.level": str(tmp_path / "config.toml"),
    }


def test_the_last_name_wins(load: Load) -> None:
    """The order is that of the names, whatever the order in which the folder lists them."""
    names = [f"{letter}{digit}" for letter in "ab" for digit in "75310246"]
    config = load("", {f"{name}.toml": f'[server]\npublic_url = "http://{name}"' for name in names})
    assert config.server.public_url == "http://b7"


def test_what_is_missing_is_missing_where_the_table_begins(refused: Refused) -> None:
    """A key that no file sets is asked of the file that first has its table."""
    lines = refused('[providers.p]\nidle_timeout = "1s"', {"1.toml": '[providers.p]\nidle_timeout = "2s"'})
    assert lines == ["config.toml: providers.p.type: is required"]


def test_errors_name_the_owner(refused: Refused) -> None:
    """An error names the file that the value is from, be it unknown, wrong or part of a table."""
    assert refused(
        '[server]\nbody_timeout = "1s"\n[providers.p]\ntype = "openai"\n[models.m]\ncontext_window = 1\n'
        'max_output_tokens = 1\ndeployments = [{ provider = "p", model = "m" }]\n'
        'price = { input = "1", output = "1" }',
        {
            "1.toml": '[models.m.price]\ninput = "-1"',
            "2.toml": '[server]\nbody_timeout = "soon"\nlisen = "x:1"',
            "3.toml": '[[models.m.deployments]]\nprovider = "nobody"\nmodel = "m"',
        },
    ) == [
        'conf.d/2.toml: server.lisen: unknown key; did you mean "listen"?',
        'conf.d/2.toml: server.body_timeout: must be a duration like "30s", "5m" or "250ms", not "soon"',
        'conf.d/3.toml: models."m".deployments[0].provider: there is no provider "nobody"',
        'conf.d/1.toml: models."m".price.input: -1: must not be negative',
    ]


def test_replacing_a_credential(load: Load) -> None:
    """A drop-in names another source for a key without having to unsay the first."""
    config = load(
        '[providers.p]\ntype = "openai"\napi_key = { env = "NOT_SET" }',
        {"p.toml": '[providers.p]\napi_key = { env = "SET" }'},
        environ={"SET": "sk-1"},
    )
    assert (secret := config.providers["p"].api_key) is not None
    assert secret.reveal() == "sk-1"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[server]\n\nx = = 1", "line 3, column 5: Invalid value"),
        ("[server", "Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", "line 2, column 6: Cannot overwrite a value"),
        ("a = 1" + "0" * 5000, "holds a number that is too long"),
        ("a = 1e99999999999999999999", "holds a number that is too long"),
        ("a = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("a." * 5000 + "a = 1", "is nested too deeply"),
    ],
)
def test_text_that_is_no_toml(refused: Refused, content: str, line: str) -> None:
    """A file that can't be parsed is named, with the place."""
    (only,) = refused(content)
    assert only.startswith("config.toml: ")
    assert line in only


def test_all_broken_files_are_named(refused: Refused) -> None:
    """One broken file does not hide another."""
    lines = refused("a = ", {"1.toml": "b = ", "2.toml": '[log]\nlevel = "info"'})
    assert [line.split(":")[0] for line in lines] == ["config.toml", "conf.d/1.toml"]


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    """The place is named and the bytes are kept out of sight."""
    path = tmp_path / "config.toml"
    path.write_bytes(b'x = "sk-secret\xff"')
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, {})
    assert str(caught.value) == f"{path}: not UTF-8 at byte 14"
    assert "secret" not in repr(caught.value.errors[0].__cause__)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    """A file that is not there, or no file, is named with the system's reason."""
    path = tmp_path / "config.toml"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(ConfigErrors) as caught:
        load_config(path, {})
    reason = {"missing": "No such file or directory", "folder": "Is a directory"}[kind]
    assert str(caught.value) == f"{path}: can't be read: {reason}"


def test_drop_ins_that_cannot_be_read(refused: Refused, tmp_path: Path) -> None:
    """A conf.d that is no folder, or a folder in place of a file in it, is an error, not an absence."""
    (tmp_path / "conf.d").write_text("")
    assert refused("") == ["conf.d: Not a directory"]
    (tmp_path / "conf.d").unlink()
    (tmp_path / "conf.d" / "x.toml").mkdir(parents=True)
    assert refused("") == ["conf.d/x.toml: can't be read: Is a directory"]
