"""``artiq-link describe``: lists of commands, one whole, and the description as it came."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest

from artiq_link import Instrument, LinkServer, command, exchange
from tests.cli.terminals import in_terminal

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
        x: Annotated[
            float, msgspec.Meta(ge=-5, le=5.5, description="where to go", extra={"unit": "mm"})
        ],
        how: Literal["fast", "slow"] = "fast",
    ) -> None:
        """Move to x [mm] :warning:.

        What follows the first line is not in the list.
        """

    @command
    def pulses(self, pulses: list[Pulse], first: Pulse, count: int | str = 1) -> None:
        """Make pulses."""

    @command
    def samples(self, values: np.ndarray) -> np.ndarray:
        """Give the values back."""
        return values


OVERVIEW = """\
stage: A stage in [mm].
  move               Move to x [mm] :warning:.
    x                float, from -5 to 5.5 mm
    how              fast | slow, default "fast"
  pulses             Make pulses.
    pulses           list of Pulse
    pulses[].length  float, above 0 s
    pulses[].height  float, optional
    first            Pulse
    first.length     float, above 0 s
    first.height     float, optional
    count            int or str, default 1
  samples            Give the values back.
    values           array
link: What the server answers itself.
  ping               Answer true.
  status             Tell what every instrument does now, and for how long the server has run, in s.
  describe           Give the commands with their parameters, types (JSON Schema), units and defaults.
    instrument       str, optional
    command          str, optional
  check              Check each request's command, types, ranges and limits; execute nothing.
    requests         list
  batch              Execute requests in order, with nothing between those in a row of one instrument.
    requests         list
    on_failure       continue | stop, default "stop"
    check            bool, default true
  abort              End the command of the request with this id.
    id               str
  reopen             Close and open an instrument's hardware now, before what waits for it.
    instrument       str
  outcome            Tell what became of the request with this id, with the reply where there is one.
    id               str
  history            List the exchanges that have ended, in order: the newest, or the first behind after.
    since            float, from 0 s, optional
    after            int, from 0, optional
    before           int, from 0, optional
    command          str, optional
    rid              int, from 0, optional
    failed           bool, default false
    slow             float, from 0 s, optional
    limit            int, from 1 to 1000, default 100
  acquire            Hold an instrument: the commands of all others are refused until the lease ends.
    instrument       str
    owner            str
    seconds          float, from 0.1 to 86400 s
    force            bool, default false
  release            End a lease before its time, by its number.
    lease            int
  renew              Let a lease, by its number, last from now on for so long, or as long as at first.
    lease            int
    seconds          float, from 0.1 to 86400 s, optional
  state              Give the newest state of each instrument, or of one, as the instrument itself tells it.
    instrument       str, optional
  subscribe          Have events sent over this connection from now on, and give the newest states first.
    kinds            list of exchange | instrument | lease | log | progress | state, default ["state"]
    instruments      list of str, optional
    since            Since, optional
    since.boot       str
    since.versions   object, default {}
  sign_in            Open a session for who shows a token in link.token; seconds is how long it lasts.
  sign_out           End the session that is shown in link.token, on all connections that use it.
  metrics            Give counts, times and the numbers of the instruments' states, as OpenMetrics text.
"""  # noqa: E501


def test_describe_lists_commands(run: Run, serve: Serve) -> None:
    """With parameters, types, bounds, units, defaults, and the members of objects."""
    assert run("describe", port=serve({"stage": Stage()}).port) == (0, OVERVIEW, "")


@pytest.mark.parametrize("columns", [80, 40, 10])
def test_no_name_is_cut_however_narrow_the_terminal_is(serve: Serve, columns: int) -> None:
    port = serve({"stage": Stage()}).port
    command = (sys.executable, "-m", "artiq_link", "describe", "--port", str(port))
    with in_terminal(*command, columns=columns) as terminal:
        while terminal.read():
            pass
    lines = terminal.shown.splitlines()
    names = [line.split()[0] for line in OVERVIEW.splitlines()]
    starts = [line.split()[0] for line in lines if not line.startswith(" " * 21)]
    assert [name for name in names if name not in starts] == []
    assert max(map(len, lines)) <= max(columns, 21 + 30)
    assert "  move               Move to x [mm] :warning:." in lines


MOVE = """\
stage.move: Move to x [mm] :warning:.

What follows the first line is not in the list.

parameters:
  x    float, from -5 to 5.5 mm: where to go
  how  fast | slow, default "fast"

example:
  artiq-link send move x=0.5mm how=fast
"""

SAMPLES = """\
stage.samples: Give the values back.

parameters:
  values  array

returns:
  result  array

example:
  artiq-link send samples 'values=[1]'
"""


@pytest.mark.parametrize(
    ("name", "page"),
    [("move", MOVE), ("stage.move", MOVE.replace("send move", "send stage.move")),
     ("samples", SAMPLES)],
)  # fmt: skip
def test_describe_shows_one_command_whole(run: Run, serve: Serve, name: str, page: str) -> None:
    """Docstrings are shown as they are written, whatever they look like to a terminal."""
    assert run("describe", name, port=serve({"stage": Stage()}).port) == (0, page, "")


def test_describe_shows_one_instrument(run: Run, serve: Serve) -> None:
    code, printed, _ = run("describe", "stage", port=serve({"stage": Stage()}).port)
    commands = OVERVIEW.partition("link: ")[0].split("\n", 1)[1]
    assert (code, printed) == (0, f"stage: A stage in [mm].\n\nMore about it.\n\n{commands}")


def test_describe_shows_the_links_own_commands(run: Run, serve: Serve) -> None:
    code, printed, _ = run("describe", "link", port=serve({"stage": Stage()}).port)
    assert (code, printed.splitlines()[0]) == (0, "link: What the server answers itself.")
    assert "\n  ping              Answer true.\n" in printed


def test_describe_names_the_nearest_command(run: Run, serve: Serve) -> None:
    port = serve({"stage": Stage(), "other": Stage()}).port
    assert run("describe", "muve", port=port) == (
        1,
        "",
        "unknown_command: there is no command 'muve'; did you mean 'move'?\n",
    )
    assert run("describe", "move", port=port) == (
        1,
        "",
        "unknown_command: several instruments have 'move': say 'stage.move' or 'other.move'\n",
    )
    assert run("describe", "other.move", port=port)[0] == 0


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


def test_describe_json_prints_one_command_or_instrument(run: Run, port: int) -> None:
    description = exchange({"command_id": "link.describe"}, port=port)
    dds = description["instruments"]["dds"]
    for name, part in {
        "dds": dds,
        "count": {"command_id": "dds.count", **dds["commands"]["count"]},
        "dds.count": {"command_id": "dds.count", **dds["commands"]["count"]},
        "link.ping": {"command_id": "link.ping", **description["link"]["ping"]},
    }.items():
        code, printed, _ = run("describe", name, "--json", port=port)
        assert (code, json.loads(printed)) == (0, part)
