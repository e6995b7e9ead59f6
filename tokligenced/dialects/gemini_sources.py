"""What Gemini tells about the text of an answer: its sources, and how likely its tokens were.

https://ai.google.dev/api/generate-content#GroundingMetadata
https://ai.google.dev/api/generate-content#LogprobsResult
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tokligenced.dialects.conversation import Cited


class _Source(Struct, rename="camel", gc=False):
    uri: str | None = None
    title: str | None = None


class _Chunk(Struct, rename="camel"):
    """Where something was found: on the web, in the operator's own files, or on a map."""

    web: _Source | None = None
    retrieved_context: _Source | None = None
    maps: _Source | None = None

    @property
    def source(self) -> _Source | None:
        """The source, whatever its kind; None where it has no address."""
        found = self.web or self.retrieved_context or self.maps
        return found if found and found.uri else None


class _Segment(Struct, rename="camel", gc=False):
    """A piece of a part's text, by bytes of its UTF-8."""

    part_index: int | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Support(Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(Struct, rename="camel"):
    grounding_chunks: list[_Chunk] | None = None
    grounding_supports: list[_Support] | None = None


class _Citation(Struct, rename="camel", gc=False):
    uri: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Citations(Struct, rename="camel"):
    """Google AI Studio's and Vertex' names for the same list."""

    citation_sources: list[_Citation] | None = None
    citations: list[_Citation] | None = None


class _Token(Struct, rename="camel", gc=False):
    token: str = ""
    log_probability: float = 0.0


class _Tops(Struct, rename="camel"):
    candidates: list[_Token] | None = None


class _Logprobs(Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Tops] | None = None


_read_grounding = msgspec.json.Decoder(_Grounding | None).decode
_read_citations = msgspec.json.Decoder(_Citations | None).decode
_read_logprobs = msgspec.json.Decoder(_Logprobs | None).decode


def cited(
    choice: int, texts: Sequence[str], groundings: Sequence[Raw], citations: Sequence[Raw]
) -> list[Cited]:
    """The sources of a whole answer, each place once; `texts` are the pieces of what was said.

    Raises `msgspec.DecodeError` for what is no such list.
    """
    if not groundings and not citations:
        return []
    said = "".join(texts).encode()
    found: dict[Cited, None] = {}
    for raw in groundings:
        found |= dict.fromkeys(_grounded(choice, said, _read_grounding(raw) or _Grounding()))
    for raw in citations:
        read = _read_citations(raw) or _Citations()
        for citation in read.citation_sources or read.citations or ():
            if citation.uri:
                source = _Source(citation.uri, citation.title)
                found[_cited(choice, said, source, citation.start_index, citation.end_index)] = None
    return list(found)


def _grounded(choice: int, said: bytes, grounding: _Grounding) -> Iterator[Cited]:
    chunks = grounding.grounding_chunks or []
    placed: set[int] = set()
    for support in grounding.grounding_supports or ():
        segment = support.segment or _Segment()
        # Only the first part's text is known to begin where the answer's text does.
        known = not segment.part_index and segment.end_index is not None
        for index in support.grounding_chunk_indices or ():
            if 0 <= index < len(chunks) and (source := chunks[index].source):
                placed.add(index)
                end = segment.end_index if known else None
                yield _cited(choice, said, source, segment.start_index, end)
    for index, chunk in enumerate(chunks):
        if index not in placed and (source := chunk.source):
            yield _cited(choice, said, source, None, None)


def _cited(choice: int, said: bytes, source: _Source, start: int | None, end: int | None) -> Cited:
    url, title = source.uri or "", source.title or ""
    if end is None or not 0 <= (start or 0) <= end <= len(said):
        return Cited(choice=choice, url=url, title=title)
    first = len(said[: start or 0].decode(errors="ignore"))
    length = len(said[start or 0 : end].decode(errors="ignore"))
    return Cited(choice=choice, url=url, title=title, start=first, end=first + length)


def logged(raw: Raw) -> list[dict[str, Any]]:
    """Log probabilities as OpenAI writes them. Raises `msgspec.DecodeError` for what is no such result."""
    result = _read_logprobs(raw) or _Logprobs()
    tops = result.top_candidates or []
    return [
        {
            **_token(chosen),
            "top_logprobs": [_token(top) for top in (tops[at].candidates if at < len(tops) else None) or ()],
        }
        for at, chosen in enumerate(result.chosen_candidates or ())
    ]


def _token(token: _Token) -> dict[str, Any]:
    bytes_ = list(token.token.encode())
    return {"token": token.token, "logprob": token.log_probability, "bytes": bytes_}
