"""What `status` and `top` of a daemon may say, for tests of how it is shown."""

from typing import Any

_TODAY = {"calls": 1_234, "errors": 1, "tokens": 56_789, "cost": "12.5"}
_NOTHING = {"calls": 0, "errors": 0, "tokens": 0, "cost": "0"}

STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "pid": 42,
    "started_at": "2030-01-31T12:00:00.000Z",
    "uptime": 7_500,
    "state": "running",
    "not_ready": [],
    "calls_running": 3,
    "streams_open": 2,
    "last_minute": {"calls": 60, "errors": 0, "tokens": 9_000, "cost": "0.09"},
    "today": _TODAY,
    "holds_open": 2,
    "held": "0.04",
    "ledger": {"queue": 5, "commits": 99, "last_commit_at": "2030-01-31T14:05:00.250Z", "lost": 0},
    "providers": [
        {"provider": "openai", "type": "openai", "state": "closed", "today": _TODAY},
        {"provider": "azure", "type": "azure", "state": "open", "today": _NOTHING},
    ],
    "models": 2,
    "database": "ok",
    "loop_lag_ms": 1.5,
    "memory_mb": 61.4,
    "open_files": 30,
}
TOP: dict[str, Any] = {
    **STATUS,
    "calls": [
        {
            "id": f"req_{number:032x}",
            "key": f"tk-abcde{number}",
            "endpoint": "chat",
            "model": "vendor/model",
            "provider": "openai" if number else None,
            "stream": bool(number),
            "attempts": number,
            "age": 61.04 - number,
            "tokens": 1_000 * number,
        }
        for number in range(3)
    ],
}
