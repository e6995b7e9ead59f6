"""The one writer of the database: what queues while it writes goes into its next commit, together.

Three ways in: `enqueue` for what must land whatever happens (settling), `commit` for what must be
durable before something else may follow (holds), `transact` for administrators' reads and writes.
A group is one trip to the connection's thread and one fsync, however many calls are in it.

When the disk refuses, the group is rolled back, whoever waits is told no, and what was enqueued is
tried again until it lands. Until a commit has worked and the ballast is aboard again, `accepting`
is false and only `enqueue` is open.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from tokligenced.errors import StoreError
from tokligenced.store import statements
from tokligenced.store.files import Ballast
from tokligenced.store.statements import Params, Row, Write

T = TypeVar("T")

_CHECKPOINT_AFTER = 1_000  # commits and operations, so some ten megabytes of log
_FIRST_DELAY = 0.1
_LAST_DELAY = 1.0
_CLOSE_PATIENCE = 5.0  # seconds a refusing disk is given at a close


OnLost = Callable[[tuple[Write, ...], StoreError], None]


class BadWrite(StoreError):
    """The statement or its values are at fault: it would fail again."""


class Refused(StoreError):
    """The surroundings are at fault: disk full, I/O error, locked, out of memory."""

    def __init__(self, message: str, *, no_room: bool = False) -> None:
        super().__init__(message)
        self.no_room = no_room


class Connection(Protocol):
    """What the writer needs of a connection; errors arrive as `BadWrite` or `Refused`."""

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call `function(connection, *args)` in the connection's thread."""


class Transaction:
    """The writing connection inside one transaction; of no use after it."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection

    async def execute(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one statement and return its rows; raises `StoreError`."""
        return await self._run(statements.fetch, sql, params)

    async def executemany(self, sql: str, rows: Iterable[Params]) -> None:
        """Run one statement for each of `rows`; raises `StoreError`."""
        await self._run(statements.execute_many, sql, rows)

    def end(self) -> None:
        """Let nobody write through this into the next transaction."""
        self._connection = None

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        if self._connection is None:
            raise StoreError("the transaction is over")
        return await self._connection.run(statements.inside, function, *args)


class _Operation(Struct, frozen=True):
    """The writes of one call, which land together; `kept` ones are tried until they do."""

    writes: tuple[Write, ...]
    waiter: asyncio.Future[None] | None
    kept: bool


_Work = Callable[[Transaction], Awaitable[Any]]


class Writer:
    """Owner of the writing connection, and its queue.

    `accepting` says whether new holds may come, `problem` why not. `commits` counts those of groups, `lost`
    the enqueued operations that no retry can save; `on_lost(writes, error)` is told of each. `resources` are
    let go when the writer ends.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        ballast: Ballast,
        on_lost: OnLost,
        resources: contextlib.AsyncExitStack,
    ) -> None:
        self.problem: str | None = None
        self.accepting = True
        self.commits = self.lost = 0
        self._name = name
        self._connection = connection
        self._ballast = ballast
        self._on_lost = on_lost
        self._resources = resources
        self._queue: list[_Operation] = []
        self._transactions: deque[tuple[_Work, asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self._failure: str | None = None
        self._delay = _FIRST_DELAY
        self._since_checkpoint = 0
        self._closing = False
        self._ended = False
        self._closed = asyncio.Event()
        self._judge()

    def enqueue(self, *writes: Write) -> None:
        """Have `writes` land together in the next commit, or in the first that works; never fails."""
        self._add(_Operation(writes, None, kept=True))

    def commit(self, *writes: Write) -> asyncio.Future[None]:
        """Have `writes` land together in the next commit, or never.

        The future is done when they are durable and fails with `StoreError` when they are not.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._add(_Operation(writes, waiter, kept=False))
        return waiter

    async def flush(self) -> None:
        """Wait until everything enqueued so far is durable; raises `StoreError` when it can't be."""
        waiter = asyncio.get_running_loop().create_future()
        self._add(_Operation((), waiter, kept=True))
        await waiter

    async def prove(self) -> None:
        """Have a commit that changes nothing reach the disk; raises `StoreError` when none does."""
        await self.transact(_rewrite_version)

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction of its own, after what was enqueued before, and return its result.

        It commits wholly or not at all, also when the caller is cancelled. What `work` raises rolls
        it back and is raised here; SQLite's errors are `StoreError`. The writer waits for `work`,
        so it must await nothing but its transaction.
        """
        if not self.accepting:
            raise StoreError(self.problem)
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._transactions.append((work, waiter))
        self._wake.set()
        return await waiter

    async def close(self) -> None:
        """Write what is queued, checkpoint, let everything go; a second close waits for the first."""
        self._closing = True
        self._wake.set()
        await self._closed.wait()

    async def write(self) -> None:
        """The writer's task; ends after `close`."""
        patience = _CLOSE_PATIENCE
        try:
            while self._queue or self._transactions or not self._closing:
                if self._failure is not None:
                    patience -= self._delay if self._closing else 0
                    if patience < 0:
                        break
                    await asyncio.sleep(self._delay)
                    self._delay = min(max(2 * self._delay, _FIRST_DELAY), _LAST_DELAY)
                elif not (self._queue or self._transactions):
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(None if self.accepting else _LAST_DELAY):
                            await self._wake.wait()
                await self._turn()
        except BaseException as error:
            self._failure = f"{self._name}: the writer stopped: {error!r}"
            raise
        finally:
            await self._end()

    def _add(self, operation: _Operation) -> None:
        if self._ended or not (self.accepting or operation.kept):
            self._reject(operation, StoreError(self.problem))
        else:
            self._queue.append(operation)
            self._wake.set()

    def _reject(self, operation: _Operation, error: StoreError) -> None:
        if operation.waiter is not None:
            _fail(operation.waiter, error)
        else:
            self.lost += 1
            self._on_lost(operation.writes, error)

    def _judge(self) -> None:
        self.problem = self._failure
        if self.problem is None and not self._ballast.aboard:
            self.problem = f"{self._name}: the disk is nearly full"
        self.accepting = self.problem is None

    async def _turn(self) -> None:
        try:
            if self._failure is not None:
                await self._connection.run(statements.probe)
            operations, self._queue = self._queue, []
            # One that comes while this group is written waits for what was enqueued before it meanwhile.
            due = bool(self._transactions)
            if operations:
                await self._commit_group(operations)
            if due:
                await self._run_transaction(*self._transactions.popleft())
            if self._since_checkpoint >= _CHECKPOINT_AFTER:
                await self._connection.run(statements.fetch, "PRAGMA wal_checkpoint(PASSIVE)")
                self._since_checkpoint = 0
        except Refused as error:
            await self._stumble(error)
        else:
            if not self.accepting:
                self._failure = None
                await asyncio.to_thread(self._ballast.load)
                self._judge()

    async def _stumble(self, error: Refused) -> None:
        """Tell everyone who waits; keep what was enqueued."""
        if self._failure is None:
            self._delay = _FIRST_DELAY
        self._failure = str(error)
        self._judge()
        queued, self._queue = self._queue, []
        for operation in queued:
            if operation.kept:
                self._queue.append(operation)
            else:
                self._reject(operation, StoreError(self.problem))
        while self._transactions:
            _fail(self._transactions.popleft()[1], StoreError(self.problem))
        if error.no_room and self._ballast.aboard:
            await asyncio.to_thread(self._ballast.drop)
            self._delay = 0.0

    async def _commit_group(self, operations: list[_Operation]) -> None:
        """Write all in one commit; or, if a row is bad, in as many as it takes to leave its operation out."""
        groups = deque([operations])
        try:
            while groups:
                group = groups.popleft()
                try:
                    await self._connection.run(statements.write_group, [each.writes for each in group])
                except BadWrite as error:
                    if len(group) == 1:
                        self._reject(group[0], error)
                    else:
                        middle = len(group) // 2
                        groups.extendleft((group[middle:], group[:middle]))
                except BaseException:
                    groups.appendleft(group)
                    raise
                else:
                    for operation in group:
                        _resolve(operation.waiter, None)
                    self.commits += 1
                    self._since_checkpoint += 1 + len(group)
        finally:
            self._queue[:0] = [operation for group in groups for operation in group]

    async def _run_transaction(self, work: _Work, waiter: asyncio.Future[Any]) -> None:
        if waiter.done():  # its caller left before its turn
            return
        try:
            result = await self._transact(work)
        except Exception as error:
            _fail(waiter, error)
            if isinstance(error, Refused):
                raise
        except BaseException:
            _fail(waiter, StoreError(f"{self._name}: the writer stopped"))
            raise
        else:
            _resolve(waiter, result)
            self._since_checkpoint += 1

    async def _transact(self, work: _Work) -> object:
        transaction = Transaction(self._connection)
        try:
            await self._connection.run(statements.begin)
            result = await work(transaction)
            await transaction.execute("COMMIT")
        except BaseException:
            await self._connection.run(statements.roll_back)
            raise
        finally:
            transaction.end()
        return result

    async def _end(self) -> None:
        """Nobody is left waiting, nothing is left open."""
        clean = self._failure is None
        self._failure = self._failure or f"{self._name}: closed"
        self._ended = True
        self._judge()
        try:
            while self._transactions:
                _fail(self._transactions.popleft()[1], StoreError(self.problem))
            for operation in sorted(self._queue, key=lambda operation: operation.waiter is None):
                self._reject(operation, StoreError(self.problem))
            await self._connection.run(statements.roll_back)
            if clean:
                await self._connection.run(statements.fetch, "PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            await self._resources.aclose()
            self._closed.set()


def _resolve(waiter: asyncio.Future[Any] | None, result: object) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(result)


def _fail(waiter: asyncio.Future[Any], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)


async def _rewrite_version(transaction: Transaction) -> None:
    ((version,),) = await transaction.execute("PRAGMA user_version")
    await transaction.execute(f"PRAGMA user_version = {version}")
