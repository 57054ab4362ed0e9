"""NaN and infinities: where they are in a value, and which types can hold them.

JSON has neither, but NDSP carries both, and msgspec lets them pass: inf is not below a lower
bound, and NaN is beyond no bound at all.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

import numpy as np

from .annotations import alternatives_of


def not_finite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Find the floats in a value that are not finite, each with its path: ``[1].dwell``.

    Lists, tuples and the values of dictionaries are looked at, arrays are not.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from not_finite(item, f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from not_finite(item, f"{path}[{index}]")


def is_float(annotation: Any) -> bool:
    """Whether a hint admits a float, perhaps None, and nothing else."""
    return all(kind is float for kind, _ in alternatives_of(annotation))


def can_hold_floats(annotation: Any) -> bool:
    """Whether what a request gives for a hint can hold a float that `not_finite` finds.

    True where it is not known: an object takes members that are not declared.
    """
    return not all(_holds_no_float(kind) for kind, _ in alternatives_of(annotation))


def _holds_no_float(kind: Any) -> bool:
    """Whether what is given for a type can hold no float, for sure."""
    origin = get_origin(kind) or kind
    if origin is Literal:
        return True
    if not isinstance(origin, type):
        return False
    if issubclass(origin, (list, tuple, set, frozenset, dict)):
        arguments = [part for part in get_args(kind) if part is not ...]
        return bool(arguments) and not any(map(can_hold_floats, arguments))
    if issubclass(origin, enum.Enum):
        return not any(isinstance(choice.value, float) for choice in origin)
    # An array of floats refuses those that are not finite itself.
    return issubclass(origin, (int, str, bytes, PurePath, np.ndarray, type(None)))
