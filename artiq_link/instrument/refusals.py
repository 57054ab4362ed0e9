"""What a refused value is told: a sentence with the parameter, the value, and what was expected.

msgspec refuses with its own words, ``Expected `float` <= 5.0 - at `$[1].dwell```. They say where
the wrong value is; what is wrong with it is read from its type hint, and only where that says
nothing from the words. tests/instrument/test_refusals.py states every wording that matters.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ..errors import ExchangeError, InvalidParameter, OutOfRange
from ..text import begin_of, nearest_hint, written
from .annotations import (
    alternatives_of,
    choices_of,
    item_hint,
    member_hint,
    members_of,
    unit_of,
    value_hint,
)

_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?:(?P<index>\d+)|\.\.\.)\]")
_BOUND = re.compile(r"expected '.+?' (>=|>|<=|<) (\S+)")

_RELATIONS = {
    ">=": "is below the limit of",
    ">": "is not above",
    "<=": "is above the limit of",
    "<": "is not below",
}
_BOUNDS = (
    ("ge", operator.ge, ">="),
    ("gt", operator.gt, ">"),
    ("le", operator.le, "<="),
    ("lt", operator.lt, "<"),
)
_LOST = object()
"""In the place of a value that could not be found."""


def split_refusal(refusal: str) -> tuple[str, str]:
    """Split msgspec's ``Expected `int`, got `str` - at `$[2].a``` into sentence and path."""
    refusal = refusal.replace(" - at `key` in `$", " as a key - at `$")
    sentence, _, path = refusal.partition(" - at `$")
    sentence = sentence.replace("`", "'")
    return sentence[0].lower() + sentence[1:], path.rstrip("`")


def lists_are_expected(refusal: str) -> bool:
    """Whether msgspec refused an array where a list, or something else of JSON's, is declared."""
    return "got `numpy.ndarray`" in refusal


def explain(
    name: str, annotation: Any, value: Any, refusal: str, convert: Callable[[Any, Any], Any]
) -> ExchangeError:
    """Make the error for a parameter's value from msgspec's refusal.

    `convert` gets parts of the value with their type hints, and raises `msgspec.ValidationError`
    as it did for the whole.
    """
    sentence, path = split_refusal(refusal)
    place = _Place(name, annotation, value)
    for step in _STEP.finditer(path):
        place = place.step(step, convert)
    where = place.where
    if sentence == "number out of range":
        return OutOfRange(f"{where}: the number is too large for a float", where)
    if broken := _broken_bound(place, sentence):
        return OutOfRange(f"{where}: {broken}", where)
    choices = choices_of(place.annotation)
    if type(place.value) in set(map(type, choices)) and place.value not in choices:
        listed = ", ".join(map(repr, choices))
        return InvalidParameter(f"{where}: {begin_of(place.value)} is not one of {listed}", where)
    if (unknown := _unknown_member(place)) is not None:
        kinds = (kind for kind, _ in alternatives_of(place.annotation))
        hint = nearest_hint(unknown, (name for kind in kinds for name in members_of(kind)))
        return InvalidParameter(f"{where}: there is no {begin_of(unknown)} in it{hint}", where)
    return InvalidParameter(f"{where}: {sentence}", where)


class _Place(NamedTuple):
    """A part of a parameter's value: its name, such as ``steps[2].dwell``, and its type hint."""

    where: str
    annotation: Any
    value: Any

    def step(self, step: re.Match[str], convert: Callable[[Any, Any], Any]) -> _Place:
        """One step deeper, as msgspec's path says."""
        if name := step["name"]:
            value = self.value.get(name, _LOST) if isinstance(self.value, dict) else _LOST
            return _Place(self.where + step[0], member_hint(self.annotation, name), value)
        if step["index"]:
            index = int(step["index"])
            is_there = isinstance(self.value, (list, tuple)) and index < len(self.value)
            value = self.value[index] if is_there else _LOST
            return _Place(self.where + step[0], item_hint(self.annotation, index), value)
        # msgspec does not name a dictionary's key; the first value that is refused is meant.
        annotation = value_hint(self.annotation)
        for key, value in self.value.items() if isinstance(self.value, dict) else ():
            try:
                convert(value, annotation)
            except msgspec.ValidationError:
                return _Place(f"{self.where}.{key!s:.60}", annotation, value)
        return _Place(self.where + step[0], annotation, _LOST)


def _broken_bound(place: _Place, sentence: str) -> str:
    """Which bound a number is beyond: ``6 V is above the limit of 5 V``; empty where none."""
    is_number = isinstance(place.value, (int, float)) and not isinstance(place.value, bool)
    unit = f" {unit}" if (unit := unit_of(place.annotation)) else ""
    number = f"{written(place.value)}{unit}" if is_number else "a number"
    for note in _notes_of_number(place) if is_number else ():
        for name, holds, sign in _BOUNDS:
            bound = getattr(note, name)
            if bound is not None and not holds(place.value, bound):
                return f"{number} {_RELATIONS[sign]} {written(bound)}{unit}"
    # Where the path leads to no hint, as in a NamedTuple, the words still have the bound.
    if worded := _BOUND.fullmatch(sentence):
        return f"{number} {_RELATIONS[worded[1]]} {written(float(worded[2]))}{unit}"
    return ""


def _notes_of_number(place: _Place) -> list[msgspec.Meta]:
    """What is noted of the type for which a number is taken: a whole one may be for a float."""
    alternatives = alternatives_of(place.annotation)
    is_whole = isinstance(place.value, int) and any(kind is int for kind, _ in alternatives)
    taken_for = int if is_whole else float
    return [note for kind, notes in alternatives if kind is taken_for for note in notes]


def _unknown_member(place: _Place) -> str | None:
    """The first member of an object that is not declared, where only declared ones are allowed."""
    known: set[str] = set()
    for kind, _ in alternatives_of(place.annotation):
        config = getattr(kind, "__struct_config__", None)
        if config is None or not config.forbid_unknown_fields:
            return None
        known |= members_of(kind).keys() | {config.tag_field or ""}
    if not isinstance(place.value, dict):
        return None
    return next((name for name in place.value if name not in known), None)
