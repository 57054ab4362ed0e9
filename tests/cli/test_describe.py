"""``artiq-link describe``: tables of commands, and the description as it came."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from artiq_link import Instrument, LinkServer, command, exchange

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


class Pulse(msgspec.Struct):
    """One pulse."""

    length: Annotated[float, msgspec.Meta(gt=0, extra_json_schema={"unit": "s"})]
    height: float | None = None


class Stage(Instrument):
    """A stage in [mm].

    More about it.
    """

    @command
    def move(
        self,
        x: Annotated[float, msgspec.Meta(ge=-5, le=5.5, extra={"unit": "mm"})],
        how: Literal["fast", "slow"] = "fast",
    ) -> None:
        """Move to x [mm] :warning:.

        What follows the first line is not in the table.
        """

    @command
    def pulses(self, pulses: list[Pulse], first: Pulse, count: int | str = 1) -> None:
        """Make pulses."""

    @command
    def samples(self, values: np.ndarray) -> np.ndarray:
        """Give the values back."""
        return values


def table(printed: str) -> list[list[str]]:
    """The rows of all tables that were printed."""
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_describe_prints_a_table_of_commands(run: Run, serve: Serve) -> None:
    """With parameters, types, bounds, units, defaults, and the members of objects.

    Docstrings are shown as they are written, whatever they look like to a terminal's library.
    """
    code, printed, errors = run("describe", port=serve({"stage": Stage()}).port)
    assert (code, errors) == (0, "")
    assert printed.splitlines()[0].rstrip() == "stage: A stage in [mm]."
    assert table(printed) == [
        ["move", "x", "float, from -5 to 5.5", "mm", "", "Move to x [mm] :warning:."],
        ["", "how", "fast | slow", "", '"fast"', ""],
        ["pulses", "pulses", "list of Pulse", "", "", "Make pulses."],
        ["", "pulses[].length", "float, above 0", "s", "", ""],
        ["", "pulses[].height", "float", "", "null", ""],
        ["", "first", "Pulse", "", "", ""],
        ["", "first.length", "float, above 0", "s", "", ""],
        ["", "first.height", "float", "", "null", ""],
        ["", "count", "int or str", "", "1", ""],
        ["samples", "values", "array", "", "", "Give the values back."],
        ["ping", "", "", "", "", "Answer true."],
        ["status", "", "", "", "", "Tell what every instrument does now, and for how long the "
         "server has run, in s."],
        ["describe", "instrument", "str", "", "null", "Give the commands with their parameters, "
         "types (JSON Schema), units and defaults."],
        ["check", "requests", "list", "", "", "Check each request's command, types, "
         "ranges and limits; execute nothing."],
        ["batch", "requests", "list", "", "", "Execute requests in order, with nothing between "
         "those in a row of one instrument."],
        ["", "on_failure", "continue | stop", "", '"stop"', ""],
        ["", "check", "bool", "", "true", ""],
    ]  # fmt: skip


def test_describe_shows_what_interact_says_of_itself(run: Run, serve: Serve) -> None:
    def interact(data: dict[str, Any]) -> None:
        """Act on [one] message."""

    _, printed, _ = run("describe", port=serve({}, interact=interact).port)
    assert printed.endswith(
        "Other commands may be answered by interact(data):\nAct on [one] message.\n"
    )


def test_describe_json_prints_the_description(run: Run, port: int) -> None:
    code, printed, _ = run("describe", "--json", port=port)
    assert code == 0
    assert json.loads(printed) == exchange({"command_id": "link.describe"}, port=port)
