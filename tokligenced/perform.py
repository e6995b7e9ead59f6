"""Where a command's operation is done: exactly one process ever writes the database."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import click

from tokligenced import config
from tokligenced.api import control
from tokligenced.clock import RandomIds, SystemClock, Tasks
from tokligenced.config import Config
from tokligenced.errors import StoreLocked, Unreachable
from tokligenced.gateway.directory import Directory
from tokligenced.gateway.ledger import Ledger
from tokligenced.gateway.operations import OPERATIONS, Caller, Object, Operations, Result, Services
from tokligenced.store.database import Database

# Seconds for a daemon that starts or stops: it has the lock, but not yet or no more the socket.
_PATIENCE = 3.0
_PAUSE = 0.05


def perform(
    config_path: Path, operation: str, parameters: Object, on_progress: Callable[[Object], None]
) -> Result:
    """Have an operation done by whoever has the database: the daemon, else this process for as long.

    Only `[database]` of the configuration is needed, so that a secret of a provider may be out of reach.
    Raises what the operation raises, `ConfigError`, and `StoreError` when there is no reaching it.
    """
    settings = config.load(config_path, os.environ, secrets=False)
    deadline = time.monotonic() + _PATIENCE
    while True:
        if operation in OPERATIONS:
            with contextlib.suppress(StoreLocked):
                return asyncio.run(_perform_here(settings, operation, parameters, on_progress))
        try:
            connection = control.connect(control.socket_path(settings.database.path))
        except Unreachable:
            if operation not in OPERATIONS or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return control.ask(connection, operation, parameters, on_progress)


async def _perform_here(
    settings: Config, operation: str, parameters: Object, on_progress: Callable[[Object], None]
) -> Result:
    clock = SystemClock()
    tasks = Tasks(on_crash=lambda name, error: _warn(f"{name}: {error!r}"))
    database = await Database.open(
        settings.database.path,
        durability=settings.database.durability,
        tasks=tasks,
        on_lost=lambda _writes, error: _warn(str(error)),
    )
    try:
        directory = await Directory.load(database, clock=clock, ids=RandomIds(clock))
        ledger = await Ledger.open(database, clock=clock, report=lambda _outcome, _principal: None)
        services = Services(directory=directory, ledger=ledger, database=database, clock=clock)
        operations = Operations(services, OPERATIONS)
        return await operations.perform(operation, parameters, Caller(actor="cli", progress=on_progress))
    finally:
        await database.close()
        await tasks.close()


def _warn(message: str) -> None:
    click.echo(f"tokligenced: {message}", err=True)
