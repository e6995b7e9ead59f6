"""Every administrators' route. Handlers and the OpenAPI description are both made of this table."""

import re
from typing import Any, Literal

from msgspec import Struct

from tokligenced.api.admin import answers

PREFIX = "/api/admin"
_NAMES = re.compile(r"\{(\w+)\}").findall


class Route(Struct, frozen=True, kw_only=True):
    """An address and the operation that it is.

    What stands in the path's braces are parameters of the operation; the others come in the query of a GET,
    else as the members of a JSON body. `listed` says that the operation gives a whole list, of which a page
    is told, and by which field its items are named.
    """

    method: Literal["GET", "POST", "PATCH"]
    path: str
    operation: str
    summary: str
    answer: Any
    status: int = 200
    listed: str | None = None

    @property
    def names(self) -> list[str]:
        """The parameters in the path."""
        return _NAMES(self.path)


def _get(path: str, operation: str, answer: Any, summary: str, *, listed: str | None = None) -> Route:  # noqa: ANN401
    return Route(
        method="GET",
        path=PREFIX + path,
        operation=operation,
        summary=summary,
        answer=answer,
        listed=listed,
    )


def _post(path: str, operation: str, answer: Any, summary: str, *, status: int = 200) -> Route:  # noqa: ANN401
    return Route(
        method="POST",
        path=PREFIX + path,
        operation=operation,
        summary=summary,
        answer=answer,
        status=status,
    )


def _patch(path: str, operation: str, answer: Any, summary: str) -> Route:  # noqa: ANN401
    return Route(method="PATCH", path=PREFIX + path, operation=operation, summary=summary, answer=answer)


ROUTES = (
    _get(
        "/accounts", "accounts.list", answers.Page[answers.Account], "All accounts, oldest first", listed="id"
    ),
    _post("/accounts", "accounts.create", answers.Account, "Create an account", status=201),
    _get("/accounts/{email}", "accounts.get", answers.AccountBalance, "An account and its balance"),
    _patch("/accounts/{email}", "accounts.set", answers.Account, "Serve an account on other terms"),
    _get(
        "/orgs",
        "orgs.list",
        answers.Page[answers.Organization],
        "All organizations, oldest first",
        listed="id",
    ),
    _post("/orgs", "orgs.create", answers.Organization, "Create an organization", status=201),
    _get("/orgs/{slug}", "orgs.get", answers.OrganizationBalance, "An organization and its balance"),
    _patch("/orgs/{slug}", "orgs.set", answers.Organization, "Serve an organization on other terms"),
    _get(
        "/orgs/{slug}/members", "orgs.members", answers.Page[answers.Member], "Who is in it", listed="email"
    ),
    _post("/orgs/{slug}/members", "orgs.members.put", answers.Member, "Take in, or give another role"),
    _post("/orgs/{slug}/members/remove", "orgs.members.remove", answers.Removed, "Take a member out"),
    _get("/keys", "keys.list", answers.Page[answers.Key], "All keys, oldest first", listed="id"),
    _post("/keys", "keys.create", answers.NewKey, "Create a key, which is told only now", status=201),
    _get("/keys/{id}", "keys.get", answers.SpentKey, "A key and what it has spent"),
    _post("/keys/{id}/revoke", "keys.revoke", answers.Key, "Make a key useless at once"),
    _post("/keys/{id}/rotate", "keys.rotate", answers.RotatedKey, "Replace a key", status=201),
    _post("/credits", "credit", answers.Credited, "Add prepaid balance, once for each reference"),
    _get("/usage", "usage", answers.UsageReport, "What was used, by group"),
    _get("/requests", "requests.list", answers.Page[answers.Request], "Calls, the newest first"),
    _get("/requests/{id}", "requests.get", answers.CalculatedRequest, "A call with its arithmetic"),
    _get("/ledger/verify", "ledger.verify", answers.Verdict, "Prove that the books are right"),
    _get("/ledger/entries", "ledger.entries", answers.Page[answers.Entry], "Movements of money, in order"),
    _get("/audit", "audit.list", answers.Page[answers.AuditRecord], "Who did what, the newest first"),
    _get(
        "/providers",
        "providers.list",
        answers.Page[answers.Provider],
        "Providers and their state",
        listed="id",
    ),
    _post("/providers/{name}/test", "providers.test", answers.Trial, "Try a provider with one tiny call"),
    _get(
        "/models",
        "models.list",
        answers.Page[answers.Model],
        "Models with prices and deployments",
        listed="id",
    ),
    _post("/models/cost", "models.cost", answers.Calculated, "What a usage would cost, line by line"),
    _get("/limits", "limits.list", answers.AllLimits, "Default limits, and who has others"),
    _get("/config", "config.show", answers.Configuration, "Which file owns each configured value"),
    _patch("/config", "config.set", answers.Reloaded, "Set values in the administrators' own file"),
    _post("/config/reload", "reload", answers.Reloaded, "Read and check the configuration, then use it"),
    _get("/status", "status", dict[str, Any], "How the daemon is"),
)
