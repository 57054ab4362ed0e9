"""Commands: methods with type hints, whose parameters are checked before they run.

    class Shutter(Instrument):
        @command
        def open(self, channel: Channel) -> None:
            "Open one shutter."

        @open.checker
        def _check_open(self, channel: Channel) -> None:
            if channel not in self.connected:
                raise OutOfRange(...)

The annotations are what msgspec understands: ``Annotated[float, Meta(ge=0, extra={"unit":
"Hz"})]`` has a bound and a unit, ``Literal["up", "down"]`` is a choice, a `msgspec.Struct` is an
object with members, `numpy.ndarray` is an array of numbers, and a default makes a parameter
optional. A checker refuses what annotations cannot: it sees the same parameters before the
command, must not touch hardware, and alone is what `link.check` runs.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
    overload,
)

import msgspec
import numpy as np

from ..errors import ExchangeError, InvalidParameter, OutOfRange, UnknownCommand
from ..text import json_kind, nearest_hint
from ..values import encode
from .data import OWN_KEYS
from .refusals import split_refusal

P = ParamSpec("P")
R = TypeVar("R")

_BOUND = re.compile(r"expected '.+?' (>=|>|<=|<) (\S+)")
MAX_LISTED = 1 << 20
"""Values and rows of an array that may become lists: a tenth of a second and 50 MB. A shape says
more of them than there are bytes: one of [40000000, 0] has none."""

_UNKNOWN_MEMBER = re.compile(r"object contains unknown field '(.*)'")
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


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

    @property
    def unit(self) -> str:
        """Its unit, such as ``"Hz"``, or ``""``."""
        return _unit(self.type)

    def convert(self, value: Any) -> Any:
        """Check `value`, return it as the declared type; raises `InvalidParameter`, `OutOfRange`.

        An integer is accepted where a float is declared, an array where a list is, a boolean
        never is a number, and NaN and infinities are refused.
        """
        try:
            return self._typed(value)
        except msgspec.ValidationError as error:
            refusal = str(error)
        if "got `numpy.ndarray`" in refusal:
            try:
                value = _listed(value)
                return self._typed(value)
            except msgspec.ValidationError as error:
                refusal = str(error)
            except ValueError as error:
                raise InvalidParameter(f"{self.name}: {error}", self.name) from None
        raise self._explain(refusal, value)

    def _typed(self, value: Any) -> Any:
        # inf passes msgspec's lower bounds.
        for path, number in _not_finite(value):
            where = self.name + path
            raise OutOfRange(f"{where}: {number} is not a finite number", where)
        # An object's keys are texts in JSON, also where the declared ones are numbers.
        return msgspec.convert(value, self.type, dec_hook=_convert_custom, str_keys=True)

    def check_declaration(self) -> None:
        """Raise TypeError for a type that no request can give, or that its default has not."""
        try:
            msgspec.json.schema(self.type, schema_hook=_schema_of_parameter)
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
        description = {"name": self.name, "required": self.required, **_describe(self.type)}
        if self.keyword_only:
            description["keyword_only"] = True
        if not self.required:
            description["default"] = msgspec.to_builtins(self.default, enc_hook=_default_of_custom)
        return description

    def _explain(self, refusal: str, value: Any) -> ExchangeError:
        """Turn msgspec's refusal into a sentence that names the parameter, value and limit."""
        sentence, path = split_refusal(refusal)
        where = self.name + path
        if path.startswith("[...]"):  # msgspec does not name a dictionary's key
            for key in value:
                if self._refusal({key: value[key]}) == refusal:
                    where = f"{self.name}.{key!s:.60}{path.removeprefix('[...]')}"
                    value = {"...": value[key]}  # as the path says it
                    break
        member = _type_at(self.type, path)
        value = _value_at(value, path)
        unit = f" {unit}" if (unit := _unit(member)) else ""
        if bound := _BOUND.fullmatch(sentence):
            is_known = isinstance(value, (int, float))
            number = f"{written(value)}{unit}" if is_known else "a number"
            relation = {
                ">=": "is below the limit of",
                ">": "is not above",
                "<=": "is above the limit of",
                "<": "is not below",
            }[bound[1]]
            limit = written(float(bound[2]))
            return OutOfRange(f"{where}: {number} {relation} {limit}{unit}", where)
        if sentence == "number out of range":
            return OutOfRange(f"{where}: the number is too large for a float", where)
        choices = _choices(member)
        if sentence.startswith("invalid enum value") and choices:
            listed = ", ".join(map(repr, choices))
            return InvalidParameter(f"{where}: {value!r:.60} is not one of {listed}", where)
        if unknown := _UNKNOWN_MEMBER.fullmatch(sentence):
            hint = nearest_hint(unknown[1], _members(_parts(member)[0]))
            return InvalidParameter(f"{where}: there is no {unknown[1]!r:.60} in it{hint}", where)
        return InvalidParameter(f"{where}: {sentence}", where)

    def _refusal(self, value: Any) -> str:
        try:
            self._typed(value)
        except msgspec.ValidationError as error:
            return str(error)
        return ""


class Command(Generic[P, R]):
    """A method of an instrument that clients may call; made by `command`."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        if not inspect.isfunction(cast(Any, function)):
            kind = type(function).__name__
            raise TypeError(f"@command goes before a plain method, not before a {kind}")
        self.function = function
        self._checker: Callable[..., None] | None = None
        self.name = function.__name__
        self.doc = inspect.cleandoc(function.__doc__ or "")
        functools.update_wrapper(cast(Any, self), function)
        hints = get_type_hints(function, include_extras=True)
        self._signature = inspect.signature(function)
        first = next(iter(self._signature.parameters), None)
        if first is None or (first in hints and first != "self"):
            raise TypeError(f"{function.__qualname__}: a command is a method: it needs 'self'")
        self.parameters = {
            parameter.name: Parameter(
                parameter.name,
                self._hint(parameter, hints),
                parameter.default,
                parameter.kind is parameter.KEYWORD_ONLY,
            )
            for parameter in list(self._signature.parameters.values())[1:]
        }
        self._defaults = {
            name: parameter.default
            for name, parameter in self.parameters.items()
            if not parameter.required
        }
        try:
            for parameter in self.parameters.values():
                parameter.check_declaration()
            self._description = self._describe(hints.get("return", Any))
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}: {error}") from None

    def _hint(self, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
        where = f"{self.function.__qualname__}: parameter {parameter.name!r}"
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise TypeError(f"{where} must have a name that a request can give")
        if parameter.name in OWN_KEYS:
            raise TypeError(f"{where}: this name is the request's own; choose another")
        if parameter.name not in hints:
            raise TypeError(f"{where} needs a type hint, such as '{parameter.name}: float'")
        return hints[parameter.name]

    def checker(self, check: Callable[..., None]) -> Callable[..., None]:
        """Decorator: `check` gets the command's parameters first and raises to refuse them.

        It gets them all, defaults included, so it declares none itself. Raises TypeError where
        its parameters are not the command's, or its name is: it would take the command's place.
        """
        if check.__name__ == self.name:
            raise TypeError(f"{check.__qualname__}: a checker needs a name of its own")
        if inspect.iscoroutinefunction(check):
            raise TypeError(f"{check.__qualname__}: a checker is a plain 'def': nobody awaits it")
        expected = list(self._signature.parameters)[1:]
        if list(inspect.signature(check).parameters)[1:] != expected:
            raise TypeError(
                f"{check.__qualname__}: a checker takes the parameters of {self.name!r}: "
                f"{', '.join(expected) or 'none'}"
            )
        self._checker = check
        return check

    def inherit_checker(self, overridden: Command[Any, Any]) -> None:
        """Keep the checker of the command that this one overrides, unless it has its own.

        Raises TypeError where it has other parameters: a limit must not be lost unnoticed.
        """
        if self._checker is None and overridden._checker is not None:
            self.checker(overridden._checker)

    @overload
    def __get__(self, instrument: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instrument: object, owner: type) -> Callable[P, R]: ...
    def __get__(self, instrument: object | None, owner: type) -> Self | Callable[P, R]:
        if instrument is None:
            return self
        return functools.partial(self._call, instrument)

    def _call(self, instrument: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        given = self._signature.bind(instrument, *args, **kwargs).arguments
        self.check(instrument, dict(list(given.items())[1:]))
        return self.function(instrument, *args, **kwargs)

    def run(self, instrument: Any, values: Mapping[str, Any]) -> R:
        """Check and execute the command with parameters as `convert` gives them."""
        self.check(instrument, values)
        return cast(Callable[..., R], self.function)(instrument, **values)

    def check(self, instrument: Any, values: Mapping[str, Any]) -> None:
        """Raise what the checker raises; execute nothing."""
        if self._checker is not None:
            self._checker(instrument, **{**self._defaults, **values})

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give positional arguments their names; raises `InvalidParameter`."""
        names = [name for name, kind in self.parameters.items() if not kind.keyword_only]
        if len(args) > len(names):
            raise InvalidParameter(
                f"{self.name} takes {len(names)} positional parameters, {len(args)} were given"
            )
        bound = dict(zip(names, args, strict=False))
        if twice := sorted(bound.keys() & kwargs.keys()):
            raise InvalidParameter(f"{self.name}: {twice[0]!r} was given twice", twice[0])
        return {**bound, **kwargs}

    def convert(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Check a request's parameters and return them typed, defaults left out.

        Raises `InvalidParameter` and `OutOfRange` for the first that is wrong.
        """
        for name in parameters:
            if name not in self.parameters:
                raise self._unexpected(name)
        values = {}
        for name, parameter in self.parameters.items():
            if name in parameters:
                values[name] = parameter.convert(parameters[name])
            elif parameter.required:
                raise InvalidParameter(f"missing parameter {name!r} of {self.name!r}", name)
        return values

    def _unexpected(self, name: str) -> InvalidParameter:
        hint = nearest_hint(name, self.parameters)
        return InvalidParameter(f"{self.name!r} has no parameter {name!r:.60}{hint}", name)

    def describe(self) -> dict[str, Any]:
        """Docstring, parameters and result, as `link.describe` shows them."""
        return self._description

    def _describe(self, result: Any) -> dict[str, Any]:
        return {
            "doc": self.doc,
            "parameters": [parameter.describe() for parameter in self.parameters.values()],
            "result": _describe(result),
        }


def command(function: Callable[Concatenate[Any, P], R]) -> Command[P, R]:
    """Decorator: make a method of an `Instrument` a command that clients may call.

    Every parameter needs a type hint. A plain method runs in the instrument's own thread, an
    ``async def`` on the event loop. Raises TypeError where a hint is missing.
    """
    return Command(function)


class CommandTable(dict[str, Command[Any, Any]]):
    """The commands of one class, by name."""

    @classmethod
    def of(cls, owner: type) -> Self:
        """Collect the commands of `owner` and its bases, in the order of their definition."""
        members: dict[str, Any] = {}
        for base in reversed(owner.__mro__):
            for name, member in vars(base).items():
                overridden = members.get(name)
                if isinstance(member, Command) and isinstance(overridden, Command):
                    member.inherit_checker(overridden)
                members[name] = member
        return cls(
            {name: member for name, member in members.items() if isinstance(member, Command)}
        )

    def resolve(
        self, name: str, parameters: Mapping[str, Any]
    ) -> tuple[Command[Any, Any], dict[str, Any]]:
        """Find the command `name` and type its parameters.

        Raises `UnknownCommand`, `InvalidParameter` and `OutOfRange`.
        """
        if name not in self:
            raise UnknownCommand.nearest(name, self)
        return self[name], self[name].convert(parameters)

    def describe(self) -> dict[str, Any]:
        """Each command's docstring, parameters and result."""
        return {name: command.describe() for name, command in self.items()}


def written(value: float) -> str:
    """`value` as a person writes it, in the fewest digits that are exact: 5e8, 0.25."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"(of {value.bit_length()} bits)"  # beyond floats, and soon beyond int's repr
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return np.format_float_positional(float(value), trim="-")
    return np.format_float_scientific(float(value), trim="-", exp_digits=1).replace("+", "")


def _convert_custom(kind: Any, value: Any) -> Any:
    """Convert what msgspec does not know: arrays of numbers and paths."""
    dtype, kind = _dtype_of(kind), get_origin(kind) or kind
    if issubclass(kind, Path) and isinstance(value, kind):
        return value
    if kind is np.ndarray:
        return _convert_array(value, dtype)
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"Expected `{kind.__name__}`, got {json_kind(value)}")


def _expect_instance(kind: Any, value: Any) -> Any:
    """Accept what msgspec does not know as it is: nobody converts a default."""
    kind = get_origin(kind) or kind
    if not isinstance(value, kind):
        raise ValueError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")
    return value


def _dtype_of(kind: Any) -> np.dtype[Any] | None:
    """The dtype of ``NDArray[numpy.float64]``; None for any, and for what is no array."""
    match get_args(kind):
        case _, dtype if get_origin(dtype) is np.dtype:
            (element,) = get_args(dtype)
            return np.dtype(element) if element in np.sctypeDict.values() else None
    return None


def _convert_array(value: Any, dtype: np.dtype[Any] | None) -> np.ndarray[Any, Any]:
    if not isinstance(value, (np.ndarray, list, tuple)):
        raise ValueError(f"Expected an array of numbers, got {json_kind(value)}")
    # NumPy would make numbers of booleans among numbers, and as many copies of the longest text as
    # there are elements.
    kinds = set() if isinstance(value, np.ndarray) else set(_element_types(value))
    mixed = bool in kinds and len(kinds) > 1
    if mixed or not all(issubclass(kind, (*_NUMBERS, np.ndarray)) for kind in kinds):
        raise ValueError("Expected an array of numbers, got other values among them")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError("Expected an array of numbers, got rows of different lengths") from None
    if array.dtype.kind not in "biufc":
        raise ValueError("Expected an array of numbers, got other values among them")
    if not np.isfinite(array).all():
        raise ValueError("Expected finite numbers, got NaN or infinity among them")
    if dtype is None or dtype == array.dtype:
        return array
    sorts = {array.dtype.kind, dtype.kind}
    fits = np.can_cast(array.dtype, dtype, "same_kind") or sorts == {"i", "u"}
    if array.size and (not fits or "b" in sorts):
        raise ValueError(f"Expected an array of {dtype}, got one of {array.dtype}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    is_whole = dtype.kind in "iu"
    if not (np.array_equal(converted, array) if is_whole else np.isfinite(converted).all()):
        raise ValueError(f"Expected an array of {dtype}, got numbers beyond it")
    return converted


_NUMBERS = (bool, int, float, complex, np.number, np.bool_)


def _element_types(rows: list[Any] | tuple[Any, ...]) -> Iterator[type]:
    for item in rows:
        if isinstance(item, (list, tuple)):
            yield from _element_types(item)
        else:
            yield type(item)


def _listed(value: Any) -> Any:
    """The value with lists in the place of arrays, wherever they are.

    Raises ValueError where that would be more than `MAX_LISTED` lists and numbers.
    """
    if isinstance(value, np.ndarray):
        if sum(itertools.accumulate(value.shape, operator.mul)) > MAX_LISTED:
            raise ValueError(f"more than {MAX_LISTED} values and rows in an array")
        return value.tolist()
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _parts(annotation: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Split ``Annotated[type, Meta(...)]``."""
    if get_origin(annotation) is Annotated:
        kind, *notes = get_args(annotation)
        return kind, [note for note in notes if isinstance(note, msgspec.Meta)]
    return annotation, []


def _unit(annotation: Any) -> str:
    for note in _parts(annotation)[1]:
        if note.extra and "unit" in note.extra:
            return str(note.extra["unit"])
    # An optional parameter has its unit one level deeper: Annotated[...] | None.
    return next((unit for part in get_args(annotation) if (unit := _unit(part))), "")


def _choices(annotation: Any) -> tuple[Any, ...]:
    kind = _parts(annotation)[0]
    if get_origin(kind) is Literal:
        return get_args(kind)
    if isinstance(kind, enum.EnumMeta):
        return tuple(choice.value for choice in cast(type[enum.Enum], kind))
    # An optional parameter has its choices one level deeper: Literal[...] | None.
    return next((choices for part in get_args(kind) if (choices := _choices(part))), ())


def _members(kind: Any) -> dict[str, Any]:
    """The annotations of an object's members, by name; none for what is no declared object."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if is_typeddict(kind) or (dataclasses.is_dataclass(kind) and isinstance(kind, type)):
        return get_type_hints(kind, include_extras=True)
    return {}


def _type_at(annotation: Any, path: str) -> Any:
    """Follow msgspec's path, such as ``[2].dwell``, into an annotation; Any where it is lost."""
    for name, _ in _STEP.findall(path):
        kind = _parts(annotation)[0]
        options = [part for part in get_args(kind) if part is not type(None)]
        if type(None) in get_args(kind) and len(options) == 1:  # an optional one
            kind = _parts(options[0])[0]
        if name:
            annotation = _members(kind).get(name, Any)
        elif get_origin(kind) in {list, dict}:
            annotation = get_args(kind)[-1]
        else:
            annotation = Any
    return annotation


def _value_at(value: Any, path: str) -> Any:
    """Follow msgspec's path, such as ``[2].dwell``, into a parameter's value."""
    for name, index in _STEP.findall(path):
        try:
            value = value[int(index) if index.isdecimal() else name or index]
        except (LookupError, TypeError):
            return value
    return value


def _not_finite(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Find the floats in a value that are not finite, each with its path as msgspec writes it."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _not_finite(item, f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _not_finite(item, f"{path}[{index}]")


def _describe(annotation: Any) -> dict[str, Any]:
    description: dict[str, Any] = {
        "schema": msgspec.json.schema(annotation, schema_hook=_schema_of_custom)
    }
    for kind in _objects(annotation):
        definition = description["schema"]["$defs"].get(kind.__name__, {})
        for name, member in _members(kind).items():
            if unit := _unit(member):
                definition["properties"][name]["unit"] = unit
    if unit := _unit(annotation):
        description["unit"] = unit
    return description


def _objects(annotation: Any) -> set[Any]:
    """The declared objects that an annotation speaks of, at whatever depth."""
    found: set[Any] = set()
    left = [annotation]
    while left:
        kind = _parts(left.pop())[0]
        left += get_args(kind)
        if (members := _members(kind)) and kind not in found:
            found.add(kind)
            left += members.values()
    return found


def _default_of_custom(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _schema_of_parameter(kind: Any) -> dict[str, Any]:
    """Refuse what JSON and `_convert_custom` know nothing of."""
    origin = get_origin(kind) or kind
    if origin is np.ndarray or issubclass(origin, Path):
        return _schema_of_custom(kind)
    raise TypeError(f"a request cannot give what is declared as {kind.__name__!r}")


def _schema_of_custom(kind: Any) -> dict[str, Any]:
    kind = get_origin(kind) or kind
    if kind is np.ndarray:
        return {"type": "array", "items": {"type": "number"}, "format": "nparray"}
    if issubclass(kind, Path):
        return {"type": "string", "format": "path"}
    return {"description": kind.__name__}
