"""What is cached, for whom, how long, and in how much memory."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.fakes import FakeClock
from tests.gateway.books import principal
from tokligenced import catalog as catalogs
from tokligenced.catalog import Catalog
from tokligenced.config import CacheSettings, Config
from tokligenced.dialects import chat, clients, embeddings, images, messages, rerank, responses_calls
from tokligenced.domain import Call, Deployment, Model, Usage
from tokligenced.gateway.cache import AnswerCache, repeatable
from tokligenced.gateway.kept import Kept

ANN, ANNS_OTHER_KEY, BOB = principal(1), principal(1, key=2), principal(2)
USAGE = Usage(input=3, output=4)
MODEL = Model(
    id="m",
    name="m",
    context_window=8,
    max_output_tokens=8,
    free=True,
    deployments=(Deployment(provider="p", model="m"),),
    aliases=("alias",),
)
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
MESSAGES: dict[str, Any] = CHAT | {"max_tokens": 9}
RESPONSES: dict[str, Any] = {"model": "m", "input": "hi", "temperature": 0.0}
PARSERS: dict[str, clients.Parse] = {
    "chat": chat.parse,
    "messages": messages.parse,
    "responses": responses_calls.parse,
    "embeddings": embeddings.parse,
    "rerank": rerank.parse,
    "images": images.parse,
}


def holding(part: object) -> dict[str, Any]:
    """Messages with such a part."""
    return {"messages": [{"role": "user", "content": [part]}]}


def parsed(dialect: str, request: dict[str, Any]) -> Call:
    """The call that a request makes."""
    return PARSERS[dialect](json.dumps(request).encode(), call_id="", at=0)


def asked(content: str = "hi", *, model: str = "m", stream: bool = False) -> Call:
    """A call that is for the cache."""
    said = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream}
    return chat.parse(json.dumps(CHAT | said).encode())


class Shelf:
    """A cache with settings that can be changed as a reload does."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.reload(**settings)
        self.cache = AnswerCache(lambda: self.catalog, self.clock)

    def reload(self, **settings: Any) -> None:
        """Put other settings in place."""
        cache = CacheSettings(**({"enabled": True} | settings))
        self.catalog: Catalog = catalogs.build(Config(models={"m": MODEL}, cache=cache))

    def put(self, call: Call, body: bytes, who: Any = ANN, said: str | None = None) -> None:
        """Have an answer kept."""
        slot = self.cache.slot(call, who, said)
        assert slot is not None
        slot.fill(body, "application/json", USAGE)

    def got(self, call: Call, who: Any = ANN, said: str | None = None) -> bytes | None:
        """The kept answer."""
        slot = self.cache.slot(call, who, said)
        return None if slot is None or slot.kept is None else slot.kept.body


def test_off_by_default() -> None:
    """Nobody gets a kept answer unless the operator wants that."""
    shelf = Shelf(enabled=CacheSettings().enabled)
    assert shelf.cache.slot(asked(), ANN, None) is None


def test_the_same_is_answered_the_same() -> None:
    """What comes back is the answer as it was, its kind and its usage."""
    shelf = Shelf()
    shelf.put(asked(), b"answer")
    slot = shelf.cache.slot(asked(model="alias"), ANNS_OTHER_KEY, None)
    assert slot is not None
    assert slot.kept == Kept(body=b"answer", content_type="application/json", usage=USAGE)


def test_never_across_payers() -> None:
    """Another payer's identical request finds nothing."""
    shelf = Shelf()
    shelf.put(asked(), b"answer")
    assert shelf.got(asked(), BOB) is None


def test_a_stream_and_a_whole_answer_are_two() -> None:
    """Who wants a stream gets none that was not one."""
    shelf = Shelf()
    shelf.put(asked(), b"answer")
    assert shelf.got(asked(stream=True)) is None


def test_a_stream_is_kept_as_it_came() -> None:
    """Head and pieces in their order."""
    shelf = Shelf()
    slot = shelf.cache.slot(asked(stream=True), ANN, None)
    assert slot is not None
    slot.add(b"two")
    slot.add(b"three")
    slot.fill(b"one", "text/event-stream", USAGE)
    assert shelf.got(asked(stream=True)) == b"onetwothree"


def test_no_answer_grows_old() -> None:
    """After its time an answer is gone, and its memory with it."""
    shelf = Shelf(max_age=10.0)
    shelf.put(asked(), b"answer")
    shelf.clock.advance(9.9)
    assert shelf.got(asked()) == b"answer"
    shelf.clock.advance(0.1)
    assert shelf.got(asked()) is None
    assert shelf.cache.size == 0


def test_a_reload_empties_it() -> None:
    """An answer outlives no change of the configuration, nor does one that was asked for before it."""
    shelf = Shelf()
    shelf.put(asked(), b"answer")
    before = shelf.cache.slot(asked("late"), ANN, None)
    assert before is not None
    shelf.reload()
    assert shelf.got(asked()) is None
    before.fill(b"late", "application/json", USAGE)
    assert shelf.got(asked("late")) is None
    assert shelf.cache.size == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3_000), st.booleans()), max_size=60))
def test_memory_is_bounded_and_the_least_used_go_first(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever comes, the bound holds, and what is gone was used before all that is there."""
    shelf = Shelf(max_bytes=12_000)
    model: dict[int, bytes] = {}
    for number, size, putting in steps:
        call = asked(str(number))
        if putting:
            shelf.put(call, b"x" * size)
            model.pop(number, None)
            model[number] = b"x" * size
            while sum(len(body) + 1024 for body in model.values()) > 12_000:
                del model[next(iter(model))]
        else:
            assert shelf.got(call) == model.get(number)
            if number in model:
                model[number] = model.pop(number)
        assert shelf.cache.size == sum(len(body) + 1024 for body in model.values()) <= 12_000


def test_what_is_too_large_is_not_kept() -> None:
    """Neither in one piece nor in many, and an answer larger than the whole cache drives nothing out."""
    shelf = Shelf()
    shelf.put(asked(), b"x" * (4 * 1024 * 1024 + 1))
    assert shelf.got(asked()) is None
    slot = shelf.cache.slot(asked(stream=True), ANN, None)
    assert slot is not None
    for _ in range(5):
        slot.add(b"x" * 1024 * 1024)
    slot.fill(b"", "text/event-stream", USAGE)
    assert shelf.cache.size == 0


@pytest.mark.parametrize("said", ["no-store", "No-Store", "max-age=0, no-store"])
def test_no_store(said: str) -> None:
    """A client that wants no part in it is neither given a kept answer nor is its own kept."""
    assert Shelf().cache.slot(asked(), ANN, said) is None


def test_no_cache() -> None:
    """A client may have a fresh answer, which then takes the place of the old one."""
    shelf = Shelf()
    shelf.put(asked(), b"old")
    assert shelf.got(asked(), said="no-cache") is None
    shelf.put(asked(), b"new", said="no-cache")
    assert shelf.got(asked()) == b"new"


def test_a_model_that_is_not_there_has_no_place() -> None:
    """The router says so, not the cache."""
    assert Shelf().cache.slot(asked(model="other"), ANN, None) is None


REPEATABLE = [
    ("chat", CHAT),
    ("chat", CHAT | {"temperature": 0.0}),
    ("chat", CHAT | {"temperature": 1, "seed": 7}),
    ("chat", CHAT | {"seed": 0, "temperature": None}),
    ("chat", CHAT | {"n": 1, "store": False, "stream": True, "stream_options": {"include_usage": True}}),
    ("chat", CHAT | {"tools": None, "response_format": {"type": "json_object"}, "max_tokens": 5}),
    ("messages", MESSAGES | {"system": "be brief", "stop_sequences": ["x"]}),
    ("responses", RESPONSES | {"instructions": "be brief", "text": {"format": {"type": "text"}}}),
    ("embeddings", {"model": "m", "input": "hi"}),
    ("rerank", {"model": "m", "query": "q", "documents": ["d"]}),
]
ONE_OF_ITS_KIND = [
    ("chat", CHAT | {"temperature": 0.1}),
    ("chat", CHAT | {"temperature": None}),
    ("chat", CHAT | {"temperature": 0, "n": 2}),
    ("chat", CHAT | {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("chat", CHAT | {"web_search_options": {}}),
    ("chat", CHAT | {"search_parameters": {"mode": "on"}}),
    ("chat", CHAT | {"store": True}),
    ("chat", CHAT | holding({"type": "image_url", "image_url": {"url": "https://x"}})),
    ("chat", CHAT | holding({"type": "file", "file": {"file_id": "f"}})),
    ("messages", MESSAGES | {"temperature": 1}),
    ("messages", MESSAGES | {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}),
    ("responses", RESPONSES | {"tools": [{"type": "code_interpreter"}]}),
    ("responses", RESPONSES | {"input": [{"type": "x", "tools": [{"type": "code_interpreter"}]}]}),
    ("responses", RESPONSES | {"conversation": "conv_1"}),
    ("responses", RESPONSES | {"prompt": {"id": "p"}}),
    ("images", {"model": "m", "prompt": "a cat"}),
]


@pytest.mark.parametrize(("dialect", "request_body"), REPEATABLE)
def test_what_is_repeatable(dialect: str, request_body: dict[str, Any]) -> None:
    """Temperature 0 or a seed, one choice, text alone, or nothing that is sampled."""
    assert repeatable(parsed(dialect, request_body), keeps_responses=False)


@pytest.mark.parametrize(("dialect", "request_body"), ONE_OF_ITS_KIND)
def test_what_is_not(dialect: str, request_body: dict[str, Any]) -> None:
    """Whatever is sampled, reaches out of the request, leaves something behind, or is not known."""
    assert not repeatable(parsed(dialect, request_body), keeps_responses=False)


def test_counting_is_not_for_the_cache() -> None:
    """It costs nothing, and has no answer of a model's."""
    call = structs.replace(parsed("messages", MESSAGES), counting=True)
    assert not repeatable(call, keeps_responses=False)


@pytest.mark.parametrize(
    ("store", "keeps", "may"), [(None, True, False), (False, True, True), (None, False, True)]
)
def test_a_response_that_is_kept_is_one_of_its_kind(store: bool | None, keeps: bool, may: bool) -> None:
    """It has an id under which its own key finds it."""
    assert repeatable(parsed("responses", RESPONSES | {"store": store}), keeps_responses=keeps) == may
