"""JSON Merge Patches (RFC 7386): what has changed of a state, as an object like it.

`link_client.patched` applies them.
"""

from __future__ import annotations

from typing import Any


def difference(old: Any, new: Any) -> dict[str, Any] | None:
    """The patch that makes `new` of `old`, both as a JSON parser gives them.

    None where no patch can say it: both have to be objects, and a null in a patch deletes its
    member, so that a member cannot become null by one. Nor what is nested too deep to be compared.
    """
    try:
        return _difference(old, new)
    except RecursionError:
        return None


def _difference(old: Any, new: Any) -> dict[str, Any] | None:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return None
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            if _has_null(value):
                return None
            patch[name] = value
            continue
        former = old[name]
        if isinstance(former, dict) and isinstance(value, dict):
            part = _difference(former, value)
            if part is None:
                return None
            if part:
                patch[name] = part
        elif not is_same(former, value):
            if _has_null(value):
                return None
            patch[name] = value
    return patch


def _has_null(value: Any) -> bool:
    """Whether a patch would delete a part of it; it takes lists as they are."""
    return value is None or (isinstance(value, dict) and any(map(_has_null, value.values())))


_PLAIN = {float, int, str, bool, type(None)}
"""Of these there are many in a list: what is equal and of one type is the same."""


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are written alike: 1, 1.0 and true are equal, and not the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)
    if one != other:
        return False
    if isinstance(one, list):
        kinds = list(map(type, one))
        if kinds != list(map(type, other)):
            return False
        return _PLAIN.issuperset(kinds) or all(map(is_same, one, other))
    return True
