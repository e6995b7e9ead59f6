"""Charts as inline SVG, without a style or a script of their own: colours come from the style sheet."""

from collections.abc import Sequence

from markupsafe import Markup, escape

_WIDTH, _HEIGHT, _GAP = 720, 160, 2


def bars(points: Sequence[tuple[str, int, str]], title: str) -> Markup:
    """A bar for each (label, value, value as shown); who points at one is told label and value."""
    top = max((value for _, value, _ in points), default=0) or 1
    wide = _WIDTH / max(1, len(points))
    shapes = []
    for place, (label, value, shown) in enumerate(points):
        tall = round(value * (_HEIGHT - 8) / top, 1)
        if value:
            tall = max(tall, 2)
        x = round(place * wide, 2)
        shapes.append(
            f'<g><title>{escape(label)}: {escape(shown)}</title><rect class="hit" x="{x}" y="0"'
            f' width="{wide:.2f}" height="{_HEIGHT}"/><rect class="bar" x="{x + _GAP / 2:.2f}"'
            f' y="{_HEIGHT - tall}" width="{max(1, wide - _GAP):.2f}" height="{tall}" rx="2"/></g>'
        )
    return Markup(  # noqa: S704 - all that is not ours is escaped above
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}">{"".join(shapes)}</svg>'
    )
