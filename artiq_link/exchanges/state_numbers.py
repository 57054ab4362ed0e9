"""The numbers in an instrument's state, each under the path of its members' names."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..values import CLASS_KEY

MAX_NUMBERS = 1000
"""Of one state: somebody looks at curves of these, and an array is a picture and no curve."""

MAX_LOOKED_AT = 10_000
"""Values of one state that are looked at for that: a state may hold a table, and the time of a
few milliseconds is everybody's."""

MAX_PATH = 200
"""Characters of a path: whoever keeps metrics keeps it for years."""


class Number(NamedTuple):
    """A number of a state."""

    path: str
    """``ch0.frequency``"""
    name: str
    """The last name in it that is no index: ``frequency``."""
    value: float


def numbers_of(state: Any) -> tuple[list[Number], bool]:
    """The numbers of a state, and whether these are all of them.

    True counts as 1 and false as 0. Where there are too many, those that lie deepest are left
    out. A name in a path that is more than letters, digits and the like is in quotes, as in JSON.
    """
    found: list[Number] = []
    is_all = True
    looked_at = 0
    left = deque([("", "", state)])
    while left:
        path, name, value = left.popleft()
        members: Iterable[tuple[str | int, Any]]
        if isinstance(value, dict):
            # An array in bytes has no numbers that could be read here.
            members = () if CLASS_KEY in value else value.items()
        elif isinstance(value, list):
            members = enumerate(value)
        else:
            if isinstance(value, int | float) and (number := _as_float(value)) is not None:
                if len(found) >= MAX_NUMBERS:
                    return found, False
                found.append(Number(path, name, number))
            continue
        for key, member in members:
            if looked_at >= MAX_LOOKED_AT:
                is_all = False
                break
            looked_at += 1
            inner = f"{path}.{_part(key)}" if path else _part(key)
            if len(inner) <= MAX_PATH:
                left.append((inner, key if isinstance(key, str) else name, member))
            else:
                is_all = False
    return found, is_all


def _as_float(value: float) -> float | None:
    """A number as others can keep it; None for one that is beyond floats."""
    try:
        return float(value)
    except OverflowError:
        return None


def _part(key: str | int) -> str:
    """A member's name in a path, so that no two paths are the same."""
    if isinstance(key, int) or key.isidentifier():
        return str(key)
    is_plain = key.isprintable() and key and not set(key) & set('."\\')
    return key if is_plain and not key.isdecimal() else json.dumps(key)
