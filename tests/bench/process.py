"""What a process has used, as Linux tells it."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far."""
    # The command's name is in parentheses and may hold spaces; what follows it is fields 3 and on.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def crowded_seconds(pid: int) -> float:
    """How long its main thread could have run but another program had the core, so far.

    The time its other threads ran is left out: it may have waited for those, and that is its own affair.
    """
    ran, waited, _ = (int(field) / 1e9 for field in Path(f"/proc/{pid}/schedstat").read_text().split())
    return waited - max(0.0, cpu_seconds(pid) - ran)


def resident_mb(pid: int) -> float:
    """Resident memory in megabytes of 10⁶ bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"process {pid} has no memory: it has ended")
