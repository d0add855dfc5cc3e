"""Small figures as SVG text: no library, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_W, _H, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 300, 56, 40, 16, 150
_COLOURS = ("#1d4ed8", "#6b7280")
Point = tuple[float, Mapping[str, float]]


def curve_svg(curve: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against labels, of our picks and, where they are there, of random ones."""
    lines: list[tuple[str, list[Point]]] = [("our picks", [(point["n"], point["ours"]) for point in curve])]
    random = [(point["n"], point["random"]) for point in curve if "random" in point]
    if random:
        lines.append(("random picks", random))
    return _plot(lines, "labels", [point["n"] for point in curve], str)


def sensitivity_svg(table: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy against the share of the pool that is left, or that is clean."""
    smaller = [(one["level"], one["accuracy"]) for one in table if one["kind"] == "pool" and "accuracy" in one]
    noisy = [(1 - one["level"], one["accuracy"]) for one in table if one["kind"] == "corruption" and "accuracy" in one]
    whole = [point for point in smaller if point[0] == 1]
    lines = [("smaller pool", sorted(smaller, key=_place)), ("corrupted pool", sorted([*noisy, *whole], key=_place))]
    shown = [line for line in lines if len(line[1]) > 1]
    places = sorted({x for _, points in shown for x, _ in points})
    return _plot(shown, "share of the pool that is there, or clean", places, lambda x: f"{x:.0%}") if shown else ""


def _place(point: Point) -> float:
    return point[0]


def _plot(lines: Sequence[tuple[str, list[Point]]], what: str, places: Sequence[float], name: Any) -> str:
    """Lines with bars; accuracies between the least and the largest shown, not from 0, as the axis says."""
    every = [value for _, points in lines for _, one in points for value in (one["low"], one["high"])]
    low, high = max(0.0, min(every) - 0.02), min(1.0, max(every) + 0.02)
    first, last = min(places), max(places)

    def x(place: float) -> float:
        return _LEFT + (place - first) / ((last - first) or 1) * (_W - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _H - _BOTTOM - (min(max(value, low), high) - low) / ((high - low) or 1) * (_H - _BOTTOM - _TOP)

    out = [f'<svg viewBox="0 0 {_W} {_H}" width="{_W}" role="img" font-family="sans-serif" font-size="12">']
    for i in range(5):
        value = low + (high - low) * i / 4
        out.append(f'<line x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e5e7eb"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for place in places:
        out.append(
            f'<text x="{x(place):.1f}" y="{_H - _BOTTOM + 16}" text-anchor="middle">{escape(name(place))}</text>'
        )
    middle = (_LEFT + _W - _RIGHT) / 2
    out.append(f'<text x="{middle}" y="{_H - 6}" text-anchor="middle">{escape(what)}; accuracy, axis not from 0</text>')
    for number, (title, points) in enumerate(lines):
        colour = _COLOURS[number]
        path = " ".join(f"{x(place):.1f},{y(one['mean']):.1f}" for place, one in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for place, one in points:
            at = x(place) + 3 * number
            bar = f'y1="{y(one["low"]):.1f}" y2="{y(one["high"]):.1f}" stroke="{colour}"'
            out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" {bar}/>')
            out.append(f'<circle cx="{at:.1f}" cy="{y(one["mean"]):.1f}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{_W - _RIGHT + 10}" y="{_TOP + 16 + 18 * number}" fill="{colour}">{escape(title)}</text>')
    return "".join(out) + "</svg>"
