"""The witness of the ledger's head: a file beside the database that is never half written."""

import stat
from pathlib import Path

import pytest

from tokligenced.errors import StoreError
from tokligenced.store import witness
from tokligenced.store.ledger import Head
from tokligenced.store.witness import Witness

HEAD = Head(17, "ab" * 32)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A witness says what it was told last; its file is for its owner alone, and nothing else is left."""
    path = witness.path_beside(tmp_path / "t.db")
    witness.write(path, Head(0, ""), 1)
    assert witness.read(path) == Witness(seq=0, hash="", at=1)
    witness.write(path, HEAD, 2)
    assert witness.read(path) == Witness(seq=17, hash="ab" * 32, at=2)
    assert path.read_bytes() == b'{"seq":17,"hash":"' + b"ab" * 32 + b'","at":2}\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_there_may_be_none(tmp_path: Path) -> None:
    """Without a witness nothing is claimed."""
    assert witness.read(tmp_path / "t.db.head") is None


def test_one_database_has_one_witness(tmp_path: Path) -> None:
    """Whichever of its names a database is called by, its witness is the same."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert witness.path_beside(tmp_path / "link" / "t.db") == tmp_path.resolve() / "data" / "t.db.head"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"seq":"1","hash":"","at":1}', b"\xff"])
def test_what_can_not_be_understood_is_no_witness(tmp_path: Path, content: bytes) -> None:
    """A damaged file is an error that names it, not a witness of nothing."""
    path = tmp_path / "t.db.head"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"t\.db\.head"):
        witness.read(path)


def test_a_place_out_of_reach_is_an_error_of_the_store(tmp_path: Path) -> None:
    """A folder that is not there is named, and a witness that can't be replaced stays as it was."""
    with pytest.raises(StoreError, match="gone"):
        witness.write(tmp_path / "gone" / "t.db.head", HEAD, 1)
    with pytest.raises(StoreError, match=r"t\.db\.head"):
        (tmp_path / "t.db.head").mkdir()
        witness.read(tmp_path / "t.db.head")
    with pytest.raises(StoreError, match=r"t\.db\.head"):
        witness.write(tmp_path / "t.db.head", HEAD, 1)
