"""One dataclass for each page of an organization."""

from dataclasses import dataclass

from tokligenced.dashboard.pages import Billing, Keys, Page, UsageReport
from tokligenced.store.members import Role


@dataclass(frozen=True, kw_only=True)
class OrganizationRow:
    """An organization in the list of who belongs to it; its balance is nano-USD."""

    id: str
    slug: str
    role: Role
    balance: int


@dataclass(frozen=True, kw_only=True)
class Organizations(Page):
    """The organizations to which somebody belongs, and the form for another."""

    template = "organizations.html"
    rows: list[OrganizationRow]
    slug: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """A member in the list; `roles` are what the viewer may make of them, none: nothing."""

    id: str
    email: str
    role: Role
    roles: list[Role]
    oneself: bool


@dataclass(frozen=True, kw_only=True)
class Members(Page):
    """Who is in an organization; `roles` are those in which the viewer may take somebody in."""

    template = "organization.html"
    id: str
    slug: str
    rows: list[MemberRow]
    roles: list[Role]
    email: str = ""
    chosen: str = "member"
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class OrganizationKeys(Keys):
    """An organization's keys."""

    template = "organization-keys.html"
    id: str
    slug: str


@dataclass(frozen=True, kw_only=True)
class OrganizationUsage(UsageReport):
    """What was used at an organization's expense."""

    template = "organization-usage.html"
    id: str
    slug: str


@dataclass(frozen=True, kw_only=True)
class OrganizationBilling(Billing):
    """An organization's balance and movements."""

    template = "organization-billing.html"
    id: str
    slug: str
