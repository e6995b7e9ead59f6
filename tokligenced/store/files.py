"""The files beside the database: its lock, its ballast, and how private files are made and made to last."""

import contextlib
import fcntl
import os
from pathlib import Path

from tokligenced.errors import Conflict, StoreError, StoreLocked

_PRIVATE = 0o600


def create_private(path: Path) -> None:
    """Make `path` an empty file only its owner can read, unless it is there; raises `StoreError`."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE))
    except OSError as error:
        raise _unusable(path, error) from error


def reserve_private(path: Path) -> None:
    """Make `path` an empty file only its owner can read.

    Raises `Conflict` when something is there, `StoreError` when it can't be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE))
    except FileExistsError as error:
        raise Conflict(f"{path}: exists already") from error
    except OSError as error:
        raise _unusable(path, error) from error


def make_durable(path: Path) -> None:
    """Wait until `path`, its content and its name in the folder, would survive a power cut."""
    for each in (path, path.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {error.strerror}")


class Lock:
    """An exclusive lock held as long as this process lives; the file stays and says whose it is.

    The kernel drops it with the process, however that ends. The file is never removed: who waits
    for the old file and who makes a new one would both have a lock.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock; raises `StoreLocked` when another process has it, `StoreError` otherwise."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreLocked(f"{path}: in use by process {owner or '(unknown)'}") from None
        except OSError as error:
            os.close(self._descriptor)
            raise _unusable(path, error) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self._descriptor)


class Ballast:
    """Room kept for the day the disk is full: thrown overboard so that what was begun can be written."""

    def __init__(self, path: Path, size: int) -> None:
        """`size` is in bytes."""
        self._path = path
        self._size = size
        self.aboard = False

    def load(self) -> None:
        """Take the room, unless that would leave too little for the database itself.

        As much again must stay free: else the next commit would throw out what this one took in.
        """
        try:
            kept = self._path.stat().st_size if self._path.exists() else 0
            disk = os.statvfs(self._path.parent)
            self.aboard = kept >= self._size or disk.f_bavail * disk.f_frsize >= 2 * self._size
            if self.aboard:
                self._allocate()
        except OSError:
            # That there is no room is what `aboard` says; who asks again gets a new try.
            self.drop()

    def drop(self) -> None:
        """Give the room back; where even that is refused, the next commit says why."""
        self.aboard = False
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _allocate(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, _PRIVATE)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        finally:
            os.close(descriptor)
