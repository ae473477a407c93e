"""Plots of lines over time as SVG. The server makes them, so that the page needs no script and no library."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

Point = tuple[float, float | None]

_WIDTH, _HEIGHT = 420, 110
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 6, 8, 18
#: Maximum number of points of a line: as many as a screen shows.
_POINTS = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of times (seconds since 1970) and values. The value None means unknown and interrupts the line."""

    name: str
    points: Sequence[Point]


def plot(title: str, lines: Sequence[Line], *, start: float, end: float, ticks: Sequence[str]) -> Markup:
    """A plot of the time from `start` to `end`, with the labels `ticks` at equal distances below it.

    Points before `start` are left out.
    """
    lines = [Line(line.name, [point for point in line.points if point[0] >= start]) for line in lines]
    top = _round_up(max((value for line in lines for _, value in line.points if value is not None), default=0.0))
    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(
            _WIDTH, _HEIGHT, title, title
        )
    ]
    for value, y in ((0.0, _HEIGHT - _BOTTOM), (top / 2, (_HEIGHT - _BOTTOM + _TOP) / 2), (top, _TOP)):
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_LEFT, _WIDTH - _RIGHT, y, y)
        )
        parts.append(Markup('<text class="y" x="{}" y="{}">{}</text>').format(_LEFT - 4, y + 3, short(value)))
    for index, tick in enumerate(ticks):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * index / (len(ticks) - 1)
        anchor = "end" if index == len(ticks) - 1 else "middle"
        parts.append(
            Markup('<text class="x" text-anchor="{}" x="{}" y="{}">{}</text>').format(anchor, x, _HEIGHT - 4, tick)
        )
    for number, line in enumerate(lines):
        for run in _runs(thinned(line.points)):
            places = [(_x(at, start, end), _y(value, top)) for at, value in run]
            if len(places) == 1:  # a line through one point isn't drawn
                places.append((places[0][0] + 1, places[0][1]))
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(
                Markup('<polyline class="line{}" points="{}"><title>{}</title></polyline>').format(
                    number, points, line.name
                )
            )
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def rates(points: Sequence[Point], longest: float) -> list[Point]:
    """The growth per second between points; None if two points are more than `longest` seconds apart or it fell."""
    found: list[Point] = []
    for (before, was), (at, now) in pairwise(points):
        if was is None or now is None or now < was or not 0 < at - before <= longest:
            found.append((at, None))
        else:
            found.append((at, (now - was) / (at - before)))
    return found


def thinned(points: Sequence[Point], most: int = _POINTS) -> list[Point]:
    """At most `most` points: the highest of each group of neighbours, so that no peak is omitted."""
    size = -(-len(points) // most) if points else 1
    groups = [points[index : index + size] for index in range(0, len(points), size)]
    return [max(group, key=lambda point: float("-inf") if point[1] is None else point[1]) for group in groups]


def short(value: float) -> str:
    """A number as an axis shows it."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _runs(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The parts of a line between unknown values, without empty parts."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... at or above a value."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= value:
        size *= 10
    while size > value:
        size /= 10
    return next(size * step for step in (1, 2, 5, 10) if size * step >= value)


def _x(at: float, start: float, end: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (at - start) / (end - start)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / top
