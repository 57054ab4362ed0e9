"""The states of instruments as ARTIQ's datasets: ``dds.ch0.frequency`` and its like.

A dataset is a list of whether it is persistent, its value, and metadata with its unit, as ARTIQ 8
and later have them (``artiq.master.databases``). What is no object is the value of a dataset of
its own; a list is one value, unless it has objects in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..values import CLASS_KEY

SHOWN_IN: Mapping[str, tuple[str, float]] = {"Hz": ("MHz", 1e6)}
"""Units that ARTIQ's programs show in another, and how much that is."""

Dataset = list[Any]


def datasets_of(name: str, state: Any, units: Mapping[str, str]) -> dict[str, Dataset]:
    """The datasets of the state of an instrument of that name.

    `units` are those of numbers, by the last name in the path to them.
    """
    found: dict[str, Dataset] = {}
    if state is not None:
        _collect(found, name, state, "", units)
    return found


def _collect(
    found: dict[str, Dataset], path: str, value: Any, name: str, units: Mapping[str, str]
) -> None:
    if isinstance(value, dict) and CLASS_KEY not in value:
        for member, inner in value.items():
            _collect(found, f"{path}.{member}", inner, member, units)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for index, inner in enumerate(value):
            _collect(found, f"{path}.{index}", inner, name, units)
    else:
        found[path] = [False, value, _metadata(units.get(name))]


def _metadata(unit: str | None) -> dict[str, Any]:
    if unit is None:
        return {}
    shown, scale = SHOWN_IN.get(unit, (unit, 1.0))
    return {"unit": shown, "scale": scale}
