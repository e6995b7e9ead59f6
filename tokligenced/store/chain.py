"""The chain of hashes over the ledger's entries: whoever changes an old one must change all after it."""

import hashlib
import sqlite3

import msgspec

# The entry's columns in the order in which they are hashed.
COLUMNS = ("at", "kind", "source", "target", "amount", "call_id", "reference", "note")

_encode = msgspec.json.Encoder().encode


def link(previous: bytes, *values: object) -> bytes:
    """The hash of an entry with these values of `COLUMNS`, after one whose hash is `previous`."""
    return hashlib.sha256(previous + _encode(values)).digest()


def install(connection: sqlite3.Connection) -> None:
    """Let SQL on this connection call `link`."""
    connection.create_function("entry_hash", 1 + len(COLUMNS), link, deterministic=True)
