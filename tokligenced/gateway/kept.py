"""Answers that were given once and may be given again, and how a request is known that asks for one."""

import hashlib

import msgspec
from msgspec import Struct

from tokligenced.domain import Call, Usage

# These are told apart by themselves: a model by its id, whatever alias it was called by.
_APART = frozenset({"model", "stream"})


class Kept(Struct, frozen=True, kw_only=True):
    """A whole answer as a client got it, and what it used."""

    body: bytes
    content_type: str
    usage: Usage = Usage()


def fingerprint(call: Call, model: str) -> bytes:
    """SHA-256 of all that a call asks, of the model by this name.

    Two calls share it when their bodies hold the same values, however these are ordered and spaced; a member
    that is null is as good as none.
    """
    made = hashlib.sha256()
    for part in (call.dialect, model, str(call.stream), call.query):
        _add(made, part.encode())
    for name, value in sorted(call.headers.items()):
        _add(made, name.encode())
        _add(made, value.encode(errors="surrogateescape"))
    for name in sorted(call.members.keys() - _APART):
        if given := call.member(name):
            _add(made, name.encode())
            _add(made, _canonical(given))
    return made.digest()


def _add(made: "hashlib._Hash", part: bytes) -> None:
    made.update(b"%d:%b" % (len(part), part))


def _canonical(value: bytes) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(value), order="sorted")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return value  # what the decoder will not read stands for itself
