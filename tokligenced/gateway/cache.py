"""A cache of whole answers to calls that would be answered the same again; in memory, off unless wanted.

What is kept is its payer's alone. It is bounded by bytes, the least recently used going first, and by age;
a reload of the configuration empties it, so that no answer outlives what it was made with.

An answer is taken to be the same again where nothing is sampled (embeddings, rankings) and where the client
asks for that: `temperature` 0 or a `seed`, one choice, text alone, and only fields that are known to leave an
answer to the request itself. Tools, searches, files and whatever is not known make a call one of its kind.
"""

import re
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from tokligenced.catalog import Catalog
from tokligenced.clock import Clock
from tokligenced.domain import Call, Principal, Usage
from tokligenced.gateway.kept import Kept, fingerprint

# What stands in the books for the provider of an answer that was kept.
CACHE = "cache"

# What is not sampled, and what may be.
_ALWAYS = frozenset({"embeddings", "rerank"})
_CONVERSATIONS = frozenset({"chat", "messages", "responses"})

_ZERO = re.compile(rb"-?0(?:\.0+)?(?:[eE][+-]?[0-9]+)?")
_KNOWN = frozenset(
    {
        "frequency_penalty",
        "include",
        "input",
        "instructions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "min_p",
        "model",
        "n",
        "output_config",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "stop_sequences",
        "store",
        "stream",
        "stream_options",
        "system",
        "temperature",
        "text",
        "thinking",
        "top_k",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
        "verbosity",
    }
)

# A larger answer is not kept: it is held together in memory while it comes.
_LARGEST = 4 * 1024 * 1024
# What an answer takes beside its body, rather too much.
_AROUND = 1024

_Key = tuple[str, bytes]


class _Entry(Struct, frozen=True):
    kept: Kept
    until: float

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.kept.body) + _AROUND


class Slot:
    """The place of one call's answer: `kept` is what is there, else what is given here may be put there."""

    __slots__ = ("_cache", "_key", "_of", "_pieces", "_size", "kept")

    def __init__(self, cache: "AnswerCache", key: _Key, of: Catalog, kept: Kept | None) -> None:
        self.kept = kept
        self._cache = cache
        self._key = key
        self._of = of
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Note what of a stream the client gets."""
        self._size += len(piece)
        if self._size <= _LARGEST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def fill(self, head: bytes, content_type: str, usage: Usage) -> None:
        """Keep the answer, now that it is whole: `head` and all that was noted after it."""
        if len(head) + self._size <= _LARGEST:
            body = b"".join([head, *self._pieces])
            self._cache.put(self._key, self._of, Kept(body=body, content_type=content_type, usage=usage))


class AnswerCache:
    """All that is kept, in `size` bytes. `catalog` gives what is in force now, the settings among it."""

    def __init__(self, catalog: Callable[[], Catalog], clock: Clock) -> None:
        self.size = 0
        self._catalog = catalog
        self._clock = clock
        self._of = catalog()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()

    @property
    def share(self) -> int:
        """What part of its price an answer costs that was kept, in millionths."""
        return self._current().cache.share

    def slot(self, call: Call, principal: Principal, cache_control: str | None) -> Slot | None:
        """The place of a call's answer; None where it has none: the cache is off, or the call not for it.

        A client may say `no-store`, and nothing is looked up or kept, or `no-cache`, and a fresh answer takes
        the place of the kept one. https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1
        """
        catalog = self._current()
        model = catalog.names.get(call.model)
        if not catalog.cache.enabled or model is None or not repeatable(call, catalog.responses.store):
            return None
        asked = [part.strip().lower() for part in (cache_control or "").split(",")]
        if "no-store" in asked:
            return None
        key = (principal.payer.id, fingerprint(call, model.id))
        return Slot(self, key, catalog, None if "no-cache" in asked else self._find(key))

    def put(self, key: _Key, of: Catalog, kept: Kept) -> None:
        """Keep an answer that was made by the catalog `of`, unless another is in force by now."""
        settings = self._current().cache
        if of is not self._of:
            return
        self._remove(key)
        entry = self._entries[key] = _Entry(kept, self._clock.monotonic() + settings.max_age)
        self.size += entry.size
        while self.size > settings.max_bytes:
            self._remove(next(iter(self._entries)))

    def _current(self) -> Catalog:
        catalog = self._catalog()
        if catalog is not self._of:
            self._of = catalog
            self._entries.clear()
            self.size = 0
        return catalog

    def _find(self, key: _Key) -> Kept | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._clock.monotonic():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.kept

    def _remove(self, key: _Key) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self.size -= entry.size


def repeatable(call: Call, keeps_responses: bool) -> bool:
    """Whether a call would be answered the same again, and leaves nothing behind that another one would miss.

    `keeps_responses` says that a response is kept unless its client says no.
    """
    if call.dialect in _ALWAYS:
        return True
    if call.dialect not in _CONVERSATIONS or call.counting or call.choices != 1:
        return False
    if call.images or call.files or call.audio or call.draws or call.searches:
        return False
    if not call.member("seed") and not _ZERO.fullmatch(call.member("temperature")):
        return False
    return _stands_alone(call) and _leaves_nothing(call, keeps_responses)


def _stands_alone(call: Call) -> bool:
    """Whether the answer depends on nothing but the request; items of Responses can bring tools along."""
    known = all(name in _KNOWN or not call.member(name) for name in call.members)
    return known and b'"tools"' not in call.member("input")


def _leaves_nothing(call: Call, keeps_responses: bool) -> bool:
    store = call.member("store")
    return store == b"false" or (not store and not (call.dialect == "responses" and keeps_responses))
