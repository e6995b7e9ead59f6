"""GET endpoints about what is there: models, providers, and the caller's own key."""

import msgspec
from aiohttp import web

from tokligenced.api import model_lists
from tokligenced.api.front import Front, whole_answer
from tokligenced.domain import PICO_PER_USD, Model, Principal, Rates, decimal_usd
from tokligenced.errors import InvalidRequest
from tokligenced.gateway import operations
from tokligenced.gateway.limits import effective
from tokligenced.gateway.pricing import price_at
from tokligenced.gateway.trail import Trail

_PRICES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cached_input",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "audio": "audio_in",
    "audio_output": "audio_out",
    "input_image": "image_in",
    "output_image": "image_out",
    "request": "per_call",
    "image": "per_image",
    "web_search": "per_search",
}


async def models(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """Every model that the key may use, with its present price; in Codex's shape when it is Codex."""
    allowed = front.router.catalog.allowed(principal.key)
    if "client_version" in request.query:
        return whole_answer(front, request, trail, model_lists.codex_catalog(allowed))
    now = front.clock.wall_ms()
    shown = [model_object(model, now) for model in allowed]
    return whole_answer(front, request, trail, msgspec.json.encode({"object": "list", "data": shown}))


async def model(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """One model by its id or an alias; 404 for one that is not there or not for this key."""
    shown = model_object(_found(front, request, principal), front.clock.wall_ms())
    return whole_answer(front, request, trail, msgspec.json.encode(shown))


async def anthropic_models(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.Response:
    """Every model that the key may use, page by page, in Anthropic's shape."""
    page = model_lists.anthropic_page(front.router.catalog.allowed(principal.key), request.query)
    return whole_answer(front, request, trail, page)


async def anthropic_model(
    front: Front, request: web.Request, principal: Principal, trail: Trail
) -> web.Response:
    """One model as `model` finds it, in Anthropic's shape."""
    return whole_answer(front, request, trail, model_lists.described(_found(front, request, principal)))


def _found(front: Front, request: web.Request, principal: Principal) -> Model:
    name = request.match_info["model"]
    try:
        return front.router.model(name, principal.key)
    except InvalidRequest as error:
        raise InvalidRequest(error.code, error.message, param="model", status=404) from None


def model_object(model: Model, now: int) -> dict[str, object]:
    """A model as the API shows it; each price is a decimal string of USD per token or unit."""
    price = price_at(model, now)
    rates = price.rates if price else Rates()
    pricing = {name: decimal_usd(getattr(rates, part), PICO_PER_USD) for name, part in _PRICES.items()}
    return {
        "id": model.id,
        "object": "model",
        "created": model.created_at // 1000,
        "owned_by": model.owned_by,
        "name": model.name,
        "context_length": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "architecture": {
            "input_modalities": model.input_modalities,
            "output_modalities": model.output_modalities,
        },
        "pricing": pricing,
        "supported_parameters": model.supported_parameters,
    }


# How a provider is, by the worst of its circuit breakers.
_STATUSES = {"closed": "available", "half_open": "recovering", "open": "failing"}


async def providers(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """Every provider with the models it serves to this key; never an address or a secret."""
    catalog = front.router.catalog
    now = front.clock.monotonic()
    served: dict[str, list[str]] = {name: [] for name in catalog.providers}
    for each in catalog.allowed(principal.key):
        for name in dict.fromkeys(deployment.provider for deployment in each.deployments):
            served[name].append(each.id)
    shown = [
        {
            "id": name,
            "object": "provider",
            "name": name,
            "type": settings.type,
            "status": _STATUSES[front.relay.failover.breakers.of_provider(name, now)],
            "models": served[name],
        }
        for name, settings in catalog.providers.items()
    ]
    return whole_answer(front, request, trail, msgspec.json.encode({"object": "list", "data": shown}))


async def key(front: Front, request: web.Request, principal: Principal, trail: Trail) -> web.Response:
    """The caller's own key: what it is called, whom it bills, what it may do."""
    shown = operations.key_object(principal.key, principal.payer, front.clock.wall_ms())
    limits = effective(principal.key.limits, front.router.catalog.default_limits)
    return whole_answer(front, request, trail, msgspec.json.encode({**shown, "limits": limits}))
