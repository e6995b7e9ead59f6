"""What only a running daemon can be asked: to reload its configuration, and how it is."""

import contextlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog

from tokligenced import __version__, catalog, config
from tokligenced.clock import Clock
from tokligenced.config import Config
from tokligenced.errors import ConfigError
from tokligenced.gateway.lifecycle import Lifecycle
from tokligenced.gateway.operations import Caller, Nothing, Object, Operation, Result, Services, timestamp
from tokligenced.gateway.routing import Router
from tokligenced.store.database import Database


class Reloader:
    """Puts a changed configuration in place in one step, or leaves everything as it is."""

    def __init__(
        self,
        path: Path,
        current: Config,
        router: Router,
        announce: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`announce` surrounds each reload: somebody may want to know."""
        self._announce = announce
        self._path = path
        self._started_with = current
        self._router = router

    def reload(self) -> list[str]:
        """Read and check all files, then swap; the keys that changed but need a restart.

        Raises `ConfigError`, and then nothing has changed. Either way the log says so.
        """
        with self._announce():
            return self._reload()

    def _reload(self) -> list[str]:
        log = structlog.get_logger()
        try:
            fresh = config.load(self._path, os.environ)
        except ConfigError as error:
            log.error("config.refused", error=str(error))
            raise
        self._router.load(catalog.build(fresh))
        needs_restart = config.restart_needed(self._started_with, fresh)
        for warning in fresh.warnings:
            log.warning("config.warning", warning=warning)
        log.info("config.reloaded", models=len(self._router.catalog.models), needs_restart=needs_restart)
        return needs_restart

    def reload_on_signal(self) -> None:
        """Reload where nobody waits for what came of it."""
        with contextlib.suppress(ConfigError):  # the log has it
            self.reload()


def runtime_operations(
    reloader: Reloader, lifecycle: Lifecycle, database: Database, router: Router, clock: Clock
) -> Mapping[str, Operation[Any]]:
    """`reload` and `status`."""
    started_at = clock.wall_ms()

    async def reload(_services: Services, _parameters: Nothing, _caller: Caller) -> Result:
        return {"reloaded": True, "needs_restart": reloader.reload()}

    async def status(_services: Services, _parameters: Nothing, _caller: Caller) -> Object:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": timestamp(started_at),
            "state": "draining" if lifecycle.draining else "running",
            "calls_running": lifecycle.running,
            "models": len(router.catalog.models),
            "providers": len(router.catalog.providers),
            "database": database.problem or "ok",
        }

    return {"reload": Operation(Nothing, reload), "status": Operation(Nothing, status)}
