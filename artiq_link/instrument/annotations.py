"""What the type hints of parameters say: alternatives, bounds, units, choices, members.

They are those that msgspec understands: ``Annotated[float, msgspec.Meta(ge=0)]``,
``float | None``, ``Literal["up", "down"]``, enumerations, and objects declared as
`msgspec.Struct`, as a dataclass or as a TypedDict.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence, Set
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec


class Alternative(NamedTuple):
    """One of the types that a hint admits, with what is noted of it."""

    kind: Any
    notes: tuple[msgspec.Meta, ...]


def alternatives_of(annotation: Any) -> list[Alternative]:
    """The types of which a value has one, each with its notes; None is left out."""
    kind, notes = _parts(annotation)
    if get_origin(kind) not in {Union, UnionType}:
        return [Alternative(kind, notes)]
    # Bounds stand with the type that they bound; msgspec admits none around several.
    return [
        inner for part in get_args(kind) if part is not NoneType for inner in alternatives_of(part)
    ]


def unit_of(annotation: Any) -> str:
    """The unit that is noted, such as ``"Hz"``, or ``""``."""
    for note in _parts(annotation)[1]:
        if note.extra and "unit" in note.extra:
            return str(note.extra["unit"])
    # An optional parameter and a list have their unit one level deeper: Annotated[...] | None.
    return next((unit for part in get_args(annotation) if (unit := unit_of(part))), "")


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values of which one is to be chosen; none where it is not so."""
    for kind, _ in alternatives_of(annotation):
        if get_origin(kind) is Literal:
            return get_args(kind)
        if isinstance(kind, enum.EnumMeta):
            return tuple(choice.value for choice in cast(type[enum.Enum], kind))
    return ()


def members_of(kind: Any) -> dict[str, Any]:
    """The hints of an object's members, by name; none for what is no declared object."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if is_typeddict(kind) or (dataclasses.is_dataclass(kind) and isinstance(kind, type)):
        return get_type_hints(kind, include_extras=True)
    return {}


def kinds_of(annotation: Any) -> list[Any]:
    """Every type that a hint speaks of, at whatever depth."""
    found: list[Any] = []
    left = [annotation]
    while left:
        kind = _parts(left.pop())[0]
        if kind not in found:
            found.append(kind)
            left += () if get_origin(kind) is Literal else get_args(kind)
            left += members_of(kind).values()
    return found


def member_hint(annotation: Any, name: str) -> Any:
    """The hint of an object's member; Any where none is declared."""
    found = (members_of(kind) for kind, _ in alternatives_of(annotation))
    return next((members[name] for members in found if name in members), Any)


def item_hint(annotation: Any, index: int) -> Any:
    """The hint of a list's or tuple's item; Any where none is declared."""
    for kind, _ in alternatives_of(annotation):
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is tuple and arguments[1:] != (...,):
            return arguments[index] if index < len(arguments) else Any
        if _is_a(origin, Sequence) or _is_a(origin, Set):
            return arguments[0]
    return Any


def value_hint(annotation: Any) -> Any:
    """The hint of a dictionary's values; Any where none is declared."""
    found = (kind for kind, _ in alternatives_of(annotation) if _is_a(get_origin(kind), Mapping))
    return next((get_args(kind)[1] for kind in found), Any)


def _is_a(origin: Any, abstract: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, abstract)


def _parts(annotation: Any) -> tuple[Any, tuple[msgspec.Meta, ...]]:
    """Split ``Annotated[type, Meta(...)]``."""
    if get_origin(annotation) is Annotated:
        kind, *notes = get_args(annotation)
        return kind, tuple(note for note in notes if isinstance(note, msgspec.Meta))
    return annotation, ()
