"""Commands: methods that clients may call, declared, typed, checked and described."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InvalidParameter, OutOfRange, UnknownCommand
from artiq_link.instrument.command import Command, CommandTable, command
from artiq_link.instrument.instrument import Instrument
from artiq_link.instrument.parameter import Parameter

Frequency = Annotated[float, msgspec.Meta(ge=0, le=400e6, extra={"unit": "Hz"})]
Duration = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "s"})]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
ChannelNumber = Annotated[int, msgspec.Meta(ge=0, le=3)]
Mode = Literal["continuous", "absolute"]


class Step(msgspec.Struct, forbid_unknown_fields=True):
    """One step of a table."""

    dwell: Annotated[float, msgspec.Meta(ge=0, extra={"unit": "s"})]
    mode: Mode = "absolute"


class Owner:
    """Commands with a parameter of every sort."""

    def __init__(self) -> None:
        self.checked: list[Any] = []

    @command
    def set(self, channel: ChannelNumber, frequency: Frequency | None = None) -> float:
        """Set a channel.

        The second line.
        """
        return 1.0

    @command
    def play(self, steps: list[Step], repeat: bool = False, *, mode: Mode | None = None) -> None:
        """Play a table."""

    @command
    def sort(
        self,
        number: float = 0.0,
        whole: int = 0,
        text: str = "",
        wait: Duration = 1.0,
        part: Fraction = 0.0,
        mode: Mode = "absolute",
        file: Path = Path("table.csv"),
        samples: np.ndarray = np.zeros(1),  # noqa: B008
        numbers: list[float] = [],  # noqa: B006
        keys: dict[int, Fraction] = {},  # noqa: B006
        anything: Any = None,
    ) -> None:
        """Take everything."""

    @command
    def checked_by(self, limit: int) -> str:
        """Have a checker."""
        self.checked.append(("run", limit))
        return "done"

    @checked_by.checker
    def _check(self, limit: int) -> None:
        self.checked.append(("check", limit))
        if limit > 5:
            raise OutOfRange(f"limit: {limit} is more than 5", "limit")


TABLE = CommandTable.of(Owner)
STEP = {"dwell": 1.0}

# --- parameters are typed


@pytest.mark.parametrize(
    ("name", "parameters", "sentence", "where"),
    [
        ("set", {}, "missing parameter 'channel' of 'set'", "channel"),
        (
            "set",
            {"channel": 0, "freqency": 1},
            "'set' has no parameter 'freqency'; did you mean 'frequency'?",
            "freqency",
        ),
        ("set", {"x" * 100: 1}, "'set' has no parameter '" + "x" * 59, "x" * 60),
        # The first one that is wrong, in the order of the command.
        (
            "set",
            {"frequency": "a", "channel": "b"},
            "channel: expected 'int', got 'str'",
            "channel",
        ),
    ],
)
def test_parameters_that_are_not_the_commands_are_refused(
    name: str, parameters: dict[str, Any], sentence: str, where: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        TABLE[name].convert(parameters)
    assert (str(caught.value), caught.value.where) == (sentence, where)


def test_values_are_typed_and_defaults_left_out() -> None:
    values = TABLE["play"].convert({"mode": None, "steps": [{"dwell": 1}]})
    assert list(values.items()) == [("steps", [Step(1.0, "absolute")]), ("mode", None)]


@pytest.mark.parametrize("parameters", [{"number": math.nan}, {"anything": {"a": [math.inf]}}])
def test_numbers_that_are_none_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(OutOfRange, match=r"is not a finite number$"):
        TABLE["sort"].convert(parameters)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: (
        st.lists(values)
        | st.dictionaries(st.sampled_from(["dwell", "mode"]) | st.text(), values)
        | st.lists(values).map(tuple)
        | st.lists(st.floats() | st.integers()).map(np.array)
    ),
    max_leaves=10,
)
NAMES = sorted({name for found in TABLE.values() for name in found.parameters})
NAMES = sorted({name for found in TABLE.values() for name in found.parameters})
NEARLY_RIGHT = {
    "channel": st.integers(-1, 4),
    "frequency": st.floats(-1, 500e6) | st.integers() | st.none() | st.just(math.nan),
    "steps": st.lists(
        st.fixed_dictionaries(
            {"dwell": st.floats() | st.just(1.0)},
            optional={"mode": st.sampled_from(["absolute", "up"])},
        )
    ),
    "mode": st.sampled_from(["absolute", "continuous", "up", None]),
    "file": st.just("a.csv"),
    "keys": st.dictionaries(st.sampled_from(["1", "a", 2]), st.floats(0, 1) | st.just(math.nan)),
    "numbers": st.lists(st.floats() | st.integers()),
    "samples": st.lists(st.floats() | st.integers()),
}


Request = tuple[Command[Any, Any], dict[str, Any]]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A command, and parameters that are right, nearly right, or anything."""
    found = TABLE[draw(st.sampled_from(sorted(TABLE)))]
    parameters = {
        name: draw(NEARLY_RIGHT.get(name, VALUES) | VALUES)
        for name in draw(st.sets(st.sampled_from([*found.parameters])))
    }
    return found, parameters | draw(
        st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES, max_size=1)
    )


@given(requests())
def test_any_values_are_taken_or_refused(
    request: Request,
) -> None:
    """Whatever dialects carry: values of this command's parameters, or an error of the link."""
    found, parameters = request
    with suppress(ExchangeError):
        values = found.convert(parameters)
        assert values.keys() == parameters.keys() <= found.parameters.keys()


@given(requests())
def test_all_parameters_at_once_are_typed_as_one_after_the_other(
    request: Request,
) -> None:
    """The fast way takes nothing that the other refuses, and makes the same of it."""
    found, parameters = request
    assert found._decoder is not None
    values = found._decoder.convert(parameters)
    if values is not None:
        assert repr(values) == repr(found._convert_each(parameters))


def test_usual_parameters_are_typed_at_once() -> None:
    """Otherwise the fast way could take nothing at all, and the test above would pass."""
    for name, parameters in {
        "set": {"channel": 0, "frequency": 80e6},
        "play": {"steps": [STEP]},
        "sort": {"file": "a", "samples": [1, 2], "keys": {"1": 0.5}, "anything": {"a": [1.5]}},
    }.items():
        decoder = TABLE[name]._decoder
        assert decoder is not None
        assert decoder.convert(parameters) is not None


def test_a_name_that_cannot_be_a_structs_field_is_a_parameter_all_the_same() -> None:
    found = Command("f", [Parameter("__dict__", int)], lambda owner, **values: values)
    assert found.run(None, found.convert({"__dict__": 1})) == {"__dict__": 1}
    with pytest.raises(InvalidParameter):
        found.convert({"__dict__": "a"})


# --- the call


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence", "where"),
    [
        ((0, 1, 2), {}, "set takes 2 positional parameters, 3 were given", None),
        ((0,), {"channel": 1}, "set: 'channel' was given twice", "channel"),
    ],
)
def test_positions_that_do_not_fit_are_refused(
    args: tuple[int, ...], kwargs: dict[str, int], sentence: str, where: str | None
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        TABLE["set"].bind(args, kwargs)
    assert (str(caught.value), caught.value.where) == (sentence, where)


def test_positions_get_their_names() -> None:
    assert TABLE["set"].bind((0,), {"frequency": 1.0}) == {"channel": 0, "frequency": 1.0}
    assert TABLE["set"].bind((0, 2.0), {}) == {"channel": 0, "frequency": 2.0}


def test_a_table_resolves_a_command_and_its_values() -> None:
    assert TABLE.resolve("set", {"channel": 2}) == (Owner.set, {"channel": 2})
    with pytest.raises(UnknownCommand) as caught:
        TABLE.resolve("sett", {})
    assert str(caught.value) == "there is no command 'sett'; did you mean 'set'?"


def test_a_table_has_the_commands_of_the_bases_in_order() -> None:
    class Base:
        @command
        def first(self) -> None: ...

        @command
        def second(self) -> None: ...

        @command
        def hidden(self) -> None: ...

    class Derived(Base):
        hidden = None  # type: ignore[assignment]

        @command
        def third(self) -> None: ...

        @command
        def first(self) -> None:
            """Another one."""

    table = CommandTable.of(Derived)
    assert list(table) == ["first", "second", "third"]
    assert table["first"] is Derived.first


def test_a_command_called_from_python_is_checked_by_its_checker_first() -> None:
    owner = Owner()
    assert owner.checked_by(3) == "done"
    with pytest.raises(OutOfRange):
        owner.checked_by(limit=6)
    assert owner.checked == [("check", 3), ("run", 3), ("check", 6)]


def test_a_command_keeps_its_name_and_doc() -> None:
    assert Owner.set.name == "set"
    assert inspect.getdoc(Owner.set) == Owner.set.doc == "Set a channel.\n\nThe second line."


# --- declaration


def no_hint(self, channel): ...  # type: ignore[no-untyped-def]


def reserved(self: Any, link: int) -> None: ...


def id_of_command(self: Any, command_id: str) -> None: ...


def many(self: Any, *channels: int) -> None: ...


def named(self: Any, **channels: int) -> None: ...


def nameless(self: Any, channel: int, /) -> None: ...


def selfless() -> None: ...


def forgetful(channel: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (
            no_hint,
            "no_hint: parameter 'channel' needs a type hint, such as 'channel: float'",
        ),
        (
            reserved,
            "reserved: parameter 'link': this name is the request's own; choose another",
        ),
        (
            id_of_command,
            "id_of_command: parameter 'command_id': this name is the request's own; "
            "choose another",
        ),
        (many, "many: parameter 'channels' must have a name that a request can give"),
        (named, "named: parameter 'channels' must have a name that a request can give"),
        (nameless, "nameless: parameter 'channel' must have a name that a request can give"),
        (selfless, "selfless: a command is a method: it needs 'self'"),
        (forgetful, "forgetful: a command is a method: it needs 'self'"),
        (
            staticmethod(forgetful),
            "@command goes before a plain method, not before a staticmethod",
        ),
        (property(forgetful), "@command goes before a plain method, not before a property"),
    ],
)
def test_what_cannot_be_a_command_is_refused_at_once(
    function: Callable[..., Any], sentence: str
) -> None:
    with pytest.raises(TypeError) as caught:
        command(function)
    assert str(caught.value) == sentence


# --- made of parameters


def test_a_command_is_made_of_parameters() -> None:
    """As for what has no Python function with type hints."""

    def move(stage: list[Any], **values: Any) -> None:
        stage.append(values)

    found = Command(
        "move",
        [Parameter("x", float), Parameter("y", int, 2), Parameter("slow", bool, False, True)],
        move,
        doc="Move.\n\n    Slowly.",
        result=int,
    )
    stage: list[Any] = []
    found.run(stage, found.convert({"x": 1}))
    found.__get__(stage, list)(1.0, 3, slow=True)
    assert stage == [{"x": 1.0}, {"x": 1.0, "y": 3, "slow": True}]
    with pytest.raises(TypeError):
        found.__get__(stage, list)(1.0, 3, True)
    assert (found.name, found.doc) == ("move", "Move.\n\nSlowly.")
    assert found.describe()["result"] == {"schema": {"type": "integer"}}


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ([Parameter("link", int)], "parameter 'link': this name is the request's own"),
        ([Parameter("x", complex)], "parameter 'x': a request cannot give"),
        ([Parameter("no name", int)], "'no name' is not a valid parameter name"),
        ([Parameter("x", int), Parameter("x", int)], "duplicate parameter name: 'x'"),
        ([Parameter("x", int, 1), Parameter("y", int)], "non-default argument follows default"),
    ],
)
def test_parameters_that_make_no_command_are_refused(
    parameters: list[Parameter], sentence: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        Command("f", parameters, lambda owner, **values: None)


# --- descriptions


def test_a_command_is_described_with_units_bounds_and_defaults() -> None:
    assert TABLE.describe()["set"] == {
        "doc": "Set a channel.\n\nThe second line.",
        "parameters": [
            {
                "name": "channel",
                "required": True,
                "schema": {"type": "integer", "minimum": 0, "maximum": 3},
            },
            {
                "name": "frequency",
                "required": False,
                "schema": {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 400e6},
                        {"type": "null"},
                    ]
                },
                "unit": "Hz",
                "default": None,
            },
        ],
        "result": {"schema": {"type": "number"}},
    }


# --- checkers


def test_a_checker_sees_the_commands_defaults() -> None:
    """The checker and the command never differ in what was left out."""
    seen: list[tuple[float, bool]] = []

    class Supply(Instrument):
        @command
        def set_voltage(self, voltage: float = 5.0, slow: bool = False) -> float:
            return voltage

        @set_voltage.checker
        def _check(self, voltage: float, slow: bool) -> None:
            seen.append((voltage, slow))

    supply = Supply()
    supply.interact({"command_id": "set_voltage"})
    supply.check({"command_id": "set_voltage", "slow": True})
    supply.set_voltage(25.0)
    assert seen == [(5.0, False), (5.0, True), (25.0, False)]


def test_a_checker_with_other_parameters_is_refused() -> None:
    with pytest.raises(TypeError) as caught:

        class Supply(Instrument):
            @command
            def set_voltage(self, voltage: float) -> float:
                return voltage

            @set_voltage.checker
            def _check(self, volts: float) -> None: ...

    assert str(caught.value).endswith(
        "._check: a checker takes the parameters of 'set_voltage': voltage"
    )


def test_a_checker_that_nobody_would_await_is_refused() -> None:
    with pytest.raises(TypeError, match=r"_check: a checker is a plain 'def': nobody awaits it$"):

        class Stage(Instrument):
            @command
            async def move(self, x: float) -> None: ...

            @move.checker
            async def _check(self, x: float) -> None: ...


def test_a_command_that_overrides_one_keeps_its_checker() -> None:
    class Careful(Owner):
        @command
        def checked_by(self, limit: int) -> str:
            return "overridden"

    careful = Careful()
    assert careful.checked_by(5) == "overridden"
    with pytest.raises(OutOfRange, match=r"^limit: 6 is more than 5$"):
        CommandTable.of(Careful)["checked_by"].run(careful, {"limit": 6})


def test_a_command_that_overrides_one_may_have_its_own_checker() -> None:
    class Careless(Owner):
        @command
        def checked_by(self, limit: int) -> str:
            return "overridden"

        @checked_by.checker
        def _check_nothing(self, limit: int) -> None: ...

    assert CommandTable.of(Careless)["checked_by"].run(Careless(), {"limit": 6}) == "overridden"


def test_a_limit_is_not_lost_where_the_parameters_are_others() -> None:
    class Other(Owner):
        @command
        def checked_by(self, highest: int) -> str:
            return "overridden"

    with pytest.raises(
        TypeError, match=r"\._check: a checker takes the parameters of 'checked_by'"
    ):
        CommandTable.of(Other)


def test_a_checker_of_the_commands_own_name_is_refused() -> None:
    """As property setters are written; the command would be gone without a word."""
    with pytest.raises(TypeError, match=r"\.move: a checker needs a name of its own$"):

        class Stage(Instrument):
            @command
            def move(self, x: float) -> None: ...

            @move.checker  # type: ignore[no-redef]
            def move(self, x: float) -> None: ...
