"""Walking the tree of values: typed, with paths, and with every mistake gathered.

A `Table` is asked for its keys one by one; a bad value is noted and its default used in its place,
so that one reading finds all mistakes. What was never asked for is an unknown key.
"""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from tokligenced.config.sources import ConfigErrors, Node, dotted
from tokligenced.config.values import Invalid
from tokligenced.errors import ConfigError

T = TypeVar("T")


class Reading:
    """What one reading of a configuration has to hand and what it gathers.

    `folder` is what relative paths are relative to. Without `secrets` no secret is looked up.
    `known` are the dotted paths of all keys that were asked for, set or not.
    """

    def __init__(self, *, environ: Mapping[str, str], folder: Path, secrets: bool) -> None:
        self.environ = environ
        self.folder = folder
        self.secrets = secrets
        self.unknown: list[ConfigError] = []
        self.mistakes: list[ConfigError] = []
        self.warnings: list[str] = []
        self.known: set[str] = set()

    def check(self) -> None:
        """Raise `ConfigErrors` if anything was wrong, misspelt keys first: they explain the rest."""
        if errors := self.unknown + self.mistakes:
            raise ConfigErrors(errors)


class Table:
    """One TOML table being read."""

    def __init__(self, reading: Reading, node: Node, path: str) -> None:
        self.reading = reading
        self.path = path
        self._file = node.file
        self._nodes: Mapping[str, Node] = node.value if isinstance(node.value, dict) else {}
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def names(self) -> tuple[str, ...]:
        """All keys, as they stand in the files."""
        return tuple(self._nodes)

    def get(self, key: str) -> object:
        """The value as it stands, None when it is not set."""
        node = self._ask(key)
        return None if node is None else node.plain()

    def take(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """The value of `key`, or `default` when it is not set or, with a mistake noted, not usable."""
        node = self._ask(key)
        if node is None:
            return default
        try:
            return parse(node.plain())
        except Invalid as reason:
            self.refuse(str(reason), key)
            return default

    def need(self, key: str, parse: Callable[[object], T], instead: T) -> T:
        """The same for a key that must be set; `instead` stands in for a value that is not there."""
        if key not in self:
            self.refuse("is required", key)
        return self.take(key, parse, instead)

    def table(self, key: str) -> "Table":
        """The table at `key`, empty when it is not set."""
        path = dotted(self.path, key)
        node = self._ask(key)
        if node is not None and not isinstance(node.value, dict):
            self.refuse("must be a table", key)
        return Table(self.reading, node or Node(self._file, {}), path)

    def tables(self, key: str) -> list["Table"]:
        """The array of tables at `key`; a table alone is an array of one."""
        path = dotted(self.path, key)
        node = self._ask(key)
        if node is None:
            return []
        if isinstance(node.value, dict):
            return [Table(self.reading, node, path)]
        items = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(item.value, dict) for item in items):
            self.refuse("must be an array of tables", key)
            return []
        return [Table(self.reading, item, f"{path}[{index}]") for index, item in enumerate(items)]

    def entries(self) -> Iterator[tuple[str, "Table"]]:
        """(name, table) of a table whose keys are names people chose."""
        for name, node in self._nodes.items():
            self._asked.add(name)
            if isinstance(node.value, dict):
                yield name, Table(self.reading, node, dotted(self.path, name))
            else:
                self.refuse("must be a table", name)

    def refuse(self, reason: str, key: str | None = None) -> None:
        """Note a mistake in the value of `key`, or in the table as a whole."""
        self.reading.mistakes.append(self._error(reason, key))

    def warn(self, reason: str, key: str) -> None:
        """Note what works but should be known."""
        self.reading.warnings.append(str(self._error(reason, key)))

    def done(self) -> None:
        """Note every key nobody asked for."""
        self.reading.known.update(dotted(self.path, key) for key in self._asked)
        for key in self._nodes:
            if key not in self._asked:
                near = get_close_matches(key, sorted(self._asked), n=1)
                hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(self._asked))}"
                self.reading.unknown.append(self._error(f"unknown key; {hint}", key))

    def _ask(self, key: str) -> Node | None:
        self._asked.add(key)
        return self._nodes.get(key)

    def _error(self, reason: str, key: str | None) -> ConfigError:
        if key is None:
            return ConfigError(self._file, self.path, reason)
        file = self._nodes[key].file if key in self._nodes else self._file
        return ConfigError(file, dotted(self.path, key), reason)
