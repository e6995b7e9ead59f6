"""What only a running daemon can be asked: to reload its configuration, and how it is."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog
from msgspec import Struct

from tokligenced import catalog, config
from tokligenced.config import Config
from tokligenced.errors import ConfigError
from tokligenced.gateway.metrics import Metrics
from tokligenced.gateway.operations import Caller, Nothing, Object, Operation, Result, Services
from tokligenced.gateway.relay import Relay
from tokligenced.gateway.vitals import Vitals
from tokligenced.store import audit


class Reloader:
    """Puts a changed configuration in place in one step, or leaves everything as it is."""

    def __init__(
        self,
        path: Path,
        current: Config,
        relay: Relay,
        metrics: Metrics,
        announce: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`announce` surrounds each reload: somebody may want to know. `current` is always the latest."""
        self._announce = announce
        self.path = path
        self._started_with = self.current = current
        self._relay = relay
        self._metrics = metrics

    @property
    def needs_restart(self) -> list[str]:
        """The keys that the files have changed since the start, and that need a restart."""
        return config.restart_needed(self._started_with, self.current)

    def reload(self, actor: str, changed: Sequence[str] = ()) -> list[str]:
        """Read and check all files, then swap; the keys that changed but need a restart.

        `changed` names for the audit what the actor has set. Raises `ConfigError`, and then nothing has
        changed. Either way the log says so.
        """
        with self._announce():
            return self._reload(actor, changed)

    def _reload(self, actor: str, changed: Sequence[str]) -> list[str]:
        log = structlog.get_logger()
        router, ledger, clock = self._relay.router, self._relay.ledger, self._relay.clock
        try:
            fresh = config.load(self.path, os.environ)
        except ConfigError as error:
            log.error("config.refused", actor=actor, error=str(error))
            self._metrics.reloads["refused"] += 1
            raise
        router.load(catalog.build(fresh))
        self.current = fresh
        self._metrics.reloads["applied"] += 1
        needs_restart = config.restart_needed(self._started_with, fresh)
        for warning in fresh.warnings:
            log.warning("config.warning", warning=warning)
        detail: dict[str, object] = {"models": len(router.catalog.models), "needs_restart": needs_restart}
        if changed:
            detail["changed"] = list(changed)
        log.info("config.reloaded", actor=actor, **detail)
        entry = audit.row(
            at=clock.wall_ms(), actor=actor, action="config.reloaded", subject="config", detail=detail
        )
        ledger.note((audit.RECORD, entry))
        return needs_restart

    def reload_on_signal(self) -> None:
        """Reload where nobody waits for what came of it."""
        with contextlib.suppress(ConfigError):  # the log has it
            self.reload("signal")


class Top(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `top`: the most calls that are listed."""

    calls: int = 100


def runtime_operations(reloader: Reloader, vitals: Vitals) -> Mapping[str, Operation[Any]]:
    """`reload`, `status`, and `top`, which is the status with the calls on their way."""

    async def reload(_services: Services, _parameters: Nothing, caller: Caller) -> Result:
        return {"reloaded": True, "needs_restart": reloader.reload(caller.actor)}

    async def status(_services: Services, _parameters: Nothing, _caller: Caller) -> Object:
        return await vitals.status()

    async def top(_services: Services, parameters: Top, _caller: Caller) -> Object:
        return {**await vitals.status(), "calls": vitals.running(parameters.calls)}

    return {
        "reload": Operation(Nothing, reload),
        "status": Operation(Nothing, status),
        "top": Operation(Top, top),
    }
