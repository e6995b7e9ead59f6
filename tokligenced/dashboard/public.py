"""Pages for everybody: the start, models and prices, the guide, how the providers are."""

from tokligenced.catalog import Catalog
from tokligenced.dashboard import pages
from tokligenced.dashboard.clients import CLIENTS
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.domain import Model
from tokligenced.errors import NotFound
from tokligenced.gateway.pricing import price_at

_STATUSES = {"closed": "available", "half_open": "recovering", "open": "failing"}


async def start(desk: Desk, visit: Visit) -> Answer:
    """What this is; who is signed in sees their overview instead."""
    if visit.viewer is not None:
        return redirect("/account")
    return pages.Start(base_url=f"{desk.public_url}/v1", models=len(desk.router.catalog.models))


async def models(desk: Desk, visit: Visit) -> Answer:
    """All models, or those whose name has what is searched for."""
    search = visit.query("q")[:100]
    wanted = search.lower()
    now = desk.clock.wall_ms()
    found = [
        _model_row(model, now)
        for model in desk.router.catalog.models
        if any(wanted in name.lower() for name in (model.id, model.name, *model.aliases))
    ]
    return pages.Models(search=search, rows=found)


def _model_row(model: Model, now: int) -> pages.ModelRow:
    price = price_at(model, now)
    return pages.ModelRow(
        id=model.id,
        name=model.name,
        aliases=model.aliases,
        context=model.context_window,
        most_output=model.max_output_tokens,
        inputs=model.input_modalities,
        outputs=model.output_modalities,
        input_price=price.rates.input if price else None,
        cached_price=price.rates.cached_input if price else None,
        output_price=price.rates.output if price else None,
    )


def example_model(catalog: Catalog) -> str:
    """A model to show in examples."""
    return next(
        (each.id for each in catalog.models if "text" in each.output_modalities and each.max_output_tokens),
        "MODEL",
    )


async def docs(desk: Desk, _visit: Visit) -> Answer:
    """The guide."""
    catalog = desk.router.catalog
    limits = catalog.default_limits
    return pages.Docs(
        base_url=desk.public_url,
        model=example_model(catalog),
        requests=limits.requests_per_minute,
        tokens=limits.tokens_per_minute,
        concurrency=limits.concurrency,
        clients=list(CLIENTS),
        names=[model.id for model in catalog.models],
    )


async def client_docs(desk: Desk, visit: Visit) -> Answer:
    """How to set up one client."""
    name = visit.request.match_info["name"]
    client = CLIENTS.get(name)
    if client is None:
        raise NotFound(f"there is no guide for {name!r}")
    title, steps = client
    model = example_model(desk.router.catalog)
    filled = [
        (text, code.replace("{base}", desk.public_url).replace("{model}", model)) for text, code in steps
    ]
    return pages.ClientDocs(name=name, title=title, steps=filled)


async def status(desk: Desk, _visit: Visit) -> Answer:
    """How the providers are, by the worst of their breakers."""
    catalog = desk.router.catalog
    now = desk.clock.monotonic()
    served = dict.fromkeys(catalog.providers, 0)
    for model in catalog.models:
        for provider in {deployment.provider for deployment in model.deployments}:
            served[provider] += 1
    breakers = desk.relay.failover.breakers
    shown = [(name, _STATUSES[breakers.of_provider(name, now)], served[name]) for name in catalog.providers]
    return pages.Status(healthy=all(state == "available" for _, state, _ in shown), providers=shown)


ROUTES = (
    Route("GET", "/", start, "anybody"),
    Route("GET", "/models", models, "anybody"),
    Route("GET", "/docs", docs, "anybody"),
    Route("GET", "/docs/clients/{name}", client_docs, "anybody"),
    Route("GET", "/status", status, "anybody"),
)
