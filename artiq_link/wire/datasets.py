"""The states of instruments as ARTIQ's datasets: ``dds.ch0.frequency`` and its like.

A dataset is a list of whether it is persistent, its value, and metadata with its unit, as ARTIQ 8
and later have them (``artiq.master.databases``). What is no object is the value of a dataset of
its own; a list is one value, unless it has objects in it. No two values have the same dataset: a
name with a dot in it stands in quotes, ``dds."1.5 V"``, as it does in the metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..values import CLASS_KEY

SHOWN_IN: Mapping[str, tuple[str, float]] = {"Hz": ("MHz", 1e6)}
"""Units that ARTIQ's programs show in another, and how much that is."""

Dataset = list[Any]


def datasets_of(
    path: str, value: Any, units: Mapping[str, str], name: str | None = None
) -> dict[str, Dataset]:
    """The datasets of an instrument's state, or of the member of that name at a path in it.

    `units` are those of numbers, by the last name in the path to them. An instrument that tells
    no state has none.
    """
    found: dict[str, Dataset] = {}
    if value is not None or "." in path:
        _collect(found, path, value, name or "", units)
    return found


def dataset_name(path: Iterable[str]) -> str:
    """The name of the dataset at a path of members' names, which is that of no other path."""
    return ".".join(map(_part, path))


def is_object(value: Any) -> bool:
    """Whether a state's value has members: an array is one value, however it is written."""
    return isinstance(value, dict) and CLASS_KEY not in value


def _collect(
    found: dict[str, Dataset], path: str, value: Any, name: str, units: Mapping[str, str]
) -> None:
    if is_object(value):
        for member, inner in value.items():
            _collect(found, f"{path}.{_part(member)}", inner, member, units)
    elif isinstance(value, list) and dict in map(type, value):
        for index, inner in enumerate(value):
            _collect(found, f"{path}.{index}", inner, name, units)
    else:
        found[path] = [False, value, _metadata(units.get(name))]


def _part(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if "." in name or '"' in name else name


def _metadata(unit: str | None) -> dict[str, Any]:
    if unit is None:
        return {}
    shown, scale = SHOWN_IN.get(unit, (unit, 1.0))
    return {"unit": shown, "scale": scale}
