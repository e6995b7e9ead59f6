"""The ledger's head, written down now and then where nobody puts it back together with the file."""

import asyncio

import structlog

from tokligenced.errors import StoreError
from tokligenced.gateway.ledger import Ledger

_ROUND = 60.0


async def witness(ledger: Ledger) -> None:
    """Write down the ledger's head beside the file, and in the log."""
    try:
        head = await ledger.witness()
    except StoreError as error:
        structlog.get_logger().error("ledger.unwitnessed", error=str(error))
    else:
        structlog.get_logger().info("ledger.head", seq=head.seq, hash=head.hash)


async def witness_now_and_then(ledger: Ledger) -> None:
    """Do that for ever."""
    while True:
        await asyncio.sleep(_ROUND)
        await witness(ledger)
