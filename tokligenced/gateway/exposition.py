"""What has been counted and how the daemon is, as Prometheus reads it.

The text format is a few lines to write, https://prometheus.io/docs/instrumenting/exposition_formats/; a
client library would cost each call six times what counting it here does, and the loop more at each scrape.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal

from tokligenced import __version__
from tokligenced.domain import NANO_PER_USD
from tokligenced.gateway.metrics import TOKEN_PARTS, Histogram, Series
from tokligenced.gateway.vitals import Vitals, open_files, resident_bytes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrency")
_BREAKER = {"closed": 0, "half_open": 1, "open": 2}
_PIECES = ("images", "searches")

Labels = Mapping[str, str]
Kind = Literal["counter", "gauge"]


def exposition(vitals: Vitals) -> bytes:
    """All metrics at this moment."""
    lines: list[str] = []
    for part in (_calls, _times, _gateway, _ledger, _process):
        lines += part(vitals)
    return "\n".join([*lines, ""]).encode()


def _calls(vitals: Vitals) -> Iterator[str]:
    series = vitals.metrics.series()
    yield from _family(
        "tokligence_calls_total", "counter", "Calls that have ended.",
        (({**_labels(each), "status": str(status)}, count) for each in series
         for status, count in _summed((status, n) for (status, _), n in each.ended.items())),
    )  # fmt: skip
    yield from _family(
        "tokligence_errors_total", "counter", "Calls that ended by an error, the client's leaving included.",
        (({**_labels(each), "code": code}, count) for each in series
         for code, count in _summed((code, n) for (_, code), n in each.ended.items() if code)),
    )  # fmt: skip
    yield from _family(
        "tokligence_tokens_total", "counter", "Tokens in disjoint parts, as they are priced.",
        (({**_labels(each), "part": part}, count) for each in series
         for part, count in each.counted(TOKEN_PARTS) if count),
    )  # fmt: skip
    yield from _family(
        "tokligence_pieces_total", "counter", "Images made, and search units.",
        (({**_labels(each), "part": part}, count) for each in series
         for part, count in each.counted(_PIECES) if count),
    )  # fmt: skip
    yield from _family(
        "tokligence_estimated_calls_total", "counter", "Calls whose tokens the gateway counted itself.",
        ((_labels(each), count) for each in series for _, count in each.counted(["estimated"])),
    )  # fmt: skip
    yield from _family(
        "tokligence_cost_usd_total", "counter", "What callers were charged.",
        ((_labels(each), each.cost_nano / NANO_PER_USD) for each in series),
    )  # fmt: skip
    yield from _family(
        "tokligence_shortfall_usd_total", "counter", "What calls cost beyond their holds.",
        ((_labels(each), each.shortfall_nano / NANO_PER_USD) for each in series),
    )  # fmt: skip
    refused = dict(_summed((code, n) for each in series for (_, code), n in each.ended.items() if code))
    yield from _family(
        "tokligence_limit_refusals_total", "counter", "Calls refused by a rate limit.",
        (({"limit": limit}, refused.get(limit, 0)) for limit in _LIMITS),
    )  # fmt: skip


def _times(vitals: Vitals) -> Iterator[str]:
    series = vitals.metrics.series()
    yield from _histograms(
        "tokligence_first_token_seconds", "From a request to the first byte of its stream.",
        ((_labels(each), each.first_token) for each in series if any(each.first_token.counts)),
    )  # fmt: skip
    yield from _histograms(
        "tokligence_inter_token_seconds", "The mean time between the tokens of a stream that ended well.",
        ((_labels(each), each.between_tokens) for each in series if any(each.between_tokens.counts)),
    )  # fmt: skip
    yield from _histograms(
        "tokligence_call_duration_seconds", "From a request to the end of its answer.",
        ((_labels(each), each.duration) for each in series),
    )  # fmt: skip
    yield from _histograms(
        "tokligence_overhead_seconds",
        "The gateway's own part of a call: from a body to what is sent upstream, hold included, and"
        " from a whole answer to its settlement.",
        [({}, vitals.metrics.overhead)],
    )
    yield from _histograms(
        "tokligence_event_loop_lag_seconds", "How late the event loop is, ten times a second.",
        [({}, vitals.lag)],
    )  # fmt: skip


def _gateway(vitals: Vitals) -> Iterator[str]:
    lifecycle = vitals.relay.lifecycle
    yield from _gauge("tokligence_calls_running", "Calls on their way.", lifecycle.running)
    yield from _gauge("tokligence_streams_open", "Streams being sent to clients.", vitals.open_streams())
    yield from _gauge("tokligence_ready", "1 where /readyz answers 200.", int(not vitals.not_ready()))
    yield from _family(
        "tokligence_breaker_state", "gauge", "0: calls pass; 1: one call probes; 2: left alone for a while.",
        (({"provider": provider, "upstream_model": model}, _BREAKER[state])
         for (provider, model), state in vitals.breakers().items()),
    )  # fmt: skip
    yield from _family(
        "tokligence_key_refusals_total", "counter", "Calls without a key that is good.",
        (({"code": code}, count) for code, count in vitals.metrics.refused_keys.items()),
    )  # fmt: skip
    yield from _family(
        "tokligence_config_reloads_total", "counter", "Configurations taken over, and refused for a mistake.",
        (({"result": result}, count) for result, count in vitals.metrics.reloads.items()),
    )  # fmt: skip


def _ledger(vitals: Vitals) -> Iterator[str]:
    ledger, database = vitals.relay.ledger, vitals.database
    yield from _gauge("tokligence_holds_open", "Calls that money is held for.", ledger.holds_open)
    yield from _gauge("tokligence_held_usd", "What is held for them.", ledger.held_nano / NANO_PER_USD)
    yield from _gauge("tokligence_ledger_queue", "Operations waiting for the next commit.", database.queued)
    yield from _counter(
        "tokligence_ledger_commits_total", "Commits of holds and settlements.", database.commits
    )
    committed = vitals.last_commit_at
    yield from _gauge(
        "tokligence_ledger_last_commit_timestamp_seconds", "When the last commit was; 0: none so far.",
        0 if committed is None else committed / 1000,
    )  # fmt: skip
    yield from _counter(
        "tokligence_ledger_lost_total", "Operations that could not be written.", database.lost
    )
    yield from _gauge("tokligence_ledger_broken", "1 where the books are wrong.", int(bool(ledger.broken)))


def _process(vitals: Vitals) -> Iterator[str]:
    yield from _family("tokligence_info", "gauge", "What runs.", [({"version": __version__}, 1)])
    yield from _gauge("process_start_time_seconds", "When the gateway started.", vitals.started_at / 1000)
    if (size := resident_bytes()) is not None:
        yield from _gauge("process_resident_memory_bytes", "Memory that is in use.", size)
    if (files := open_files()) is not None:
        yield from _gauge("process_open_fds", "File descriptors that are in use.", files)


def _labels(series: Series) -> Labels:
    return {"endpoint": series.endpoint, "model": series.model, "provider": series.provider}


def _summed(counts: Iterable[tuple[object, int]]) -> list[tuple[str, int]]:
    sums: dict[str, int] = {}
    for name, count in counts:
        sums[str(name)] = sums.get(str(name), 0) + count
    return list(sums.items())


def _gauge(name: str, meaning: str, value: float) -> Iterator[str]:
    return _family(name, "gauge", meaning, [({}, value)])


def _counter(name: str, meaning: str, value: float) -> Iterator[str]:
    return _family(name, "counter", meaning, [({}, value)])


def _family(name: str, kind: Kind, meaning: str, samples: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield from _head(name, kind, meaning)
    for labels, value in samples:
        yield f"{name}{_braced(_joined(labels))} {value!r}"


def _histograms(name: str, meaning: str, samples: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
    yield from _head(name, "histogram", meaning)
    for labels, histogram in samples:
        joined = _joined(labels)
        before = f"{joined}," if joined else ""
        bounds = [*map(repr, histogram.bounds), "+Inf"]
        count = 0
        for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
            yield f'{name}_bucket{{{before}le="{bound}"}} {count}'
        yield f"{name}_sum{_braced(joined)} {histogram.total!r}"
        yield f"{name}_count{_braced(joined)} {count}"


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _joined(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _braced(joined: str) -> str:
    return f"{{{joined}}}" if joined else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
