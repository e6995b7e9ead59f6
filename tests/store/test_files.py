"""The ballast: really there, and never at the database's expense."""

import os
from pathlib import Path

import pytest

from tokligenced.errors import Conflict, StoreError
from tokligenced.store.files import Ballast, reserve_private

SIZE = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ballast is."""
    return tmp_path / "ballast"


def blocks(path: Path) -> int:
    """Bytes the file has of the disk."""
    return path.stat().st_blocks * 512


def test_ballast_takes_room_and_gives_it_back(path: Path) -> None:
    """Aboard, it has as much of the disk as it says; thrown overboard, it has nothing."""
    ballast = Ballast(path, SIZE)
    assert not ballast.aboard
    ballast.load()
    assert ballast.aboard
    assert blocks(path) >= SIZE
    ballast.drop()
    assert not ballast.aboard
    assert not path.exists()


@pytest.mark.parametrize("left", [0, 10, SIZE])
def test_ballast_of_an_earlier_run(path: Path, left: int) -> None:
    """What an earlier run left is made whole, also a file that is only said to be that long."""
    with path.open("wb") as file:
        os.truncate(file.fileno(), left)
    ballast = Ballast(path, SIZE)
    ballast.load()
    assert ballast.aboard
    assert blocks(path) >= SIZE


def test_no_ballast_without_room(path: Path) -> None:
    """Where there isn't room for twice as much nothing is taken."""
    disk = os.statvfs(path.parent)
    ballast = Ballast(path, disk.f_bavail * disk.f_frsize * 3 // 4)
    ballast.load()
    assert not ballast.aboard
    assert not path.exists()


def test_ballast_on_a_folder_that_went_away(tmp_path: Path) -> None:
    """Trouble with the ballast itself is only the lack of it."""
    ballast = Ballast(tmp_path / "gone" / "ballast", SIZE)
    ballast.load()
    ballast.drop()
    assert not ballast.aboard


def test_reserving_overwrites_nothing(path: Path) -> None:
    """A name is reserved only when it is free and its folder there."""
    reserve_private(path)
    with pytest.raises(Conflict):
        reserve_private(path)
    with pytest.raises(StoreError, match="Not a directory"):
        reserve_private(path / "below")
