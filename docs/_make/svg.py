"""Line charts in SVG, the same bytes on every machine: no font is measured, nothing is dated.

A chart has a light ground of its own, so that it is read on a dark page too.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a06a00", "#555555", "#b22222")
WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 215, 50, 60
LABEL_HEIGHT = 17

Points = Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Chart:
    """What is drawn.

    Attributes:
      title, x, y: The title, and the labels of the axes.
      series: The points of each line, in the order of their x.
      names: Of an x axis of names the names, at 0, 1, 2 …
      log: Whether the y axis is logarithmic.
      lines: Dashed horizontal lines, by their labels.
    """

    title: str
    x: str
    y: str
    series: Mapping[str, Points]
    names: Sequence[str] = ()
    log: bool = False
    lines: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def svg(self) -> str:
        """The file's text."""
        values = [y for points in self.series.values() for _, y in points]
        values += self.lines.values()
        xs = [x for points in self.series.values() for x, _ in points]
        y_ticks = _decades(values) if self.log else _ticks(min(values), max(values))
        x_ticks = [float(i) for i in range(len(self.names))] or _ticks(min(xs), max(xs))
        across = _Scale(x_ticks[0], max(x_ticks[-1], *xs), LEFT, WIDTH - RIGHT)
        up = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP, self.log)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" role="img" '
            'font-family="Helvetica, Arial, sans-serif" font-size="13">',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
            _text(LEFT, 26, self.title, weight="bold", size=14),
        ]
        for tick in y_ticks:
            parts.append(_line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "#dddddd"))
            parts.append(_text(LEFT - 8, up(tick) + 4, _number(tick), anchor="end"))
        for i, tick in enumerate(x_ticks):
            name = self.names[i] if self.names else _number(tick)
            parts.append(_line(across(tick), HEIGHT - BOTTOM, across(tick), HEIGHT - BOTTOM + 5))
            parts.append(_text(across(tick), HEIGHT - BOTTOM + 20, name, anchor="middle"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        parts.append(_text(middle, HEIGHT - 16, self.x, anchor="middle"))
        centre = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text x="18" y="{centre:.0f}" text-anchor="middle" fill="#222222" '
            f'transform="rotate(-90 18 {centre:.0f})">{escape(self.y)}</text>'
        )
        labels: list[tuple[float, str, str]] = []
        for name, height in self.lines.items():
            y = up(height)
            parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "#555555", dashed=True))
            labels.append((y, name, "#555555"))
        for (name, points), colour in zip(self.series.items(), COLOURS, strict=False):
            at = [(across(x), up(y)) for x, y in points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
            )
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
            labels.append((at[-1][1], name, colour))
        parts += _apart(labels)
        return "\n".join([*parts, "</svg>", ""])


@dataclasses.dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (
            map(math.log10, (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers from below ``low`` to above ``high``."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * k for k in (1, 2, 2.5, 5, 10) if unit * k >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(step * k, 10) for k in range(first, last + 1)]


def _decades(values: Sequence[float]) -> list[float]:
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**k for k in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#888888", **how: bool) -> str:
    dashes = ' stroke-dasharray="6 4"' if how.get("dashed") else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = "#222222",
    weight: str = "normal",
    size: int = 13,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}" font-size="{size}">{escape(text)}</text>'
    )


def _apart(labels: list[tuple[float, str, str]]) -> list[str]:
    """Labels beside the ends of their lines, moved apart where they would overlap."""
    labels = sorted(labels)
    heights = [y for y, *_ in labels]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + LABEL_HEIGHT)
    # Back into the picture from below.
    heights[-1] = min(heights[-1], HEIGHT - BOTTOM)
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = min(heights[i], heights[i + 1] - LABEL_HEIGHT)
    return [
        _text(WIDTH - RIGHT + 10, height + 4, name, colour=colour)
        for height, (_, name, colour) in zip(heights, labels, strict=True)
    ]
