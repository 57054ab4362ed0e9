"""One parameter of a command: its declaration, and how a request's value becomes its type."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import msgspec
import numpy as np

from ..errors import InvalidParameter, OutOfRange
from ..text import json_kind
from ..values import encode
from .arrays import as_array, as_lists, dtype_of
from .finite import not_finite
from .refusals import explain, lists_are_expected, split_refusal
from .schemas import check_request_type, describe_type


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a command."""

    name: str
    type: Any
    default: Any = inspect.Parameter.empty
    keyword_only: bool = False

    @property
    def required(self) -> bool:
        """Whether a request must give it."""
        return self.default is inspect.Parameter.empty

    def convert(self, value: Any) -> Any:
        """Check `value`, return it as the declared type; raises `InvalidParameter`, `OutOfRange`.

        An integer is accepted where a float is declared, an array where a list is, a boolean
        never is a number, and NaN and infinities are refused.
        """
        try:
            return self._typed(value)
        except msgspec.ValidationError as error:
            refusal = str(error)
        if lists_are_expected(refusal):
            try:
                value = as_lists(value)
                return self._typed(value)
            except msgspec.ValidationError as error:
                refusal = str(error)
            except ValueError as error:
                raise InvalidParameter(f"{self.name}: {error}", self.name) from None
        raise explain(self.name, self.type, value, refusal, typed)

    def _typed(self, value: Any) -> Any:
        for path, number in not_finite(value):
            where = self.name + path
            raise OutOfRange(f"{where}: {number} is not a finite number", where)
        return typed(value, self.type)

    def check_declaration(self) -> None:
        """Raise TypeError for a type that no request can give, or that its default has not."""
        try:
            check_request_type(self.type)
            if not self.required:
                default = self.default
                plain = default.value if isinstance(default, enum.Enum) else default
                msgspec.convert(plain, self.type, dec_hook=_expect_instance)
            encode(self.describe())
        except TypeError as error:
            raise TypeError(f"parameter {self.name!r}: {error}") from None
        except msgspec.ValidationError as error:
            sentence, path = split_refusal(str(error))
            raise TypeError(f"the default of {self.name!r}{path}: {sentence}") from None
        except ValueError:
            raise TypeError(
                f"the default of {self.name!r}: NaN and infinities can neither be told to clients "
                "nor given by them; take None"
            ) from None

    def describe(self) -> dict[str, Any]:
        """Name, unit, default and JSON Schema, as `link.describe` shows them."""
        description = {"name": self.name, "required": self.required, **describe_type(self.type)}
        if self.keyword_only:
            description["keyword_only"] = True
        if not self.required:
            description["default"] = msgspec.to_builtins(self.default, enc_hook=_plain_default)
        return description


def typed(value: Any, annotation: Any) -> Any:
    """Make a value of JSON's, or an array, what is declared; raises `msgspec.ValidationError`."""
    try:
        return msgspec.convert(value, annotation, **CONVERT_OPTIONS)
    except AttributeError as error:
        if not isinstance(error.obj, np.ndarray):
            raise
        # msgspec takes it for a mapping, because it can be indexed.
        raise msgspec.ValidationError("Expected `object`, got `numpy.ndarray`") from None


def _convert_custom(kind: Any, value: Any) -> Any:
    """Convert what msgspec does not know: arrays of numbers and paths."""
    dtype, kind = dtype_of(kind), get_origin(kind) or kind
    if issubclass(kind, Path) and isinstance(value, kind):
        return value
    if kind is np.ndarray:
        return as_array(value, dtype)
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"Expected `{kind.__name__}`, got {json_kind(value)}")


# An object's keys are texts in JSON, also where the declared ones are numbers.
CONVERT_OPTIONS: Mapping[str, Any] = {"dec_hook": _convert_custom, "str_keys": True}
"""Options of `msgspec.convert` for what requests give."""


def _expect_instance(kind: Any, value: Any) -> Any:
    """Accept what msgspec does not know as it is: nobody converts a default."""
    kind = get_origin(kind) or kind
    if not isinstance(value, kind):
        raise ValueError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")
    return value


def _plain_default(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)
