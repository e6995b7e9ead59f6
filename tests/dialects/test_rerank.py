"""Rankings: read from every vendor, written in one shape, and only of documents that were sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokligenced.dialects import rerank
from tokligenced.domain import Call
from tokligenced.errors import InvalidRequest, UpstreamFailed

DOCUMENTS = ["a", {"text": "b"}, "c"]


def call_of(documents: object = DOCUMENTS, **members: Any) -> Call:
    """A call as the gateway reads it off the wire."""
    body = {"model": "m", "query": "q", "documents": documents, **members}
    return rerank.parse(json.dumps(body).encode(), call_id="req_1")


def ranked(*pairs: tuple[object, object], name: str = "results", score: str = "relevance_score") -> bytes:
    """An upstream's answer with these indices and scores."""
    results = [{"index": index, score: value} for index, value in pairs]
    return json.dumps({"id": "r", name: results, "usage": {"total_tokens": 5}}).encode()


def read(data: bytes, call: Call) -> Any:
    """What the client gets."""
    return json.loads(rerank.read_answer(data, call, "m-1").body)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": None}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "a"}, "documents"),
        ({"documents": [1]}, "documents[0]"),
        ({"documents": ["a", {"title": "b"}]}, "documents[1].text"),
        ({"top_n": 0}, "top_n"),
        ({"top_n": "1"}, "top_n"),
        ({"return_documents": 1}, "return_documents"),
        ({"model": "m\x00"}, "model"),
    ],
)
def test_a_wrong_value_is_named(members: dict[str, Any], param: str) -> None:
    """The refusal says which field is at fault."""
    with pytest.raises(InvalidRequest) as refused:
        call_of(**{"documents": DOCUMENTS, **members})
    assert refused.value.param == param


def test_the_query_counts_with_each_document() -> None:
    """Rankers read the query again with each document, and count it so."""
    call = call_of(["a", "bcd"], query="hé")
    assert (call.inputs, call.text_bytes, call.choices) == (2, 4 + 2 * 3, 0)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.data())
def test_results_are_the_best_first_and_no_more_than_asked_for(
    scores: list[float], data: st.DataObject
) -> None:
    """In whichever order they come, the client gets the best, sorted, with the upstream's own scores."""
    top = data.draw(st.none() | st.integers(1, 25))
    order = data.draw(st.permutations(range(len(scores))))
    call = call_of(["x"] * len(scores), **({} if top is None else {"top_n": top}))
    got = read(ranked(*[(index, scores[index]) for index in order]), call)["results"]
    assert [each["relevance_score"] for each in got] == sorted(scores, reverse=True)[:top]
    assert all(each["relevance_score"] == scores[each["index"]] for each in got)


def test_equal_scores_stay_in_the_upstreams_order() -> None:
    """Who is first among equals is the upstream's to say."""
    got = read(ranked((2, 0.5), (0, 0.5), (1, 0.9)), call_of())["results"]
    assert [each["index"] for each in got] == [1, 2, 0]


@pytest.mark.parametrize("name", ["results", "data"])
@pytest.mark.parametrize("score", ["relevance_score", "score"])
def test_vendors_names_for_the_same_are_understood(name: str, score: str) -> None:
    """Whether they are called results or data, and scores or relevance scores."""
    assert read(ranked((0, 1), name=name, score=score), call_of())["results"] == [
        {"index": 0, "relevance_score": 1.0}
    ]


@pytest.mark.parametrize(("asked", "documents"), [(True, [{"text": "b"}]), (False, []), (None, [])])
def test_documents_come_back_only_when_asked_for(asked: bool | None, documents: list[Any]) -> None:
    """They are the client's own, whatever the upstream does."""
    for sent in ({}, {"document": {"text": "not it"}}, {"document": "nor this"}, {"document": None}):
        data = json.dumps({"results": [{"index": 1, "relevance_score": 1, **sent}]}).encode()
        (result,) = read(data, call_of(return_documents=asked))["results"]
        assert [result["document"]] if "document" in result else documents == []


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(3, 0.5)],
        [(-1, 0.5)],
        [(0, 0.5), (0, 0.4)],
        [(0, None)],
        [(None, 0.5)],
        [("0", 0.5)],
        [(0, "high")],
        [(0, [1])],
    ],
)
def test_what_is_no_ranking_of_what_was_sent_is_a_failed_attempt(pairs: list[tuple[Any, Any]]) -> None:
    """Documents that nobody sent, twice the same, or without a score."""
    with pytest.raises(UpstreamFailed):
        rerank.read_answer(ranked(*pairs), call_of(), "m")


@pytest.mark.parametrize("score", [b"NaN", b"Infinity", b"1e999", b"null"])
def test_a_score_must_be_a_number(score: bytes) -> None:
    """What some servers write for a number they could not compute is none."""
    with pytest.raises(UpstreamFailed):
        rerank.read_answer(b'{"results": [{"index": 0, "relevance_score": %b}]}' % score, call_of(), "m")


@pytest.mark.parametrize(
    ("told", "tokens", "searches", "estimated", "disbelieved"),
    [
        ({"usage": {"prompt_tokens": 7, "total_tokens": 9}}, 7, 1, False, False),
        ({"usage": {"total_tokens": 9}}, 9, 1, False, False),
        ({"usage": {"total_tokens": 0}}, 0, 1, False, False),
        ({"meta": {"billed_units": {"search_units": 4}}}, 0, 4, False, False),
        ({"meta": {"billed_units": {"search_units": 0}, "tokens": {"input_tokens": 8}}}, 8, 0, False, False),
        ({}, 0, 1, True, False),
        ({"usage": {"total_tokens": -1}}, 0, 1, True, True),
        ({"usage": [1]}, 0, 1, True, True),
        ({"meta": {"billed_units": {"search_units": -1}}}, 0, 1, True, True),
        ({"meta": {"billed_units": {"search_units": 1e30}}, "usage": {"total_tokens": 3}}, 3, 1, False, True),
        ({"meta": "much"}, 0, 1, True, True),
    ],
)
def test_tokens_and_units_are_told_or_counted(
    told: dict[str, Any], tokens: int, searches: int, estimated: bool, disbelieved: bool
) -> None:
    """Who bills by units tells no tokens; who tells neither is counted for; a zero is a zero."""
    data = json.dumps({"results": [{"index": 0, "relevance_score": 1}], **told}).encode()
    answer = rerank.read_answer(data, call_of(), "m")
    assert answer.usage is not None
    found = (answer.usage.input, answer.usage.searches, answer.usage.estimated, answer.disbelieved)
    assert found == (tokens, searches, estimated, disbelieved)


def test_what_the_client_sent_passes_untouched_where_it_can() -> None:
    """An upstream of the same shape gets the same bytes, the model's name aside."""
    body = b'{ "query": "q", "documents":["a"],"model":"m" , "extra":1}'
    call = rerank.parse(body)
    assert rerank.request_for(call, "m") is body
    assert rerank.request_for(call, "m-1") == body.replace(b'"m"', b'"m-1"')


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_whatever_crash_the_reader(data: bytes) -> None:
    """Anything is an answer or a failed attempt."""
    with pytest.raises(UpstreamFailed):
        rerank.read_answer(data, call_of(), "m")
