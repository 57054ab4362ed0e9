"""What of a reply can be drawn: arrays, ramps and tables become curves; without Qt.

Only what the server answered is drawn, and nothing is guessed: a ramp by its achieved steps, a
table by its achieved rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..instrument.schemas import alternatives

Numbers = NDArray[np.float64]

MOST_CURVES = 8
"""Rows of an array that are curves; one with more is an image."""

MOST_STEPS = 100_000
"""Of a ramp that are drawn as steps; more are a line."""


class Axis(NamedTuple):
    """What is drawn along an axis."""

    name: str
    unit: str = ""


class Curve(NamedTuple):
    """Numbers over numbers; `x` only grows. As steps, each value holds until the next one."""

    name: str
    x: Numbers
    y: Numbers
    steps: bool = False


class Panel(NamedTuple):
    """Curves of one kind, over the x axis that all panels have."""

    axis: Axis
    curves: Sequence[Curve]


class Column(NamedTuple):
    """Numbers as they were answered, under each other."""

    axis: Axis
    values: NDArray[Any]


class Picture(NamedTuple):
    """What is drawn of one reply: panels above each other, or an image; and its numbers."""

    title: str
    x: Axis
    panels: Sequence[Panel]
    columns: Sequence[Column]
    image: Numbers | None = None


def picture_of(
    title: str, result: Any, parameters: Mapping[str, Any], units: Mapping[str, str]
) -> Picture | None:
    """The picture of a command's result; None where there is nothing to be drawn.

    `parameters` are what was asked, and `units` those that its instrument gives to names.
    """
    if isinstance(result, Mapping):
        drawn = _ramp(title, result, units) or _table(title, result, units)
        if drawn is not None:
            return drawn
        arrays = {
            name: numbers
            for name, value in result.items()
            if (numbers := _numbers(value)) is not None
        }
    else:
        numbers = _numbers(result)
        arrays = {} if numbers is None else {"": numbers}
    return _arrays(title, arrays, parameters, units) if arrays else None


def units_of(description: Mapping[str, Any]) -> dict[str, str]:
    """The units that an instrument's description gives to names of parameters and members.

    A name that has two of them has none here.
    """
    found: dict[str, set[str]] = {}
    for command in description.get("commands", {}).values():
        for parameter in command.get("parameters", ()):
            if unit := parameter.get("unit"):
                found.setdefault(parameter["name"], set()).add(unit)
            for name, unit in _units_within(parameter.get("schema", {})):
                found.setdefault(name, set()).add(unit)
        for name, unit in _units_within(command.get("result", {}).get("schema", {})):
            found.setdefault(name, set()).add(unit)
    for name, reading in description.get("readings", {}).items():
        if unit := reading.get("result", {}).get("unit"):
            found.setdefault(name, set()).add(unit)
    return {name: next(iter(units)) for name, units in found.items() if len(units) == 1}


def _units_within(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for definition in schema.get("$defs", {}).values():
        for kind in alternatives(definition, schema["$defs"]):
            for name, member in kind.get("properties", {}).items():
                if unit := member.get("unit"):
                    yield name, unit


def _numbers(value: Any) -> NDArray[Any] | None:
    """An array of numbers; None for anything else, and for what has no extent."""
    if isinstance(value, list):
        if len(value) < 2 or not all(type(item) in {int, float} for item in value):
            return None
        value = np.array(value, dtype=np.float64)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return None
    return value if value.size >= 2 and value.ndim in {1, 2} else None


def _arrays(
    title: str,
    arrays: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Any],
    units: Mapping[str, str],
) -> Picture:
    if len(arrays) == 1:
        [(name, array)] = arrays.items()
        if array.ndim == 2 and min(array.shape) > MOST_CURVES:
            columns = [Column(Axis(str(i)), array[:, i]) for i in range(array.shape[1])]
            image = np.abs(array).astype(np.float64)
            return Picture(title, Axis("column"), [], columns, image)
    x = Axis("sample")
    scale = 1.0
    rate = parameters.get("rate")
    if isinstance(rate, (int, float)) and rate > 0 and units.get("rate") == "Hz":
        x, scale = Axis("t", "s"), 1 / rate
    panels, columns = [], []
    for name, array in arrays.items():
        axis = Axis(name or "value", units.get(name, ""))
        curves = []
        for label, row in _rows(name, array):
            times = np.arange(len(row), dtype=np.float64) * scale
            curves.append(Curve(label, times, row.astype(np.float64)))
            columns.append(Column(Axis(label or axis.name, axis.unit), row))
        panels.append(Panel(axis, curves))
    return Picture(title, x, panels, columns)


def _rows(name: str, array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The curves of an array, with their names."""
    rows = [array] if array.ndim == 1 else list(array if len(array) <= MOST_CURVES else array.T)
    for index, row in enumerate(rows[:MOST_CURVES]):
        label = name if len(rows) == 1 else f"{name}[{index}]"
        if row.dtype.kind == "c":
            yield f"{label} real".strip(), row.real
            yield f"{label} imaginary".strip(), row.imag
        else:
            yield label, row


def _ramp(title: str, result: Mapping[str, Any], units: Mapping[str, str]) -> Picture | None:
    """A ramp as it was achieved: from start to stop in equal steps, and in the end on stop."""
    wanted = ("start", "stop", "step", "step_time", "steps", "duration")
    if not all(_is_number(result.get(name)) for name in wanted):
        return None
    start, stop, step, step_time, steps, duration = (float(result[name]) for name in wanted)
    if not (steps >= 1 and step_time > 0 and duration > 0):
        return None
    parameter = str(result.get("parameter", "value"))
    if steps <= MOST_STEPS:
        count = int(steps)
        # The last step may be shorter than the others.
        times = np.minimum(np.arange(count, dtype=np.float64) * step_time, duration)
        x = np.append(times, duration)
        y = np.append(start + np.arange(count) * step, stop)
        curve = Curve(parameter, x, y, steps=True)
    else:
        curve = Curve(parameter, np.array((0.0, duration)), np.array((start, stop)))
    axis = Axis(parameter, units.get(parameter, ""))
    columns = [Column(Axis("t", "s"), curve.x), Column(axis, curve.y)]
    return Picture(title, Axis("t", "s"), [Panel(axis, [curve])], columns)


def _table(title: str, result: Mapping[str, Any], units: Mapping[str, str]) -> Picture | None:
    """A table as it was achieved: each row for its dwell time, one pass of it."""
    rows = result.get("steps")
    if not isinstance(rows, list) or not rows or not all(_has_dwell(row) for row in rows):
        return None
    names = [n for n in rows[0] if n != "dwell" and all(_is_number(row.get(n)) for row in rows)]
    moving = [n for n in names if any(row[n] != rows[0][n] for row in rows)] or names[:1]
    if not moving:
        return None
    dwells = [row["dwell"] for row in rows]
    if None in dwells:  # rows that wait for triggers last as long as they last
        x_axis, ends = Axis("row"), np.arange(len(rows) + 1, dtype=np.float64)
    else:
        x_axis, ends = Axis("t", "s"), np.concatenate(([0.0], np.cumsum(dwells)))
    panels = []
    columns = [Column(Axis("t", "s"), ends[:-1])] if x_axis.unit else []
    for name in moving:
        values = np.array([row[name] for row in rows], dtype=np.float64)
        axis = Axis(name, units.get(name, ""))
        panels.append(Panel(axis, [Curve(name, ends, np.append(values, values[-1]), steps=True)]))
        columns.append(Column(axis, values))
    return Picture(title, x_axis, panels, columns)


def _has_dwell(row: Any) -> bool:
    if not isinstance(row, Mapping) or "dwell" not in row:
        return False
    return row["dwell"] is None or _is_number(row["dwell"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
