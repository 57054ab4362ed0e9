"""The figures of a run as a table for people, as JSON for programs, and as a chart."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from benchmarks.measures import Figure
from benchmarks.rows import BEFORE, NOW, Measured, Row
from benchmarks.work import Series


class Line(NamedTuple):
    """A row of the table with what it came to, or why it could not be measured."""

    row: Row
    measured: Measured | None
    why_not: str = ""


class Way(NamedTuple):
    """One way to call a function, and what a call took, or why it could not be measured."""

    name: str
    how: str
    cost: Figure | None
    """Seconds."""
    ratio: Figure | None
    """To bare TCP, which connects, echoes and closes."""
    why_not: str = ""


class Report(NamedTuple):
    """All that one run has measured."""

    lines: Sequence[Line]
    ways: Sequence[Way]
    work: Sequence[Series]
    rounds: int


def spread(figure: Figure) -> str:
    """The median of the rounds, with the least and the largest."""
    least, largest = _number(min(figure.rounds)), _number(max(figure.rounds))
    return f"{_number(figure.median)} ({least} to {largest})"


def as_text(report: Report) -> str:
    """Three tables in Markdown."""
    return "\n\n".join(
        (
            f"Median of {report.rounds} rounds, and their least and largest. "
            f"Python {platform.python_version()} on {platform.system()}.",
            _markdown(
                ("what, to what", "before", "now", "at most", "", "measured"),
                map(_cells, report.lines),
            ),
            _markdown(("one call", "connects", "µs", "to bare TCP"), map(_way_cells, report.ways)),
            _markdown(
                ("µs for each of", "by how many there are", ""), map(_work_cells, report.work)
            ),
        )
    )


def _cells(line: Line) -> tuple[str, ...]:
    row, measured = line.row, line.measured
    limit = f"{row.limit:g} at least" if row.is_least else f"{row.limit:g}"
    if measured is None:
        return row.what, "", line.why_not, limit, "", ""
    now, before = measured.ratios[NOW], measured.ratios.get(BEFORE)
    figures = ", ".join(
        f"{name} {_number(figure.median)}" for name, figure in measured.figures.items()
    )
    return (
        row.what,
        "" if before is None else spread(before),
        spread(now),
        limit,
        "met" if row.is_met(now) else "**not met**",
        f"{figures} {measured.unit.replace('us', 'µs')}",
    )


def _way_cells(way: Way) -> tuple[str, ...]:
    if way.cost is None or way.ratio is None:
        return way.name, way.how, way.why_not, ""
    return way.name, way.how, spread(way.cost.times(1e6)), spread(way.ratio)


def _work_cells(series: Series) -> tuple[str, ...]:
    if series.why_not:
        return series.what, series.why_not, ""
    costs = ", ".join(
        f"{count:,}: {_number(1e6 * cost.median / count)}" for count, cost in series.costs.items()
    )
    return series.what, costs, "linear" if series.is_linear else "**not linear**"


def _markdown(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _number(value: float) -> str:
    """With three digits, as far as they stand before the point all of them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_object(report: Report) -> dict[str, Any]:
    """The same for JSON, with each round; times in the units that are named, costs in s."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "rows": [_row_object(line) for line in report.lines],
        "ways": [
            {
                "name": way.name,
                "how": way.how,
                "seconds": None if way.cost is None else way.cost.rounds,
                "to_bare": None if way.ratio is None else way.ratio.rounds,
                "why_not": way.why_not or None,
            }
            for way in report.ways
        ],
        "work": [
            {
                "what": series.what,
                "unit": series.unit,
                "seconds": {count: cost.rounds for count, cost in series.costs.items()},
                "is_linear": series.is_linear if not series.why_not else None,
                "why_not": series.why_not or None,
            }
            for series in report.work
        ],
    }


def _row_object(line: Line) -> dict[str, Any]:
    row, measured = line.row, line.measured
    common = {"what": row.what, "limit": row.limit, "is_least": row.is_least}
    if measured is None:
        return {**common, "why_not": line.why_not}
    return {
        **common,
        "ratios": _rounds(measured.ratios),
        "is_met": row.is_met(measured.ratios[NOW]),
        "figures": _rounds(measured.figures),
        "unit": measured.unit,
    }


def _rounds(figures: Mapping[str, Figure]) -> dict[str, tuple[float, ...]]:
    return {name: figure.rounds for name, figure in figures.items()}


WIDTH, LABEL, BAR, GAP = 640, 200, 16, 8
"""Pixels: the whole, the names on the left, and each bar with the gap below it."""

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #59636e }
rect { fill: #8c959f } rect.own { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } rect { fill: #656c76 } rect.own { fill: #4493f8 }
}
"""


def as_chart(ways: Sequence[Way], own: str = "artiq_link") -> str:
    """The costs of a call as horizontal bars in SVG; those whose name begins with `own` stand
    out."""
    costs = [(way, way.cost.median * 1e6) for way in ways if way.cost is not None]
    scale = (WIDTH - LABEL - 60) / max(cost for _, cost in costs)
    height = len(costs) * (BAR + GAP) + GAP
    parts = []
    for number, (way, cost) in enumerate(costs):
        y = GAP + number * (BAR + GAP)
        kind = ' class="own"' if way.name.startswith(own) else ""
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(way.name)}</text>\n'
            f'<rect{kind} x="{LABEL}" y="{y}" width="{cost * scale:.1f}" height="{BAR}"/>\n'
            f'<text x="{LABEL + cost * scale + 6:.1f}" y="{y + 12}">{cost:.0f} µs</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Time of one call">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )
