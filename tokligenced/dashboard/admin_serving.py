"""What the daemon serves with, before administrators: providers with a trial call, the configuration."""

from tokligenced.dashboard import admin_pages
from tokligenced.dashboard.admin import many, one
from tokligenced.dashboard.desk import Answer, Desk, Route, Visit, redirect
from tokligenced.dashboard.entry import sentence
from tokligenced.errors import ConfigError, Conflict


async def providers(desk: Desk, visit: Visit) -> Answer:
    """All providers with the state of their deployments."""
    return await _providers(desk, visit)


async def _providers(desk: Desk, visit: Visit, *, error: str = "") -> admin_pages.Providers:
    return admin_pages.Providers(
        status=400 if error else 200,
        rows=await many(desk, visit, "providers.list"),
        trials=dict(desk.trials),
        error=error,
    )


async def test(desk: Desk, visit: Visit) -> Answer:
    """Try a provider with one tiny call; what came of it stands on the page from then on."""
    name = visit.request.match_info["name"]
    try:
        trial = await one(desk, visit, "providers.test", name=name)
    except Conflict as error:
        return await _providers(desk, visit, error=sentence(error))
    desk.trials[name] = {**trial, "at": desk.clock.wall_ms()}
    return redirect("/admin/providers?said=tried")


async def config(desk: Desk, visit: Visit) -> Answer:
    """Where the configuration comes from."""
    return admin_pages.Configuration(config=await one(desk, visit, "config.show"))


async def reload(desk: Desk, visit: Visit) -> Answer:
    """Read and check the configuration, then use it; one that can't be used changes nothing."""
    try:
        await one(desk, visit, "reload")
    except ConfigError as error:
        shown = await one(desk, visit, "config.show")
        return admin_pages.Configuration(status=400, config=shown, error=sentence(error))
    return redirect("/admin/config?said=reloaded")


ROUTES = (
    Route("GET", "/admin/providers", providers, "admin"),
    Route("POST", "/admin/providers/{name}/test", test, "admin"),
    Route("GET", "/admin/config", config, "admin"),
    Route("POST", "/admin/config/reload", reload, "admin"),
)
