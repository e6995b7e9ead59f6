"""What Gemini tells about the text of an answer: its sources, and how likely its tokens were."""

import pytest

from tests.dialects.gemini_reading import told
from tokligenced.dialects.conversation import Cited, Logged

GROUNDING = {
    "groundingChunks": [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"retrievedContext": {"text": "no address"}},
        {"maps": {"uri": "https://b.example"}},
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 4, "endIndex": 11, "text": "größe"}, "groundingChunkIndices": [0, 1, 7]},
        {"segment": {"partIndex": 1, "endIndex": 2}, "groundingChunkIndices": [0]},
        {"segment": {"startIndex": 3, "endIndex": 999}, "groundingChunkIndices": [0]},
    ],
}


def test_sources_are_cited_by_characters() -> None:
    """Google counts bytes; places that are not known are left out, and nothing is cited twice."""
    said = {"text": "Die"}, {"text": " größe"}
    cited = [event for event in told(*said, groundingMetadata=GROUNDING) if isinstance(event, Cited)]
    assert cited == [
        Cited(choice=0, url="https://a.example", title="A", start=4, end=9),
        Cited(choice=0, url="https://a.example", title="A"),
        Cited(choice=0, url="https://b.example"),
    ]


@pytest.mark.parametrize("name", ["citationSources", "citations"])
def test_recited_sources_are_cited(name: str) -> None:
    """Under either of Google's names for them."""
    citation = {name: [{"startIndex": 1, "endIndex": 3, "uri": "https://a.example"}, {"license": "MIT"}]}
    cited = [event for event in told({"text": "abcd"}, citationMetadata=citation) if isinstance(event, Cited)]
    assert cited == [Cited(choice=0, url="https://a.example", start=1, end=3)]


def test_log_probabilities_are_in_openais_form() -> None:
    """Chosen tokens, their bytes, and the likeliest instead."""
    result = {
        "chosenCandidates": [{"token": "ö", "tokenId": 1, "logProbability": -0.5}, {"token": "x"}],
        "topCandidates": [{"candidates": [{"token": "o", "logProbability": -1}]}],
    }
    logged = [event for event in told({"text": "öx"}, logprobsResult=result) if isinstance(event, Logged)]
    assert logged == [
        Logged(
            0,
            [
                {
                    "token": "ö",
                    "logprob": -0.5,
                    "bytes": [195, 182],
                    "top_logprobs": [{"token": "o", "logprob": -1.0, "bytes": [111]}],
                },
                {"token": "x", "logprob": 0.0, "bytes": [120], "top_logprobs": []},
            ],
        )
    ]
