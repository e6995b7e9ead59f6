"""Values that fit a JSON schema, for the demo model's structured answers and tool calls."""

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"(?<=[\s,(\"'])[A-Z][\w-]{1,30}(?: [A-Z][\w-]{1,30}){0,2}")
_LOOKED_AT = 2_000
_LONGEST_WORD = 40
_LONGEST_PADDING = 256
_MOST_ITEMS = 16
_MOST_VALUES = 1_000
_DEEPEST = 24
_GREATEST = 1e15
_FORMATS = {
    "date": "2025-06-15",
    "date-time": "2025-06-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def fill(schema: object, text: str) -> object:
    """A value that fits the schema as far as types, enums, required members and simple bounds go.

    Strings are taken from `text`: a name that occurs in it, else its beginning. However large the
    schema or the counts in it, the value stays small.
    """
    return _Filler(schema, text).value(schema, 0)


class _Filler:
    """Walks one schema; counts the values it makes, so that no schema makes it run away."""

    def __init__(self, root: object, text: str) -> None:
        text = text[:_LOOKED_AT]
        names: list[str] = _NAME.findall(text)
        self._root = root
        self._word = names[-1] if names else (" ".join(text.split())[:_LONGEST_WORD].strip() or "demo")
        self._left = _MOST_VALUES

    def value(self, schema: object, depth: int) -> object:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            return None
        rules = self._resolve(schema)
        if "const" in rules:
            return rules["const"]
        named = rules.get("enum") or rules.get("examples")
        if isinstance(named, list) and named:
            return named[0]
        return self._of_type(rules, depth)

    def _of_type(self, rules: Mapping[str, Any], depth: int) -> object:
        kind = rules.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in rules else "array" if "items" in rules else "string"
        match kind:
            case "object":
                return self._object(rules, depth)
            case "array":
                return self._array(rules, depth)
            case "integer":
                return int(self._number(rules, 1))
            case "number":
                return self._number(rules, 0.5)
            case "boolean" | "null":
                return True if kind == "boolean" else None
            case _:
                return self._string(rules)

    def _resolve(self, schema: object) -> Mapping[str, Any]:
        """The schema's own rules after references, unions (first choice) and conjunctions."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            if isinstance(reference := schema.get("$ref"), str):
                schema = self._find(reference)
            elif choices := [c for key in ("anyOf", "oneOf") for c in _maps(schema.get(key))]:
                schema = choices[0]
            elif parts := _maps(schema.get("allOf")):
                rest = {key: rule for key, rule in schema.items() if key != "allOf"}
                schema = {key: rule for part in (*parts, rest) for key, rule in part.items()}
            else:
                return schema
        return {}

    def _find(self, reference: str) -> object:
        found = self._root
        for name in reference.removeprefix("#").split("/")[1:]:
            found = (
                found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
            )
        return found

    def _object(self, rules: Mapping[str, Any], depth: int) -> dict[str, Any]:
        members = rules.get("properties")
        members = members if isinstance(members, Mapping) else {}
        required = rules.get("required")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        if not names and not depth:
            names = list(members)
        return {name: self.value(members.get(name), depth + 1) for name in names if self._left > 0}

    def _array(self, rules: Mapping[str, Any], depth: int) -> list[Any]:
        least, most = _count(rules.get("minItems"), 1), _count(rules.get("maxItems"), _MOST_ITEMS)
        count = min(max(least, 1), most, _MOST_ITEMS)
        return [self.value(rules.get("items"), depth + 1) for _ in range(count) if self._left > 0]

    @staticmethod
    def _number(rules: Mapping[str, Any], default: float) -> float:
        low, above = _bound(rules, "minimum"), _bound(rules, "exclusiveMinimum")
        high, below = _bound(rules, "maximum"), _bound(rules, "exclusiveMaximum")
        value = default
        if low is not None:
            value = max(value, low)
        if above is not None and value <= above:
            value = above + default
        if high is not None:
            value = min(value, high)
        if below is not None and value >= below:
            value = below - default
        return value

    def _string(self, rules: Mapping[str, Any]) -> str:
        form = rules.get("format")
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form]
        least, most = _count(rules.get("minLength"), 0), _count(rules.get("maxLength"), _LONGEST_PADDING)
        return self._word.ljust(min(least, _LONGEST_PADDING), ".")[:most]


def _maps(rules: object) -> list[Mapping[str, Any]]:
    return [rule for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []


def _count(rule: object, default: int) -> int:
    return max(rule, 0) if isinstance(rule, int) else default


def _bound(rules: Mapping[str, Any], name: str) -> float | None:
    rule = rules.get(name)
    within = isinstance(rule, int | float) and not isinstance(rule, bool) and abs(rule) < _GREATEST
    return rule if within else None
