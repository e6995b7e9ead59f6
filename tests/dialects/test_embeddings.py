"""Embeddings: what is asked is read with care, and no vector gets through that is none."""

import json
import math
import struct
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import embeddings, tasks
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest, UpstreamFailed

floats32 = st.floats(
    width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**126), max_value=2.0**126
)


def call_of(given_input: object = "a", **members: Any) -> Call:
    """A call as the gateway reads it off the wire."""
    return embeddings.parse(json.dumps({"model": "m", "input": given_input, **members}).encode())


def packed(vector: list[float]) -> str:
    """A vector as base64 of little-endian 32-bit floats."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def answer_of(*vectors: object, usage: object = None, **members: Any) -> bytes:
    """An answer with these vectors, in order."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)
    ]
    usage = usage or {"prompt_tokens": 1, "total_tokens": 1}
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage, **members}).encode()


def vectors_in(body: bytes) -> list[Any]:
    """The vectors of an answer."""
    return [each["embedding"] for each in json.loads(body)["data"]]


@pytest.mark.parametrize(
    ("given_input", "inputs", "text_bytes", "tokens"),
    [
        ("hé", 1, 3, 0),
        (["a", "bc"], 2, 3, 0),
        ([1, 2, 3], 1, 0, 3),
        ([[1, 2], [3]], 2, 0, 3),
    ],
)
def test_texts_and_token_ids_are_counted(
    given_input: object, inputs: int, text_bytes: int, tokens: int
) -> None:
    """A text, texts, one text's ids, several texts' ids: how many there are, and how large."""
    call = call_of(given_input)
    assert (call.inputs, call.text_bytes, call.tokens, call.choices) == (inputs, text_bytes, tokens, 0)


@pytest.mark.parametrize(
    "given_input", ["", [], [""], ["a", ""], [[]], [[1], []], ["a", 1], ["a", [1]], [1, [2]], ["a"] * 10_001]
)
def test_input_that_is_empty_or_mixed_is_refused(given_input: object) -> None:
    """What is no text and no ids, or both, is refused by the field's name."""
    with pytest.raises(InvalidRequest) as refused:
        call_of(given_input)
    assert (refused.value.code, refused.value.param) == ("invalid_value", "input")


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": -1, "encoding_format": "float"}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"model": ""}, "model"),
        ({"model": "a\n"}, "model"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [True]}, "input[0]"),
        ({"input": None}, "input"),
        ({"input_type": 1}, "input_type"),
    ],
)
def test_a_wrong_value_is_named(members: dict[str, Any], param: str) -> None:
    """The refusal says which field is at fault."""
    with pytest.raises(InvalidRequest) as refused:
        embeddings.parse(json.dumps({"model": "m", "input": "a", **members}).encode())
    assert refused.value.param == param


def test_what_is_missing_is_named() -> None:
    """Without an input there is nothing to embed."""
    with pytest.raises(InvalidRequest) as refused:
        embeddings.parse(b'{"model": "m"}')
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "input")


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("query", "q"),
        ("search_query", "q"),
        ("RETRIEVAL_QUERY", "q"),
        ("retrieval.passage", "d"),
        ("document", "d"),
        ("clustering", None),
        ("FACT_VERIFICATION", "FACT_VERIFICATION"),
        (None, None),
    ],
)
def test_purposes_are_understood_in_everybodys_words(said: str | None, word: str | None) -> None:
    """Each provider hears its own word; one that nobody else has is left to it."""
    for name in ("input_type", "task", "task_type"):
        request = embeddings.read(call_of(**({name: said} if said else {})))
        assert embeddings.purpose(request, {"query": "q", "document": "d", "clustering": None}) == word


@given(st.lists(st.lists(floats32, min_size=1, max_size=8), min_size=1, max_size=4))
def test_both_encodings_carry_the_same_vectors(vectors: list[list[float]]) -> None:
    """Floats become base64 and base64 becomes floats, and every number stays what it was."""
    texts = ["x"] * len(vectors)
    base64 = embeddings.read_answer(answer_of(*vectors), call_of(texts, encoding_format="base64"), "m")
    assert vectors_in(base64.body) == [packed(vector) for vector in vectors]
    floats = embeddings.read_answer(answer_of(*map(packed, vectors)), call_of(texts), "m")
    assert vectors_in(floats.body) == vectors


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_an_answer_in_the_right_encoding_is_the_same_object(encoding: str) -> None:
    """Nothing is copied where nothing has to change."""
    data = answer_of([0.5, -1e-5] if encoding == "float" else packed([0.5, -1e-5]))
    assert embeddings.read_answer(data, call_of(encoding_format=encoding), "m").body is data


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize(
    "vector",
    [
        None,
        [],
        "",
        "AACAPw",
        "AACA",
        "not base64!",
        [None, None],
        ["1", "2"],
        [[1.0], [2.0]],
        {"values": [1.0]},
        True,
        1.5,
        packed([math.nan, 1.0]),
        packed([math.inf]),
        packed([-math.inf, 0.0]),
    ],
)
def test_what_is_no_vector_is_a_failed_attempt(encoding: str, vector: object) -> None:
    """Nothing but finite numbers gets through, in whichever encoding."""
    with pytest.raises(UpstreamFailed):
        embeddings.read_answer(answer_of(vector), call_of(encoding_format=encoding), "m")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-", b"1.2.3", b"1e", b"0x1"])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_numbers_that_json_has_not_are_a_failed_attempt(encoding: str, number: bytes) -> None:
    """What some servers write for a number they could not compute is no number."""
    data = answer_of([1.0]).replace(b"[1.0]", b"[0.5, %b]" % number)
    with pytest.raises(UpstreamFailed):
        embeddings.read_answer(data, call_of(encoding_format=encoding), "m")


def test_an_answer_that_is_written_anew_has_no_white_space() -> None:
    """Pretty printing makes vectors twice as long; the client need not pay for that."""
    call = call_of()
    raw = msgspec.Raw(b"[\n  0.5,\n  -1e-05\n]")
    answer = embeddings.written([raw], call, "m", tasks.Count(1))
    assert b'"embedding":[0.5,-1e-05]' in answer.body


def test_slashes_may_be_escaped() -> None:
    """JSON lets an encoder write a slash in two ways, and base64 has slashes."""
    vector = [struct.unpack("<f", b"\xff\xff\xff\x3f")[0]]
    assert "/" in packed(vector)
    data = answer_of(packed(vector)).replace(b"/", b"\\/")
    assert vectors_in(embeddings.read_answer(data, call_of(), "m").body) == [vector]


def test_a_number_beyond_32_bits_makes_no_base64() -> None:
    """What no 32-bit float can hold is a failed attempt, not a crash."""
    with pytest.raises(UpstreamFailed):
        embeddings.read_answer(answer_of([1e39]), call_of(encoding_format="base64"), "m")


@pytest.mark.parametrize(
    "indices", [[0], [0, 1, 2], [0, 0], [1, 2], [-1, 0], [None, 0], [0, None], [0, 2**70]]
)
def test_too_few_too_many_or_doubled_vectors_are_a_failed_attempt(indices: list[Any]) -> None:
    """There must be one vector for each input, and no other."""
    data = [{"embedding": [1.0]} | ({} if index is None else {"index": index}) for index in indices]
    with pytest.raises(UpstreamFailed):
        embeddings.read_answer(msgspec.json.encode({"data": data}), call_of(["a", "b"]), "m")


def test_vectors_out_of_order_are_put_in_order() -> None:
    """Clients take the place in the list for the place in the input."""
    data = json.dumps({"data": [{"index": 1, "embedding": [1]}, {"index": 0, "embedding": [0]}]}).encode()
    assert vectors_in(embeddings.read_answer(data, call_of(["a", "b"]), "m").body) == [[0], [1]]


@pytest.mark.parametrize("usage", [{"prompt_tokens": -1, "total_tokens": 1}, "much", {"total_tokens": 1e12}])
def test_a_usage_that_cant_be_is_not_believed(usage: object) -> None:
    """The vectors pass, the tokens are counted here, and the operator is told."""
    answer = embeddings.read_answer(answer_of([1.0], usage=usage), call_of(), "m")
    assert vectors_in(answer.body) == [[1.0]]
    assert (answer.usage, answer.disbelieved) == (None, True)


def test_an_explicit_zero_is_zero() -> None:
    """Who says that it counted nothing is believed."""
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    answer = embeddings.read_answer(answer_of([1.0], usage=usage), call_of(), "m")
    assert answer.usage is not None
    assert answer.usage.input == 0
    assert not answer.usage.estimated


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_whatever_crash_the_reader(data: bytes) -> None:
    """Anything is an answer or a failed attempt."""
    with pytest.raises(UpstreamFailed):
        embeddings.read_answer(data, call_of(), "m")
