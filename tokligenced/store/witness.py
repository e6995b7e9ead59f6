"""The witness: a file beside the database that names the ledger's last entry, as it was at some moment.

An older copy put in the database's place lacks that entry, or has another under its number. Chains of
hashes can't show that by themselves: an old file is a good file. Who takes away both goes unnoticed,
but for the heads in the log: `ledger verify --head`.
"""

import os
import threading
from pathlib import Path

import msgspec
from msgspec import Struct

from tokligenced.errors import StoreError
from tokligenced.store.files import make_durable
from tokligenced.store.ledger import Head

_PRIVATE = 0o600


class Witness(Struct, frozen=True, kw_only=True):
    """The number and the hash (hexadecimal) of the ledger's last entry at a Unix millisecond."""

    seq: int
    hash: str
    at: int


# Who gives up waiting for a write leaves its thread at it; the next one must not meet it in the same file.
_ONE_AT_A_TIME = threading.Lock()


class Unreadable(StoreError):
    """There is a witness, but nobody can tell what it says."""


_decode = msgspec.json.Decoder(Witness).decode


def path_beside(database: Path) -> Path:
    """Where the witness of this database file is."""
    path = database.resolve()  # as the lock: one database has one witness, whatever its path is called
    return path.with_name(path.name + ".head")


def write(path: Path, head: Head, at: int) -> None:
    """Let `path` be a witness of `head`, durably; what it said before is there until it is replaced.

    It waits for the disk, so not for the event loop's thread. Raises `StoreError`.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with _ONE_AT_A_TIME:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(Witness(seq=head.seq, hash=head.hash, at=at)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            make_durable(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def read(path: Path) -> Witness | None:
    """What the witness says; None when there is none. Raises `Unreadable`."""
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        raise Unreadable(f"{path}: no witness of a ledger's head: {error}") from error
