"""Operations that make one-time links, for who can't send mail: an invitation, a new password."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tokligenced.gateway.operations.base import Caller, Object, Operation, Services
from tokligenced.gateway.people import People


class Invitation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.invite`: without an address the link is anybody's."""

    email: str | None = None


class Reset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `accounts.reset`."""

    email: str


def link_operations(people: People) -> Mapping[str, Operation[Any]]:
    """`accounts.invite` and `accounts.reset`, which the daemon adds: its links lead to its own pages."""

    async def invite(_services: Services, parameters: Invitation, caller: Caller) -> Object:
        return {
            "email": parameters.email,
            "link": await people.invite_link(parameters.email, by=caller.actor),
        }

    async def reset(services: Services, parameters: Reset, caller: Caller) -> Object:
        account = services.directory.account(parameters.email)
        return {"email": account.email, "link": await people.reset_link(account, actor=caller.actor)}

    return {
        "accounts.invite": Operation(Invitation, invite),
        "accounts.reset": Operation(Reset, reset),
    }
