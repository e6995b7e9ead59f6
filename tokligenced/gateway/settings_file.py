"""What administrators configure, in a file of its own: `conf.d/90-dashboard.toml` beside the main file.

A change is written in one step and then read and checked with all other files; where it is refused, the file
is as it was before. Secrets go the other way only: each into a file of mode 0600 that the
settings name.
"""

import contextlib
import copy
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from msgspec import Meta, Struct

from tokligenced.config.sources import read_own
from tokligenced.errors import ConfigError, InvalidInput, StoreError
from tokligenced.gateway.runtime import Reloader

NAME = "90-dashboard.toml"
_SECRETS = "90-dashboard.*.key"
_SECTIONS = ("accounts", "endpoints", "limits", "models", "providers")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_SECRET = re.compile(r"[!-~]{1,4096}").fullmatch

Tree = dict[str, Any]


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value to set: `path` is like `["models", "gpt-4o", "price", "input"]`; null takes away what was set.

    A provider's `api_key` may be text: it is put away as a secret.
    """

    path: Annotated[list[str], Meta(min_length=2, max_length=8)]
    value: Any = None


class SettingsFile:
    """The file; it is read anew for each change, since people may edit it as well."""

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._folder = reloader.path.parent / "conf.d"
        self._file = self._folder / NAME

    def change(self, changes: Sequence[Change], *, actor: str) -> list[str]:
        """Set values and reload; the keys that need a restart.

        Raises `InvalidInput`, `ConfigError` for what the configuration as a whole can't be, and `StoreError`
        where the file can't be written; then nothing has changed.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            before = self._file.read_bytes() if self._file.exists() else None
            tree = read_own(self._file) if before is not None else {}
            old = copy.deepcopy(tree)
            for each in changes:
                _apply(tree, each)
            try:
                self._hide_secrets(tree)
                self._write(_rendered(tree))
                try:
                    return self._reloader.reload(actor, [".".join(each.path) for each in changes])
                except ConfigError:
                    self._restore(before)
                    raise
            except (ConfigError, InvalidInput, OSError):
                tree = old
                raise
            finally:
                self._sweep(tree)
        except OSError as error:
            raise StoreError(f"{self._file}: can't be written: {error.strerror or error}") from error

    def _hide_secrets(self, tree: Tree) -> None:
        """Put each key that stands in the settings as text into a file, and name that instead."""
        for name, settings in _table(tree, "providers").items():
            secret = settings.get("api_key") if isinstance(settings, dict) else None
            if not isinstance(secret, str):
                continue
            if not _FILE_NAME(name):
                raise InvalidInput("the name of a provider with a key must be of letters, digits, _ and -")
            if not _SECRET(secret):
                raise InvalidInput("an api_key must be printable, without blanks")  # not shown: it is one
            file = self._folder / f"90-dashboard.{name}.{secrets.token_hex(4)}.key"
            _write_private(file, secret.encode())
            settings["api_key"] = {"file": f"conf.d/{file.name}"}

    def _sweep(self, tree: Tree) -> None:
        """Remove the secrets to which nothing refers any more."""
        used = {
            Path(str(settings["api_key"]["file"])).name
            for settings in _table(tree, "providers").values()
            if isinstance(settings, dict)
            and isinstance(settings.get("api_key"), dict)
            and "file" in settings["api_key"]
        }
        for file in self._folder.glob(_SECRETS):
            if file.name not in used:
                file.unlink()

    def _restore(self, before: bytes | None) -> None:
        if before is None:
            self._file.unlink()
        else:
            self._write(before)

    def _write(self, content: bytes) -> None:
        """Put the file in place in one step; a reader finds the old one or the new one, never half of one."""
        temporary = self._file.with_name(f".{NAME}.new")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        _write_private(temporary, content)
        temporary.replace(self._file)


def _apply(tree: Tree, change: Change) -> None:
    section, *rest = change.path
    if section not in _SECTIONS:
        raise InvalidInput(f"only {', '.join(_SECTIONS)} can be changed here, not {section!r}")
    *parents, last = section, *rest
    table = tree
    for name in parents:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            raise InvalidInput(f"{'.'.join(change.path)}: {name!r} is no table")
        table = inner
    if change.value is None:
        table.pop(last, None)
    else:
        table[last] = change.value


def _table(tree: Mapping[str, Any], name: str) -> Tree:
    found = tree.get(name, {})
    return found if isinstance(found, dict) else {}


def _rendered(tree: Tree) -> bytes:
    try:
        return tomli_w.dumps(tree).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a value has no form in TOML: {error}") from error


def _write_private(file: Path, content: bytes) -> None:
    """A new file that only its owner may read, on the disk when this returns."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
