"""What administrators do, by name: typed parameters in, JSON out.

The command line, the control socket and the HTTP API for administrators all end here, so that each
operation exists once. The field names are the HTTP API's; points in time are RFC 3339 strings in UTC,
money is decimal USD strings, and null means: none set.

base      how operations are called, and what they share
access    accounts, organizations, keys: who may call, and on what terms
membership   who is in an organization
money     credits, usage, the ledger's proof and its entries, backups
records   what has been recorded: calls, entries, the audit trail, and single payers with their balance

The daemon adds its own: `Operations(services, {**OPERATIONS, "status": Operation(Nothing, status)})`.
"""

from collections.abc import Mapping
from typing import Any

from tokligenced.gateway.operations.access import ACCESS, account_object, key_object, organization_object
from tokligenced.gateway.operations.base import (
    Caller,
    Nothing,
    Object,
    Operation,
    Operations,
    Result,
    Services,
    instant,
    payer_of,
    timestamp,
)
from tokligenced.gateway.operations.membership import MEMBERSHIP
from tokligenced.gateway.operations.money import MONEY
from tokligenced.gateway.operations.records import RECORDS

__all__ = [
    "OPERATIONS",
    "Caller",
    "Nothing",
    "Object",
    "Operation",
    "Operations",
    "Result",
    "Services",
    "account_object",
    "instant",
    "key_object",
    "organization_object",
    "payer_of",
    "timestamp",
]

# What needs nothing but the database, so also when no daemon runs.
OPERATIONS: Mapping[str, Operation[Any]] = {**ACCESS, **MEMBERSHIP, **MONEY, **RECORDS}
