"""Voyage AI: OpenAI's embeddings and a reranker, with names of its own.

https://docs.voyageai.com/reference/embeddings-api, https://docs.voyageai.com/reference/reranker-api
"""

from functools import partial
from typing import Any

import msgspec

from tokligenced.dialects import detail_error, embeddings, rerank
from tokligenced.dialects.tasks import given
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange, Remote
from tokligenced.providers.tasks import Task


class Voyage(Remote):
    """An account at Voyage AI."""

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for embeddings."""
        request = embeddings.read(call)
        texts = embeddings.texts_of(request, self.target(model, deployment))
        body: dict[str, Any] = {"model": deployment.model, "input": texts, **given(call, "truncation")}
        if kind := embeddings.purpose(request, {"query": "query", "document": "document"}):
            body["input_type"] = kind
        if request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        if request.encoding_format == "base64":
            body["encoding_format"] = "base64"
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
            **given(call, "truncation"),
        }
        if request.top_n is not None:
            body["top_k"] = request.top_n
        return Task(
            self.request("/rerank", deployment.model, msgspec.json.encode(body)),
            self.settings,
            read=partial(rerank.read_answer, call=call, upstream_model=deployment.model),
            read_error=detail_error.read_error,
        )
