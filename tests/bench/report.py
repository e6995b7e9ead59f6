"""Figures of both sides, their ratio and spread, as one table and as JSON."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal

import msgspec

_COLUMNS = ("figure", "unit", "gateway", "yardstick", "ratio", "spread", "target", "result")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure must reach: its ratio, or the gateway's own value."""

    of: Literal["ratio", "gateway"]
    bound: Literal["at least", "below"]
    value: float

    def __str__(self) -> str:
        bound = f"{'>=' if self.bound == 'at least' else '<'} {self.value:g}"
        return bound if self.of == "gateway" else f"ratio {bound}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line: medians of the rounds, the median of the rounds' ratios, their lowest and highest.

    `rounds` holds the pairs (gateway, yardstick) it was made of. The ratio is None where a round gave
    nothing to compare: an added latency below what can be told from none.
    """

    name: str
    unit: str
    gateway: float
    yardstick: float
    ratio: float | None
    lowest: float | None
    highest: float | None
    target: str = ""
    result: Literal["", "pass", "miss", "unsure"] = ""
    rounds: list[tuple[float, float]]


def figure(
    name: str,
    unit: str,
    rounds: Sequence[tuple[float, float]],
    target: Target | None = None,
    *,
    sure: bool = True,
) -> Figure:
    """Summarise interleaved rounds: each ratio is taken within a round, so that slow drift cancels.

    Without `sure` a target is neither reached nor missed: something else disturbed the measurement.
    """
    ratios = [gateway / yardstick for gateway, yardstick in rounds if min(gateway, yardstick) > 0]
    ratio = statistics.median(ratios) if len(ratios) == len(rounds) else None
    gateway = statistics.median(pair[0] for pair in rounds)
    return Figure(
        name=name,
        unit=unit,
        gateway=gateway,
        yardstick=statistics.median(pair[1] for pair in rounds),
        ratio=ratio,
        lowest=min(ratios) if ratio is not None else None,
        highest=max(ratios) if ratio is not None else None,
        target=str(target) if target else "",
        result=_judge(target, ratio if target.of == "ratio" else gateway, sure=sure) if target else "",
        rounds=list(rounds),
    )


def table(figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """Plain text, aligned; words to the left, numbers to the right."""
    rows = [_COLUMNS, *(_row(each) for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(_align(column, cell, widths) for column, cell in enumerate(row)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def document(figures: Sequence[Figure], notes: Sequence[str]) -> bytes:
    """The same as JSON, with every round and what it was measured on."""
    about = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
    }
    return msgspec.json.format(
        msgspec.json.encode({"about": about, "figures": list(figures), "notes": list(notes)}), indent=2
    )


def _judge(target: Target, value: float | None, *, sure: bool) -> Literal["pass", "miss", "unsure"]:
    if value is None or not sure:
        return "unsure"
    good = value >= target.value if target.bound == "at least" else value < target.value
    return "pass" if good else "miss"


def _row(line: Figure) -> tuple[str, ...]:
    ratio = "-" if line.ratio is None else f"{line.ratio:.2f}"
    spread = "-" if line.lowest is None else f"{line.lowest:.2f}..{line.highest:.2f}"
    return (
        line.name,
        line.unit,
        _number(line.gateway),
        _number(line.yardstick),
        ratio,
        spread,
        line.target,
        line.result,
    )


def _number(value: float) -> str:
    """Three significant digits, and no fraction where it says nothing."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _align(column: int, cell: str, widths: Sequence[int]) -> str:
    return cell.rjust(widths[column]) if 2 <= column <= 5 else cell.ljust(widths[column])
