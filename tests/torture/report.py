"""What a part of the torture has seen: figures for people, and each promise that was broken."""

from collections.abc import Sequence

from msgspec import Struct, field

_SHOWN = 10


class Part(Struct, kw_only=True):
    """One part: its figures in their order, its violations. `skipped` says why it could not be done."""

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    skipped: str = ""

    def expect(self, kept: bool, violation: str) -> None:
        """Note a violation unless the promise was kept."""
        if not kept:
            self.violations.append(violation)

    def show(self, **figures: object) -> None:
        """Add figures; a name's underscores are spaces to people."""
        for name, value in figures.items():
            shown = f"{value:,}" if isinstance(value, int) else str(value)
            self.figures[name.replace("_", " ")] = shown


def table(parts: Sequence[Part]) -> str:
    """Plain text: a line for each figure, the violations of each part below its figures."""
    width = max(len(name) for part in parts for name in (*part.figures, "violations"))
    lines = []
    for part in parts:
        if part.skipped:
            lines.append(f"{part.name:<12}skipped: {part.skipped}")
            continue
        rows = [*part.figures.items(), ("violations", f"{len(part.violations):,}")]
        for number, (name, value) in enumerate(rows):
            lines.append(f"{'' if number else part.name:<12}{name:<{width}}  {value:>14}")
        lines += [f"{'':<12}! {violation}" for violation in part.violations[:_SHOWN]]
    return "\n".join(lines)


def milliseconds(seconds: float) -> str:
    """For a figure: one decimal place."""
    return f"{seconds * 1_000:.1f} ms"


def percentile(values: Sequence[float], percent: float) -> float:
    """One of the values, which so many per cent don't exceed; zero without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
