"""``artiq-link ping``: three times of as many exchanges as asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from artiq_link import LinkServer
from tests.conftest import PATIENCE, Probe
from tests.programs import finish, running

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]


def test_ping_prints_three_times(run: Run, port: int) -> None:
    code, printed, errors = run("ping", "--count", "5", port=port)
    figures = [part.split() for part in printed.split(",")]
    assert [[name, unit] for name, _, unit in figures] == [
        ["minimum", "ms"],
        ["median", "ms"],
        ["maximum", "ms"],
    ]
    times = [float(time) for _, time, _ in figures]
    assert times == sorted(times)
    assert (code, errors) == (0, "")


def test_ping_makes_as_many_exchanges_as_asked(run: Run, serve: Serve) -> None:
    server = serve(debug=True)
    code, printed, _ = run("ping", "--count", "3", "--json", port=server.port)
    lines = printed.splitlines()
    assert sum(line.startswith("received from ") for line in lines) == 3
    figures = json.loads(lines[-1])
    assert code == 0
    assert 0 < figures["minimum"] <= figures["median"] <= figures["maximum"]


def test_ping_is_answered_while_a_command_runs(run: Run, port: int, probe: Probe) -> None:
    with running(
        sys.executable, "-m", "artiq_link", "send", "wait", "--port", str(port)
    ) as waiting:
        assert probe.started.wait(PATIENCE)
        assert run("ping", "--count", "1", port=port)[0] == 0
        probe.go_on.set()
        assert finish(waiting) == (0, "waited\n", "")


@pytest.mark.parametrize("count", ["0", "many"])
def test_a_count_is_a_whole_number(run: Run, count: str) -> None:
    code, _, errors = run("ping", "--count", count)
    assert (code, errors.splitlines()[-1]) == (
        2,
        f"artiq-link ping: error: argument --count: {count!r} is not a whole number from 1",
    )
