"""The error tree: every refusal a client can be given, and what the command line reports.

    TokligencedError
    ├── ConfigError                 a file, a dotted path in it, a value, a reason    (exit 2)
    │   └── ConfigErrors            all that is wrong at once
    ├── StoreError                  the database can't be opened, read or written     (exit 3)
    │   ├── StoreLocked             another process has it
    │   └── Unreachable             a daemon has it and does not answer
    ├── NotFound                    a command named something that is not there       (exit 1)
    ├── Conflict                    a command contradicts what is there               (exit 1)
    ├── NotAllowed                  whoever asks may not do that                      (403)
    ├── InvalidInput                a command's argument can't be what it says        (exit 2)
    ├── SignInRefused               a person does not get in, and why              (gateway/people)
    └── CallError                   one HTTP answer, rendered by the client's dialect
        ├── InvalidRequest          400, 404, 405, 408, 409, 413, 415, 417, 422, 426
        ├── Unauthenticated         401
        ├── PaymentRequired         402
        ├── RateLimited             429
        ├── Unavailable             503
        │   └── UpstreamFailed      503, one attempt failed: the next deployment may do better
        └── InternalError           500, opaque; the cause is only in the log

Foreign exceptions are translated in one place each: the network's in
`gateway/http_dial.py`, httptools' in `gateway/http_connection.py`, SQLite's in `store/database.py`, TOML's in
`config/sources.py`, JSON's in `dialects/body.py`.
"""

import math


class TokligencedError(Exception):
    """The root; `str()` of each is one line fit to be shown to a person."""


class ConfigError(TokligencedError):
    """The configuration can't be used: `FILE: dotted.path: reason`."""

    def __init__(self, file: str, path: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (file, path, reason) if part))
        self.file = file
        self.path = path
        self.reason = reason


class StoreError(TokligencedError):
    """The database can't be opened, read or written."""


class StoreLocked(StoreError):
    """Another process holds the database's lock."""


class Unreachable(StoreError):
    """The database is in a daemon's hands, and that daemon does not answer."""


class NotFound(TokligencedError):
    """What was named does not exist."""


class Conflict(TokligencedError):
    """What was asked contradicts what exists."""


class NotAllowed(TokligencedError):
    """Whoever asks is known, and may not do that."""


class InvalidInput(TokligencedError):
    """An argument's value can't be used."""


class CallError(TokligencedError):
    """A refusal of one call, as the contract's table of errors has it.

    `status` and `type` come from the subclass unless given; `code` is one of the contract's codes;
    `param` names the request's field at fault; `retry_after` is in seconds, 1 to 60. `body` is the upstream's
    own account of it, where client and upstream speak the same dialect and it is to stay as it is.
    """

    status = 500
    type = "api_error"
    body: bytes | None = None

    def __init__(
        self,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        status: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        if status is not None:
            self.status = status


class InvalidRequest(CallError):
    """The request itself is at fault."""

    status = 400
    type = "invalid_request_error"


def invalid_value(param: str, reason: str) -> InvalidRequest:
    """The refusal of a value that stands at `param`."""
    return InvalidRequest("invalid_value", f"Invalid value for '{param}': {reason}.", param=param)


class Unauthenticated(CallError):
    """No key, or one that proves nobody."""

    status = 401
    type = "authentication_error"


class PaymentRequired(CallError):
    """The payer's balance or the key's spend cap can't cover the call."""

    status = 402
    type = "insufficient_quota"


class RateLimited(CallError):
    """One of the key's limits is reached; `code` names it. In `wait` seconds the same call would get in."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, code: str, message: str, *, wait: float) -> None:
        super().__init__(code, message, retry_after=max(1, min(60, math.ceil(wait))))
        self.wait = wait


class Unavailable(CallError):
    """The gateway or everything behind it can't serve the call now; worth another try in a second or more."""

    status = 503
    type = "service_unavailable"

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(code, message, retry_after=retry_after or 1)


class UpstreamFailed(Unavailable):
    """One attempt failed.

    `safe_to_retry` is false when the upstream may already have worked on the request. `asked_wait` are the
    seconds that it asked to be left alone, None where it did not say.
    `operator_fault` marks what the operator must mend (credentials, billing).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        safe_to_retry: bool = True,
        operator_fault: bool = False,
        detail: str = "",
    ) -> None:
        super().__init__(code, message, retry_after=retry_after)
        self.asked_wait = retry_after
        self.safe_to_retry = safe_to_retry
        self.operator_fault = operator_fault
        self.detail = detail


class InternalError(CallError):
    """Something unexpected; the message says nothing but the request id."""
