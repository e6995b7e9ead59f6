"""`make agents`: every case that the gateway's routes can serve, as one table."""

import sys
import tempfile
from pathlib import Path

from tests.e2e.agents.witnesses import Missing, cases, installed, run


def main() -> int:
    """0 when every agent did its task and no request was one that a provider would refuse."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        lines = [line for name, line in cases().items() if wanted in name]
        with tempfile.TemporaryDirectory() as folder:
            rows = run(installed(), lines, Path(folder), quiet=False)
    except Missing as reason:
        sys.exit(str(reason))
    return int(len(rows) < len(lines) or any(not row.passed or row.violations for row in rows.values()))


sys.exit(main())
