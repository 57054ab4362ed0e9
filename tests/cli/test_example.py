"""The example of a command can be typed, and is taken."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import msgspec
import numpy as np
import pytest

from artiq_link import DDS, Instrument, SimulatedDriver, command
from artiq_link.cli.declared import Declared
from artiq_link.cli.example import example_line
from artiq_link.cli.send import parameter, read_request


class Node(msgspec.Struct):
    """Something with members of its own kind."""

    length: Annotated[float, msgspec.Meta(gt=2)]
    children: list[Node]
    parent: Node | None
    comment: str = ""


class Odd(Instrument):
    """Parameters of all kinds."""

    @command
    def numbers(
        self,
        between: Annotated[float, msgspec.Meta(gt=0.2, lt=0.3)],
        even: Annotated[int, msgspec.Meta(ge=7, multiple_of=2)],
        cold: Annotated[float, msgspec.Meta(le=-40, extra={"unit": "degC"})],
        power: Annotated[float, msgspec.Meta(extra={"unit": "dBm"})],
        lengths: list[Annotated[float, msgspec.Meta(extra={"unit": "mm"})]],
    ) -> None:
        """Take numbers."""

    @command
    def others(
        self,
        on: bool,
        tree: Node,
        name: str,
        samples: np.ndarray,
        either: bool | str,
        how: Literal["fast", "slow"] = "slow",
        more: int = 3,
    ) -> None:
        """Take others."""

    @command
    def nothing(self) -> None:
        """Take nothing."""


INSTRUMENTS: dict[str, Instrument] = {"dds": DDS(SimulatedDriver()), "odd": Odd()}


@pytest.mark.parametrize(
    ("owner", "name"),
    [(owner, name) for owner, served in INSTRUMENTS.items() for name in served.commands],
)
def test_an_example_is_taken_as_it_stands(owner: str, name: str) -> None:
    """Typed in a shell, read as declared, of the right types and within the bounds."""
    commands = INSTRUMENTS[owner].describe()["commands"]
    line = example_line(name, commands[name]["parameters"])
    program, action, typed, *words = shlex.split(line)
    assert (program, action, typed) == ("artiq-link", "send", name)
    described = {each["name"]: each for each in commands[name]["parameters"]}
    request = read_request(name, [parameter(word) for word in words], Declared(described, {}, ""))
    INSTRUMENTS[owner].commands[name].convert(
        {key: value for key, value in request.items() if key != "command_id"}
    )


@pytest.mark.parametrize(
    ("owner", "name", "line"),
    [
        ("dds", "set_frequency", "artiq-link send set_frequency channel=0 frequency=80MHz"),
        ("dds", "output", "artiq-link send output channel=0 on=on"),
        ("dds", "set_amplitude", "artiq-link send set_amplitude channel=0 amplitude=0.5"),
        ("dds", "reset", "artiq-link send reset"),
        (
            "odd",
            "numbers",
            "artiq-link send numbers between=0.25 even=8 cold=-40 power=-3dBm 'lengths=[0.5]'",
        ),
    ],
)
def test_an_example_reads_well(owner: str, name: str, line: str) -> None:
    commands = INSTRUMENTS[owner].describe()["commands"]
    assert example_line(name, commands[name]["parameters"]) == line
