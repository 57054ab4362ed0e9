"""Commands: what parameters are accepted, what each refusal says, and how they are described."""

from __future__ import annotations

import enum
import inspect
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link.errors import ExchangeError, InvalidParameter, OutOfRange, UnknownCommand
from artiq_link.instrument.command import CommandTable, command
from artiq_link.instrument.instrument import Instrument
from artiq_link.instrument.parameter import Parameter

Frequency = Annotated[float, msgspec.Meta(ge=0, le=400e6, extra={"unit": "Hz"})]
Duration = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "s"})]
Fraction = Annotated[float, msgspec.Meta(ge=0, lt=1)]
ChannelNumber = Annotated[int, msgspec.Meta(ge=0, le=3)]
Mode = Literal["continuous", "absolute"]
Array = np.ndarray[Any, Any]


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


@pytest.mark.parametrize(
    ("name", "parameters", "kind", "sentence", "where"),
    [
        # missing, unexpected, positions
        ("set", {}, InvalidParameter, "missing parameter 'channel' of 'set'", "channel"),
        (
            "set",
            {"channel": 0, "freqency": 1},
            InvalidParameter,
            "'set' has no parameter 'freqency'; did you mean 'frequency'?",
            "freqency",
        ),
        ("set", {"q": 1}, InvalidParameter, "'set' has no parameter 'q'", "q"),
        (
            "set",
            {"x" * 100: 1},
            InvalidParameter,
            "'set' has no parameter '" + "x" * 59,
            "x" * 100,
        ),
        # types
        (
            "set",
            {"channel": "0"},
            InvalidParameter,
            "channel: expected 'int', got 'str'",
            "channel",
        ),
        (
            "set",
            {"channel": None},
            InvalidParameter,
            "channel: expected 'int', got 'null'",
            "channel",
        ),
        (
            "set",
            {"channel": True},
            InvalidParameter,
            "channel: expected 'int', got 'bool'",
            "channel",
        ),
        (
            "set",
            {"channel": 1.0},
            InvalidParameter,
            "channel: expected 'int', got 'float'",
            "channel",
        ),
        (
            "set",
            {"channel": 0, "frequency": True},
            InvalidParameter,
            "frequency: expected 'float | null', got 'bool'",
            "frequency",
        ),
        (
            "sort",
            {"number": False},
            InvalidParameter,
            "number: expected 'float', got 'bool'",
            "number",
        ),
        (
            "sort",
            {"number": "1"},
            InvalidParameter,
            "number: expected 'float', got 'str'",
            "number",
        ),
        ("sort", {"text": 1}, InvalidParameter, "text: expected 'str', got 'int'", "text"),
        (
            "play",
            {"steps": [], "repeat": 1},
            InvalidParameter,
            "repeat: expected 'bool', got 'int'",
            "repeat",
        ),
        ("sort", {"file": 3}, InvalidParameter, "file: expected 'Path', got a number", "file"),
        # numbers that are none
        (
            "sort",
            {"number": float("nan")},
            OutOfRange,
            "number: nan is not a finite number",
            "number",
        ),
        (
            "sort",
            {"number": float("inf")},
            OutOfRange,
            "number: inf is not a finite number",
            "number",
        ),
        (
            "sort",
            {"number": float("-inf")},
            OutOfRange,
            "number: -inf is not a finite number",
            "number",
        ),
        (
            "sort",
            {"anything": float("nan")},
            OutOfRange,
            "anything: nan is not a finite number",
            "anything",
        ),
        (
            "sort",
            {"number": 10**400},
            OutOfRange,
            "number: the number is too large for a float",
            "number",
        ),
        (
            "sort",
            {"numbers": [0, float("inf")]},
            OutOfRange,
            "numbers[1]: inf is not a finite number",
            "numbers[1]",
        ),
        (
            "play",
            {"steps": [STEP, {"dwell": float("inf")}]},
            OutOfRange,
            "steps[1].dwell: inf is not a finite number",
            "steps[1].dwell",
        ),
        (
            "sort",
            {"anything": {"a": (1, [float("nan")])}},
            OutOfRange,
            "anything.a[1][0]: nan is not a finite number",
            "anything.a[1][0]",
        ),
        # bounds
        (
            "set",
            {"channel": 0, "frequency": 5e8},
            OutOfRange,
            "frequency: 5e8 Hz is above the limit of 4e8 Hz",
            "frequency",
        ),
        (
            "set",
            {"channel": 0, "frequency": -1},
            OutOfRange,
            "frequency: -1 Hz is below the limit of 0 Hz",
            "frequency",
        ),
        ("set", {"channel": 4}, OutOfRange, "channel: 4 is above the limit of 3", "channel"),
        (
            "set",
            {"channel": -(10**30)},
            OutOfRange,
            "channel: -1e30 is below the limit of 0",
            "channel",
        ),
        (
            "sort",
            {"wait": 0},
            OutOfRange,
            "wait: 0 s is not above 0 s",
            "wait",
        ),
        (
            "sort",
            {"part": 1.0},
            OutOfRange,
            "part: 1 is not below 1",
            "part",
        ),
        # inside objects and lists
        (
            "play",
            {"steps": [STEP, {"dwell": -2}]},
            OutOfRange,
            "steps[1].dwell: -2 s is below the limit of 0 s",
            "steps[1].dwell",
        ),
        (
            "play",
            {"steps": [STEP, {"dwell": 10**400}]},
            OutOfRange,
            "steps[1].dwell: the number is too large for a float",
            "steps[1].dwell",
        ),
        (
            "play",
            {"steps": [STEP, {"dwell": "1"}]},
            InvalidParameter,
            "steps[1].dwell: expected 'float', got 'str'",
            "steps[1].dwell",
        ),
        (
            "play",
            {"steps": [{}]},
            InvalidParameter,
            "steps[0]: object missing required field 'dwell'",
            "steps[0]",
        ),
        (
            "play",
            {"steps": [1]},
            InvalidParameter,
            "steps[0]: expected 'object', got 'int'",
            "steps[0]",
        ),
        (
            "play",
            {"steps": STEP},
            InvalidParameter,
            "steps: expected 'array', got 'object'",
            "steps",
        ),
        # choices
        (
            "sort",
            {"mode": "up"},
            InvalidParameter,
            "mode: 'up' is not one of 'continuous', 'absolute'",
            "mode",
        ),
        (
            "play",
            {"steps": [], "mode": "up"},
            InvalidParameter,
            "mode: 'up' is not one of 'continuous', 'absolute'",
            "mode",
        ),
        (
            "play",
            {"steps": [{"dwell": 1, "mode": "up"}]},
            InvalidParameter,
            "steps[0].mode: 'up' is not one of 'continuous', 'absolute'",
            "steps[0].mode",
        ),
        ("sort", {"mode": 1}, InvalidParameter, "mode: expected 'str', got 'int'", "mode"),
        # arrays
        (
            "sort",
            {"samples": 1},
            InvalidParameter,
            "samples: expected an array of numbers, got a number",
            "samples",
        ),
        (
            "sort",
            {"samples": {}},
            InvalidParameter,
            "samples: expected an array of numbers, got an object",
            "samples",
        ),
        (
            "sort",
            {"samples": [[1], [1, 2]]},
            InvalidParameter,
            "samples: expected an array of numbers, got rows of different lengths",
            "samples",
        ),
        (
            "sort",
            {"samples": [1, "a"]},
            InvalidParameter,
            "samples: expected an array of numbers, got other values among them",
            "samples",
        ),
        (
            "sort",
            {"samples": [1, None]},
            InvalidParameter,
            "samples: expected an array of numbers, got other values among them",
            "samples",
        ),
        (
            "sort",
            {"samples": [1.5, 10**400]},
            InvalidParameter,
            "samples: expected an array of numbers, got other values among them",
            "samples",
        ),
        (
            "sort",
            {"samples": np.array([object()])},
            InvalidParameter,
            "samples: expected an array of numbers, got other values among them",
            "samples",
        ),
        (
            "sort",
            {"samples": np.array([0, np.nan])},
            InvalidParameter,
            "samples: expected finite numbers, got NaN or infinity among them",
            "samples",
        ),
        (
            "sort",
            {"samples": np.array(np.inf)},
            InvalidParameter,
            "samples: expected finite numbers, got NaN or infinity among them",
            "samples",
        ),
        (
            "sort",
            {"samples": [1.0, float("nan")]},
            OutOfRange,
            "samples[1]: nan is not a finite number",
            "samples[1]",
        ),
        (
            "sort",
            {"numbers": np.array([1.0, np.nan])},
            OutOfRange,
            "numbers[1]: nan is not a finite number",
            "numbers[1]",
        ),
        (
            "sort",
            {"number": np.array([1.0])},
            InvalidParameter,
            "number: expected 'float', got 'array'",
            "number",
        ),
        (
            "sort",
            {"number": np.array(np.nan)},
            OutOfRange,
            "number: nan is not a finite number",
            "number",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_sentence(
    name: str,
    parameters: dict[str, Any],
    kind: type[ExchangeError],
    sentence: str,
    where: str,
) -> None:
    with pytest.raises(ExchangeError) as caught:
        TABLE[name].convert(parameters)
    assert (type(caught.value), str(caught.value), caught.value.where) == (kind, sentence, where)


@pytest.mark.parametrize(
    ("parameters", "values"),
    [
        ({}, {}),
        ({"number": 3}, {"number": 3.0}),
        ({"number": np.array(2.5)}, {"number": 2.5}),
        ({"whole": 10**30}, {"whole": 10**30}),
        ({"whole": np.array(2)}, {"whole": 2}),
        ({"part": 0}, {"part": 0.0}),
        ({"mode": "continuous"}, {"mode": "continuous"}),
        ({"file": "a/b.csv"}, {"file": Path("a/b.csv")}),
        ({"numbers": np.array([1, 2], "<i2")}, {"numbers": [1.0, 2.0]}),
        ({"numbers": (1, 2)}, {"numbers": [1.0, 2.0]}),
        ({"anything": {"a": [None, True]}}, {"anything": {"a": [None, True]}}),
    ],
)
def test_right_values_become_the_declared_type(
    parameters: dict[str, Any], values: dict[str, Any]
) -> None:
    converted = TABLE["sort"].convert(parameters)
    assert repr(converted) == repr(values)


@pytest.mark.parametrize(
    ("value", "array"),
    [
        ([1, 2], np.array([1, 2])),
        ([[1.0], [2.0]], np.array([[1.0], [2.0]])),
        ([], np.array([])),
        (np.array([1, 2], ">i2"), np.array([1, 2], ">i2")),
        (np.array([1j]), np.array([1j])),
        (np.array(3.0), np.array(3.0)),
    ],
)
def test_arrays_are_taken_as_arrays(value: Any, array: Array) -> None:
    converted = TABLE["sort"].convert({"samples": value})["samples"]
    assert isinstance(converted, np.ndarray)
    assert converted.dtype == array.dtype
    np.testing.assert_array_equal(converted, array, strict=True)


def test_an_array_for_anything_stays_one() -> None:
    array = np.array([1.0])
    assert TABLE["sort"].convert({"anything": array})["anything"] is array


@pytest.mark.parametrize(
    ("annotation", "value", "converted"),
    [
        (list[list[float]], [np.array([1.0, 2.0]), [3.0]], [[1.0, 2.0], [3.0]]),
        (dict[str, list[float]], {"a": np.array([1.0])}, {"a": [1.0]}),
        (list[float], np.array([1.0]), [1.0]),
    ],
)
def test_an_array_is_taken_where_a_list_is_declared(
    annotation: Any, value: Any, converted: Any
) -> None:
    assert Parameter("x", annotation).convert(value) == converted


@pytest.mark.parametrize("shape", [(40_000_000, 0), (33_000,) + 31 * (1,), (1 << 20, 2)])
def test_a_shape_is_not_made_more_lists_than_there_is_room_for(shape: tuple[int, ...]) -> None:
    for value in (np.zeros(shape, "i1"), [np.zeros(shape, "i1")]):
        with pytest.raises(InvalidParameter, match=r"^x: more than 1048576 values and rows in an"):
            Parameter("x", list[float] if isinstance(value, list) else float).convert(value)


def test_texts_are_never_made_an_array() -> None:
    """NumPy would give each element the room of the longest one."""
    texts = ["a"] * 100_000 + ["b" * 1_000_000]
    with pytest.raises(InvalidParameter, match=r"got other values among them$"):
        Parameter("x", Array).convert(texts)


def test_numbers_in_arrays_are_checked_as_those_in_lists() -> None:
    with pytest.raises(OutOfRange, match=r"^x\[0\]\[1\]: nan is not a finite number$"):
        Parameter("x", list[list[float]]).convert([np.array([1.0, np.nan])])


def test_members_of_objects_have_units_and_hints() -> None:
    play = TABLE["play"].describe()["parameters"][0]["schema"]
    assert play["$defs"]["Step"]["properties"]["dwell"]["unit"] == "s"
    with pytest.raises(
        InvalidParameter, match=r"^steps\[0\]: there is no 'dwel' in it; did you mean 'dwell'\?$"
    ):
        TABLE.resolve("play", {"steps": [{"dwell": 1, "dwel": 1}]})


def test_objects_become_structs_with_their_defaults() -> None:
    values = TABLE["play"].convert({"steps": [{"dwell": 1}], "mode": None})
    assert values == {"steps": [Step(1.0, "absolute")], "mode": None}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: (
        st.lists(values)
        | st.dictionaries(st.sampled_from(["dwell", "mode"]) | st.text(), values)
        | st.lists(st.floats() | st.integers()).map(np.array)
    ),
    max_leaves=10,
)
NAMES = sorted({name for found in TABLE.values() for name in found.parameters})


@given(
    st.sampled_from(sorted(TABLE)),
    st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES),
)
def test_any_values_are_taken_or_refused(name: str, parameters: dict[str, Any]) -> None:
    """Whatever JSON carries: values of this command's parameters, or an error of the link."""
    with suppress(ExchangeError):
        values = TABLE[name].convert(parameters)
        assert values.keys() == parameters.keys() <= TABLE[name].parameters.keys()


@given(VALUES)
def test_any_value_for_a_bounded_number_is_within_its_bounds_or_refused(value: Any) -> None:
    with suppress(ExchangeError):
        frequency = Parameter("frequency", Frequency).convert(value)
        assert type(frequency) is float
        assert 0 <= frequency <= 400e6
        assert not isinstance(value, bool)


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


def test_paths_arrays_and_other_types_are_described() -> None:
    described = {p["name"]: p for p in TABLE["sort"].describe()["parameters"]}
    assert described["file"] == {
        "name": "file",
        "required": False,
        "schema": {"type": "string", "format": "path"},
        "default": "table.csv",
    }
    assert described["samples"] == {
        "name": "samples",
        "required": False,
        "schema": {"type": "array", "items": {"type": "number"}, "format": "nparray"},
        "default": [0.0],
    }
    assert TABLE["sort"].describe()["result"] == {"schema": {"type": "null"}}
    assert Parameter("z", complex).describe() == {
        "name": "z",
        "required": True,
        "schema": {"description": "complex"},
    }


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


Volts = Annotated[float, msgspec.Meta(le=5, extra={"unit": "V"})]


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (dict[str, Volts], {"a": 1, "b": 6}, "x.b: 6 V is above the limit of 5 V"),
        (dict[str, Volts], {"a": "1"}, "x.a: expected 'float', got 'str'"),
        (dict[str, list[Volts]], {"a": [1, 6]}, "x.a[1]: 6 V is above the limit of 5 V"),
        (list[dict[str, Volts]], [{"a": 6}], "x[0][...]: a number is above the limit of 5 V"),
        (
            Annotated[dict[str, float], msgspec.Meta(min_length=2)],
            {"a": 1.0, "b": "x"},
            "x[...]: expected 'float', got 'str'",
        ),
        (dict[int, Volts], {"1": 6}, "x.1: 6 V is above the limit of 5 V"),
        (dict[int, float], {"a": 1.0}, "x: expected 'int', got 'str' as a key"),
    ],
)
def test_what_is_wrong_in_a_dictionary_is_named(
    annotation: Any, value: Any, sentence: str
) -> None:
    with pytest.raises(ExchangeError) as caught:
        Parameter("x", annotation).convert(value)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("element", "value", "converted"),
    [
        (np.float64, [1, 2], [1.0, 2.0]),
        (np.float32, np.array([0.5, 1.5]), [0.5, 1.5]),
        (np.int16, [1, -2], [1, -2]),
        (np.complex128, [1.0, 2.0], [1, 2]),
        (np.uint8, [1, 255], [1, 255]),
        (np.int8, np.array([1], np.uint64), [1]),
        (np.int16, [], []),
        (np.bool_, [True, False], [True, False]),
    ],
)
def test_an_array_gets_the_dtype_that_is_declared(
    element: Any, value: Any, converted: list[Any]
) -> None:
    array = Parameter("x", npt.NDArray[element]).convert(value)
    assert (array.dtype, array.tolist()) == (np.dtype(element), converted)


@pytest.mark.parametrize(
    ("element", "value", "sentence"),
    [
        (np.float64, [1j], "x: expected an array of float64, got one of complex128"),
        (np.int32, [0.5], "x: expected an array of int32, got one of float64"),
        (np.int16, [70_000], "x: expected an array of int16, got numbers beyond it"),
        (np.uint8, [-1], "x: expected an array of uint8, got numbers beyond it"),
        (np.float32, [1e300], "x: expected an array of float32, got numbers beyond it"),
        (np.float64, [True], "x: expected an array of float64, got one of bool"),
        (np.bool_, [1, 0], "x: expected an array of bool, got one of int64"),
        (
            np.float64,
            [[1.5], [True]],
            "x: expected an array of numbers, got other values among them",
        ),
    ],
)
def test_an_array_of_another_kind_is_refused(element: Any, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Parameter("x", npt.NDArray[element]).convert(value)
    assert str(caught.value) == sentence


class Thing:
    """No value of JSON."""


class Limits(msgspec.Struct):
    """A member without a limit."""

    highest: float = math.inf


NO_INFINITY = (
    "the default of 'x': NaN and infinities can neither be told to clients nor given by them; "
    "take None"
)


class Gain(enum.Enum):
    """A choice of numbers."""

    LOW = 1
    HIGH = 10


def test_a_choice_of_an_enum_has_its_defaults_and_its_values() -> None:
    class Amplifier(Instrument):
        @command
        def set_gain(self, gain: Gain = Gain.LOW) -> str:
            return gain.name

    amplifier = Amplifier()
    assert amplifier.interact({"command_id": "set_gain", "gain": 10}) == "HIGH"
    assert amplifier.interact({"command_id": "set_gain"}) == "LOW"
    with pytest.raises(InvalidParameter, match=r"^gain: 5 is not one of 1, 10$"):
        amplifier.interact({"command_id": "set_gain", "gain": 5})


@pytest.mark.parametrize(
    ("annotation", "default", "sentence"),
    [
        (
            Thing,
            inspect.Parameter.empty,
            "parameter 'x': a request cannot give what is declared as 'Thing'",
        ),
        (
            complex,
            inspect.Parameter.empty,
            "parameter 'x': a request cannot give what is declared as 'complex'",
        ),
        (
            float,
            math.inf,
            NO_INFINITY,
        ),
        (
            Limits,
            Limits(),
            NO_INFINITY,
        ),
        (Annotated[float, msgspec.Meta(le=3)], 5.0, "the default of 'x': expected 'float' <= 3.0"),
        (float, None, "the default of 'x': expected 'float', got 'null'"),
        (Path, "/tmp", "the default of 'x': expected 'Path', got 'str'"),
        (np.ndarray, [1, 2], "the default of 'x': expected 'ndarray', got 'list'"),
    ],
)
def test_hints_that_no_request_can_satisfy_are_refused(
    annotation: Any, default: Any, sentence: str
) -> None:
    def move(self: Any, x: Any = default) -> None: ...

    move.__annotations__["x"] = annotation
    if default is inspect.Parameter.empty:
        move.__defaults__ = None
    with pytest.raises(TypeError) as caught:
        command(move)
    assert str(caught.value).endswith(f"move: {sentence}")
