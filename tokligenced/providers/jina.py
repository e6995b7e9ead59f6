"""Jina AI: OpenAI's embeddings with names of its own, and a reranker.

https://api.jina.ai/redoc
"""

from functools import partial
from typing import Any

import msgspec

from tokligenced.dialects import detail_error, embeddings, rerank
from tokligenced.dialects.embeddings import Purpose
from tokligenced.dialects.tasks import given
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange, Remote
from tokligenced.providers.tasks import Task

_TASKS: dict[Purpose, str | None] = {
    "query": "retrieval.query",
    "document": "retrieval.passage",
    "classification": "classification",
    "clustering": "separation",
    "similarity": "text-matching",
}


class Jina(Remote):
    """An account at Jina AI."""

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for embeddings."""
        request = embeddings.read(call)
        body: dict[str, Any] = {
            "model": deployment.model,
            "input": embeddings.texts_of(request, self.target(model, deployment)),
            **given(call, "dimensions", "late_chunking", "normalized", "truncate"),
        }
        if task := embeddings.purpose(request, _TASKS):
            body["task"] = task
        if request.encoding_format == "base64":
            body["embedding_type"] = "base64"
        return Task(
            self.request("/embeddings", deployment.model, msgspec.json.encode(body)),
            self.settings,
            read=partial(embeddings.read_answer, call=call, upstream_model=deployment.model),
            read_error=detail_error.read_error,
        )

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a ranking."""
        request = rerank.read(call)
        body: dict[str, Any] = {
            "model": deployment.model,
            "query": request.query,
            "documents": request.texts,
            # By default they would all come back.
            "return_documents": False,
            **given(call, "top_n"),
        }
        return Task(
            self.request("/rerank", deployment.model, msgspec.json.encode(body)),
            self.settings,
            read=partial(rerank.read_answer, call=call, upstream_model=deployment.model),
            read_error=detail_error.read_error,
        )
