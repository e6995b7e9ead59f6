"""Files → one tree of values, each of which knows the file it came from.

The main file comes first, then `conf.d/*.toml` beside it in name order. Tables merge deeply, all
other values replace what was there before.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

from tokligenced.config.values import quoted
from tokligenced.errors import ConfigError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_POSITION = re.compile(r"(?P<reason>.*) \(at (?P<place>.*)\)")


class ConfigErrors(ConfigError):
    """All that is wrong with a configuration: `errors`, of which `str()` shows the first."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first, more = errors[0], len(errors) - 1
        super().__init__(
            first.file, first.path, f"{first.reason} (and {more} more)" if more else first.reason
        )
        self.errors = tuple(errors)


class Node(Struct, frozen=True):
    """A TOML value and its file. Tables are dicts of nodes, arrays lists of nodes."""

    file: str
    value: object

    def plain(self) -> object:
        """The value as the TOML parser gave it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def dotted(path: str, key: str) -> str:
    """The path of `key` in the table at `path`; names of models are always quoted."""
    written = key if path != "models" and _BARE_KEY.fullmatch(key) else quoted(key)
    return f"{path}.{written}" if path else written


def node_of(file: str, raw: object) -> Node:
    """A parsed value as nodes that all belong to `file`."""
    if isinstance(raw, dict):
        return Node(file, {key: node_of(file, value) for key, value in raw.items()})
    if isinstance(raw, list):
        return Node(file, [node_of(file, value) for value in raw])
    return Node(file, raw)


def merge(below: Node, above: Node) -> Node:
    """`above` laid over `below`; a table that both have stays with the file that had it first."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, node in above.value.items():
        # An api_key names one source, so another source takes its place instead of joining it.
        merged[key] = merge(merged[key], node) if key in merged and key != "api_key" else node
    return Node(below.file, merged)


def origins(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, file) of every value that is not a table."""
    if isinstance(node.value, dict):
        for key, inner in node.value.items():
            yield from origins(inner, dotted(path, key))
    else:
        yield path, node.file


def read(path: Path) -> Node:
    """The main file and what is beside it, merged; raises `ConfigErrors`."""
    errors: list[ConfigError] = []
    merged = Node(str(path), {})
    try:
        for file in (path, *_drop_ins(path.parent / "conf.d")):
            try:
                merged = merge(merged, _parse(file))
            except ConfigError as error:
                errors.append(error)
    except ConfigError as error:
        errors.append(error)
    if errors:
        raise ConfigErrors(errors)
    return merged


def read_own(file: Path) -> dict[str, object]:
    """One file as the TOML parser gives it, numbers exact; raises `ConfigError`."""
    plain = _parse(file).plain()
    return plain if isinstance(plain, dict) else {}


def _drop_ins(folder: Path) -> list[Path]:
    try:
        names = [file.name for file in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(str(folder), "", error.strerror or str(error)) from error
    return [folder / name for name in sorted(names) if name.endswith(".toml") and not name.startswith(".")]


def _parse(file: Path) -> Node:
    try:
        raw = tomllib.loads(file.read_bytes().decode(), parse_float=Decimal)
        return node_of(str(file), raw)
    except OSError as error:
        raise ConfigError(str(file), "", f"can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        # From None: the error at hand holds the file's bytes, secrets included.
        raise ConfigError(str(file), "", f"not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        found = _POSITION.fullmatch(str(error))
        place, reason = (found["place"], found["reason"]) if found else ("", str(error))
        raise ConfigError(str(file), place, reason) from None
    except (ValueError, ArithmeticError):
        raise ConfigError(str(file), "", "holds a number that is too long") from None
    except RecursionError:
        raise ConfigError(str(file), "", "is nested too deeply") from None
