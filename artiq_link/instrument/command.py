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

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    Union,
    cast,
    get_origin,
    get_type_hints,
    overload,
)

import msgspec

from ..errors import InvalidParameter, UnknownCommand
from ..text import begin_of, nearest_hint
from .annotations import kinds_of, members_of
from .data import OWN_KEYS
from .finite import can_hold_floats, is_float, not_finite
from .parameter import CONVERT_OPTIONS, Parameter
from .schemas import describe_type

P = ParamSpec("P")
R = TypeVar("R")


class Command(Generic[P, R]):
    """What clients may ask an instrument for: a function with typed parameters.

    `function` gets the instrument and, by their names, the parameters that were given. The
    decorator `command` makes a command of a method. Raises TypeError and ValueError where a
    parameter cannot be one of a request.
    """

    def __init__(
        self,
        name: str,
        parameters: Iterable[Parameter],
        function: Callable[Concatenate[Any, P], R],
        *,
        doc: str = "",
        result: Any = Any,
    ) -> None:
        functools.update_wrapper(cast(Any, self), function)
        self.name = self.__name__ = name
        self.doc = self.__doc__ = inspect.cleandoc(doc)
        parameters = list(parameters)
        self._signature = _signature_of(parameters)
        self.parameters = {parameter.name: parameter for parameter in parameters}
        """The command's parameters by name."""
        for parameter in self.parameters.values():
            if parameter.name in OWN_KEYS:
                raise TypeError(
                    f"parameter {parameter.name!r}: this name is the request's own; choose another"
                )
            parameter.check_declaration()
        self.function: Callable[..., R] = function
        self._checker: Callable[..., None] | None = None
        self._defaults = {
            parameter.name: parameter.default
            for parameter in self.parameters.values()
            if not parameter.required
        }
        has_fields = not any(name.startswith("__") for name in self.parameters)
        self._decoder = _Decoder(self.parameters.values()) if has_fields else None
        self._description = {
            "doc": self.doc,
            "parameters": [parameter.describe() for parameter in self.parameters.values()],
            "result": describe_type(result),
        }

    @classmethod
    def of(cls, function: Callable[Concatenate[Any, P], R]) -> Self:
        """Make a command of a method: its parameters are those of the signature.

        Raises TypeError where a parameter lacks its type hint or cannot be one of a request.
        """
        if not inspect.isfunction(cast(Any, function)):
            kind = type(function).__name__
            raise TypeError(f"@command goes before a plain method, not before a {kind}")
        hints = get_type_hints(function, include_extras=True)
        declared = list(inspect.signature(function).parameters.values())
        try:
            if not declared or (declared[0].name in hints and declared[0].name != "self"):
                raise TypeError("a command is a method: it needs 'self'")
            return cls(
                function.__name__,
                [_parameter_of(parameter, hints) for parameter in declared[1:]],
                function,
                doc=function.__doc__ or "",
                result=hints.get("return", Any),
            )
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}: {error}") from None

    def checker(self, check: Callable[..., None]) -> Callable[..., None]:
        """Decorator: `check` gets the command's parameters first and raises to refuse them.

        It gets them all, defaults included, so it declares none itself. Raises TypeError where
        its parameters are not the command's, or its name is: it would take the command's place.
        """
        if check.__name__ == self.name:
            raise TypeError(f"{check.__qualname__}: a checker needs a name of its own")
        if inspect.iscoroutinefunction(check):
            raise TypeError(f"{check.__qualname__}: a checker is a plain 'def': nobody awaits it")
        expected = list(self.parameters)
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
        return self.run(instrument, self._signature.bind(*args, **kwargs).arguments)

    def run(self, instrument: Any, values: Mapping[str, Any]) -> R:
        """Check and execute the command with parameters as `convert` gives them."""
        self.check(instrument, values)
        return self.function(instrument, **values)

    def check(self, instrument: Any, values: Mapping[str, Any]) -> None:
        """Raise what the checker raises; execute nothing."""
        if self._checker is not None:
            is_whole = len(values) == len(self.parameters)
            self._checker(instrument, **(values if is_whole else {**self._defaults, **values}))

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
        values = self._decoder.convert(parameters) if self._decoder is not None else None
        return values if values is not None else self._convert_each(parameters)

    def _convert_each(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Convert one after the other, which can also say what is wrong, and take some more."""
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
        return InvalidParameter(
            f"{self.name!r} has no parameter {begin_of(name)}{hint}", name[:60]
        )

    def describe(self) -> dict[str, Any]:
        """Docstring, parameters and result, as `link.describe` shows them."""
        return self._description


class _Decoder:
    """Types all parameters of a command at once, where nothing is wrong with them.

    It takes a seventh of the time of converting them one after the other.
    """

    def __init__(self, parameters: Collection[Parameter]) -> None:
        self._struct = msgspec.defstruct(
            "Parameters",
            [
                (p.name, p.type) if p.required else (p.name, p.type, msgspec.UNSET)
                for p in parameters
            ],
            kw_only=True,
            forbid_unknown_fields=True,
        )
        # Each option takes as long as a number's conversion does.
        is_plain = all(map(_is_plain, (kind for p in parameters for kind in kinds_of(p.type))))
        self._options = {} if is_plain else CONVERT_OPTIONS
        self._count = len(parameters)
        self._floats = [p.name for p in parameters if is_float(p.type)]
        self._others = [
            p.name for p in parameters if can_hold_floats(p.type) and not is_float(p.type)
        ]

    def convert(self, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """The parameters that were given, typed; None where something has to be said of them."""
        try:
            found = msgspec.convert(parameters, self._struct, **self._options)
        except (msgspec.ValidationError, AttributeError):  # the latter as in `typed`
            return None
        values = msgspec.structs.asdict(found)
        if len(parameters) < self._count:
            values = {name: value for name, value in values.items() if name in parameters}
        for name in self._floats:
            if (number := values.get(name)) is not None and not math.isfinite(number):
                return None
        for name in self._others:
            for _ in not_finite(parameters.get(name)):
                return None
        return values


_PLAIN = {bool, float, int, list, str, NoneType, Any, Literal, Union, UnionType}


def _is_plain(kind: Any) -> bool:
    """Whether `CONVERT_OPTIONS` mean nothing for a type."""
    return (get_origin(kind) or kind) in _PLAIN or bool(members_of(kind))


def _parameter_of(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Parameter:
    """Read a method's parameter."""
    where = f"parameter {parameter.name!r}"
    if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
        raise TypeError(f"{where} must have a name that a request can give")
    if parameter.name not in hints:
        raise TypeError(f"{where} needs a type hint, such as '{parameter.name}: float'")
    keyword_only = parameter.kind is parameter.KEYWORD_ONLY
    return Parameter(parameter.name, hints[parameter.name], parameter.default, keyword_only)


def _signature_of(parameters: Iterable[Parameter]) -> inspect.Signature:
    """How Python code calls the command; raises ValueError for what is no name of a parameter."""
    kinds = {
        False: inspect.Parameter.POSITIONAL_OR_KEYWORD,
        True: inspect.Parameter.KEYWORD_ONLY,
    }
    return inspect.Signature(
        [
            inspect.Parameter(p.name, kinds[p.keyword_only], default=p.default, annotation=p.type)
            for p in parameters
        ]
    )


def command(function: Callable[Concatenate[Any, P], R]) -> Command[P, R]:
    """Decorator: make a method of an `Instrument` a command that clients may call.

    Every parameter needs a type hint. A plain method runs in the instrument's own thread, an
    ``async def`` on the event loop. Raises TypeError where a hint is missing.
    """
    return Command.of(function)


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
