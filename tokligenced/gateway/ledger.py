"""The books: every call that a key was good for leaves its row, and its line in the log."""

from collections.abc import Callable

from tokligenced.domain import Outcome, Principal
from tokligenced.store import calls
from tokligenced.store.database import Database


class Ledger:
    """Writes outcomes. `report(outcome, principal)` makes the canonical log line."""

    def __init__(self, database: Database, report: Callable[[Outcome, Principal], None]) -> None:
        self._database = database
        self._report = report

    def settle(self, outcome: Outcome, principal: Principal) -> None:
        """Book a finished call; synchronous, so that nothing can come between its end and its booking."""
        self._database.enqueue((calls.RECORD, calls.row(outcome)))
        self._report(outcome, principal)
