"""Cohere: embeddings and reranking through version 2 of its interface.

https://docs.cohere.com/reference/about
"""

from functools import partial
from typing import Any

import msgspec

from tokligenced.dialects import embeddings_cohere, rerank
from tokligenced.dialects.chat_answers import read_error
from tokligenced.dialects.tasks import given
from tokligenced.domain import Call, Deployment, Model
from tokligenced.providers.base import Exchange, Remote
from tokligenced.providers.tasks import Task


class Cohere(Remote):
    """An account at Cohere."""

    def embed(self, call: Call, model: Model, deployment: Deployment) -> Exchange:
        """An exchange for embeddings."""
        body = embeddings_cohere.request_for(call, self.target(model, deployment))
        return Task(
            self.request("/v2/embed", deployment.model, body),
            self.settings,
            read=partial(embeddings_cohere.read_answer, call=call, upstream_model=deployment.model),
            read_error=read_error,
        )

    def rank(self, call: Call, model: Model, deployment: Deployment) -> Exchange:  # noqa: ARG002
        """An exchange for a ranking; documents never come back from it."""
        request = rerank.read(call)
        body: dict[str, Any] = {
            "model": deployment.model,
            "query": request.query,
            "documents": request.texts,
            **given(call, "top_n", "max_tokens_per_doc", "priority"),
        }
        return Task(
            self.request("/v2/rerank", deployment.model, msgspec.json.encode(body)),
            self.settings,
            read=partial(rerank.read_answer, call=call, upstream_model=deployment.model),
            read_error=read_error,
        )
