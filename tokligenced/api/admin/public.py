"""The routes for everybody, as the description of the API tells of them; a test holds them to the router."""

import re

from msgspec import Struct

_JSON = ("application/json",)
_STREAMS = ("application/json", "text/event-stream")
_NAMES = re.compile(r"\{(\w+)\}").findall


class PublicRoute(Struct, frozen=True, kw_only=True):
    """A public address: `answers` are the content types it may answer with."""

    method: str
    path: str
    name: str
    summary: str
    answers: tuple[str, ...] = _JSON
    keyed: bool = True

    @property
    def names(self) -> list[str]:
        """The parameters in the path."""
        return _NAMES(self.path)


def _post(path: str, name: str, summary: str, answers: tuple[str, ...] = _JSON) -> PublicRoute:
    return PublicRoute(method="POST", path=path, name=name, summary=summary, answers=answers)


def _get(
    path: str, name: str, summary: str, *, keyed: bool = True, answers: tuple[str, ...] = _JSON
) -> PublicRoute:
    return PublicRoute(method="GET", path=path, name=name, summary=summary, keyed=keyed, answers=answers)


PUBLIC = (
    _post("/v1/chat/completions", "chat", "OpenAI Chat Completions", _STREAMS),
    _post("/v1/completions", "completions", "OpenAI's older completions", _STREAMS),
    _post("/v1/responses", "responses", "OpenAI Responses", _STREAMS),
    _get("/v1/responses/{id}", "response", "A response that was kept"),
    PublicRoute(
        method="DELETE", path="/v1/responses/{id}", name="forget", summary="Forget a response that was kept"
    ),
    _post("/v1/messages", "messages", "Anthropic Messages", _STREAMS),
    _post("/v1/messages/count_tokens", "count_tokens", "How many tokens a message has"),
    _post("/anthropic/v1/messages", "anthropic_messages", "Anthropic Messages", _STREAMS),
    _post("/anthropic/v1/messages/count_tokens", "anthropic_count_tokens", "How many tokens a message has"),
    _post("/v1/embeddings", "embeddings", "Embeddings of texts"),
    _post("/v1/images/generations", "images", "Images from a description"),
    _post("/v1/rerank", "rerank", "Documents by their relevance to a query"),
    _post("/v2/rerank", "rerank_v2", "Documents by their relevance to a query"),
    _get("/v1/models", "models", "The models that this key may use, with prices"),
    _get("/v1/models/{model}", "model", "One model; ids may hold slashes"),
    _get("/anthropic/v1/models", "anthropic_models", "The models, in Anthropic's shape"),
    _get("/anthropic/v1/models/{model}", "anthropic_model", "One model, in Anthropic's shape"),
    _get("/v1/providers", "providers", "Providers, their state, and the models they serve"),
    _get("/v1/key", "key", "The caller's own key"),
    _get("/v1/credits", "credits", "The caller's balance"),
    _get("/v1/generation", "generation", "What one call cost, line by line"),
    _get("/healthz", "healthz", "Whether the process lives", keyed=False),
    _get("/readyz", "readyz", "Whether new calls may come", keyed=False),
    _get("/metrics", "metrics", "Prometheus metrics, for administrators", answers=("text/plain",)),
    _get("/api/openapi.json", "openapi", "This description", keyed=False),
)
