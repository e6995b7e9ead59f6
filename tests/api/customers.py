"""Who calls in tests about money: customers with a balance, and clients that hang up."""

import asyncio
import json
import math
import time
from typing import Any, Self

from tests.api.whole_gateway import Gateway
from tests.torture.crowd import customer
from tokligenced.domain import Account

# Nano-USD for a token of gpt-4o and team/two.
INPUT, OUTPUT = 2_500, 10_000
REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi " * 50}], "max_tokens": 100}
STREAMED = {**REQUEST, "stream": True}


def encoded(request: dict[str, Any]) -> bytes:
    """The body as it is sent."""
    return json.dumps(request).encode()


def tokens(size: int) -> int:
    """What the gateway counts for so many bytes."""
    return math.ceil(size / 3)


class Customer:
    """An account with a key, and what has become of its calls."""

    def __init__(self, gateway: Gateway, account: Account, key: str, amount: int) -> None:
        self.account = account
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._gateway = gateway
        self._amount = amount

    @classmethod
    async def with_balance(cls, gateway: Gateway, amount: int, name: str = "customer", **limits: int) -> Self:
        """A fresh one with exactly this balance."""
        return cls(gateway, *await customer(gateway, name, amount, **limits), amount)

    def call(self, request: dict[str, Any]) -> Any:
        """A call with this customer's key."""
        return self._gateway.call(data=encoded(request), headers=self.headers)

    async def told(self, request: dict[str, Any]) -> tuple[int, str]:
        """The status and error code of a call."""
        async with self.call(request) as response:
            answer = await response.json()
            return response.status, answer.get("error", {}).get("code", "")

    async def paid(self) -> int:
        """What is gone from the balance once all is settled; memory and file agree on it."""
        await self._gateway.assembly.lifecycle.idle()
        database = self._gateway.assembly.database
        await database.flush()
        rows = await database.read("SELECT balance, held FROM balances WHERE owner = ?", (self.account.id,))
        there = self._gateway.assembly.ledger.balance(self.account)
        assert rows == [(there.balance, there.held)]
        assert there.held == 0
        return self._amount - there.balance

    async def row(self) -> dict[str, Any]:
        """The row of this customer's last call."""
        await self._gateway.assembly.lifecycle.idle()
        await self._gateway.assembly.database.flush()
        columns = "status, error, input, output, estimated, cost_nano, shortfall_nano, held_nano"
        rows = await self._gateway.assembly.database.read(
            f"SELECT {columns} FROM calls WHERE payer_id = ? ORDER BY rowid DESC LIMIT 1", (self.account.id,)
        )
        return dict(zip(columns.split(", "), rows[0], strict=True))


class HangUp:
    """A client on a bare socket, which can leave at any moment and without a word."""

    def __init__(self, gateway: Gateway, who: Customer, request: dict[str, Any]) -> None:
        self.body = encoded(request)
        self._address = gateway.url.removeprefix("http://").split(":")
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {who.headers['Authorization']}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        ).encode()

    async def __aenter__(self) -> Self:
        self.reader, self._writer = await asyncio.open_connection(self._address[0], int(self._address[1]))
        self._writer.write(self._head + self.body)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._writer.transport.abort()

    async def read_events(self, count: int) -> bytes:
        """The head, and so many events."""
        await self.reader.readuntil(b"\r\n\r\n")
        return b"".join([await self.reader.readuntil(b"\n\n") for _ in range(count)])

    def leave(self) -> float:
        """Hang up; the moment."""
        self._writer.transport.abort()
        return time.monotonic()
