"""Readings: methods that fetch a measured value into an instrument's state, again and again.

    class Oven(Instrument):
        @reading(period=2.0)
        def temperature(self) -> Temperature:
            "Measure the oven's temperature."

They are called in the instrument's thread between commands, and only while somebody watches.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from .command import Command
from .schemas import describe_type

PERIOD = 1.0
"""Seconds between two readings, unless it is said."""

_MARK = "_artiq_link_reading"

F = TypeVar("F", bound=Callable[..., Any])


class Reading:
    """What is read: a method by its name, and how often."""

    def __init__(self, function: Any, period: float) -> None:
        plain = function.function if isinstance(function, Command) else function
        if not inspect.isfunction(plain):
            kind = type(function).__name__
            raise TypeError(f"@reading goes before a method, not before a {kind}")
        name = plain.__qualname__
        if inspect.iscoroutinefunction(plain):
            raise TypeError(f"{name}: a reading is a plain 'def': nobody awaits it")
        if list(inspect.signature(plain).parameters) != ["self"]:
            raise TypeError(f"{name}: a reading is a method without parameters: nobody gives any")
        if not 0 < period < math.inf:
            raise ValueError(f"{name}: period: expected seconds above 0, got {period!r:.60}")
        self.name = plain.__name__
        self.period = period
        self.doc = inspect.cleandoc(plain.__doc__ or "")
        try:
            result = get_type_hints(plain, include_extras=True).get("return", Any)
            self._result = describe_type(result)
        except (TypeError, NameError) as error:
            raise TypeError(f"{name}: {error}") from None

    def describe(self) -> dict[str, Any]:
        """Docstring, period in s, and type with its unit, as `link.describe` shows them."""
        return {"doc": self.doc, "period": self.period, "result": self._result}


def reading(period: float = PERIOD) -> Callable[[F], F]:
    """Decorator: a method without parameters gives a part of the state, each `period` seconds.

    The value stands in the state under the method's name, and null where the method raises.
    Raises TypeError for what is no such method, and ValueError for a period that is none.
    """
    if callable(period):
        raise TypeError("@reading needs its parentheses: write @reading(), or with a period")

    def mark(function: F) -> F:
        vars(function)[_MARK] = Reading(function, period)
        return function

    return mark


def readings_of(owner: type) -> Mapping[str, Reading]:
    """The readings of a class and its bases, by name, in the order of their definition."""
    members: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        members.update(vars(base))
    found = {name: getattr(member, "__dict__", {}).get(_MARK) for name, member in members.items()}
    return {name: each for name, each in found.items() if isinstance(each, Reading)}
