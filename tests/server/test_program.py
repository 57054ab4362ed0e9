"""The program around a server: signals, exit codes, open files."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from artiq_link import (
    InstrumentError,
    LinkServer,
    exchange,
    serve_in_background,
)
from artiq_link.server import program as link_program
from artiq_link.server.program import stop_on_signals
from tests.conftest import PATIENCE, Probe
from tests.programs import PROGRAM, ROOT, finish, first_line, program, running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_the_program(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the program with code 0, after answering, without a traceback."""
    with program() as (process, port):
        assert exchange({"command_id": "echo", "value": 1}, port=port) == 1
        process.send_signal(number)
        assert finish(process) == (0, "", "")


def test_the_program_names_a_port_in_use() -> None:
    """A port in use is one sentence and exit code 2."""
    with program() as (_, port):
        command = [sys.executable, "-c", PROGRAM, str(port)]
        with running(*command, folder=ROOT) as second:
            code, output, errors = finish(second)
    assert (code, output) == (2, "")
    assert errors == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use; is the server running "
        "already?\n"
    )


def test_a_program_may_open_as_many_files_as_it_takes_connections() -> None:
    """Where the system begins with few, they are raised; the hard limit stays."""
    program = (
        "import resource\n"
        "from artiq_link.server.descriptors import allow_files\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 600))\n"
        "for connections in (100, 4096, 10):\n"
        "    allow_files(connections)\n"
        "    print(*resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    with running(sys.executable, "-c", program) as process:
        assert finish(process) == (0, "356 600\n600 600\n600 600\n", "")


OPENING = """
import artiq_link

class Laser(artiq_link.Instrument):
    def __init__(self, name):
        self.name = name

    def open_hardware(self):
        print(f"opening {self.name}\\n", end="", flush=True)
        if self.name == "slow":
            input()

    def close(self):
        print(f"closed {self.name}\\n", end="", flush=True)

lasers = {name: Laser(name) for name in ("fast", "slow")}
artiq_link.start_server(lasers, port=0)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_hardware_opens(number: signal.Signals) -> None:
    """It opens to the end, is closed, and the program ends as it does later."""
    with running(sys.executable, "-c", OPENING) as process:
        assert {first_line(process), first_line(process)} == {"opening fast\n", "opening slow\n"}
        process.send_signal(number)
        assert first_line(process) == "closed fast\n"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        code, output, errors = finish(process)
    assert (code, output) == (0, "closed slow\n")
    assert "Traceback" not in errors


BUSY = """
import sys
import time
import artiq_link
from tests.probe import PATIENCE
from tests.programs import ROOT

class Laser(artiq_link.Instrument):
    @artiq_link.command
    def fire(self) -> None:
        print("firing", flush=True)
        time.sleep(PATIENCE)

    def close(self):
        print("the laser is closed", flush=True)

class Shutter(artiq_link.Instrument):
    def close(self):
        sys.stdin.readline()
        print("the shutter is closed", flush=True)

artiq_link.start_server({"laser": Laser(), "shutter": Shutter()}, port=0, grace=PATIENCE)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_wait_for_a_command(number: signal.Signals) -> None:
    """Its client is told, its instrument is not closed, the others are, and the exit code is 1."""
    with program(script=BUSY) as (process, port):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
            client.sendall(b'{"command_id": "laser.fire"}')
            assert first_line(process) == "firing\n"
            again = signals_until_told(process, number, client)
            assert process.stdin is not None
            process.stdin.write("\n")  # only now the shutter's close() ends
            code, output, errors = finish(process)
    assert json.loads(again)["code"] == "timeout"
    assert (code, output) == (1, "the shutter is closed\n")
    assert re.fullmatch(
        rf"stopping: laser: busy with laser\.fire, for .* s; it has {PATIENCE:g} s to finish\n"
        r"laser: busy with laser\.fire, for .* s: not closed, the wait for it was ended\n",
        errors,
    )


def signals_until_told(
    process: subprocess.Popen[str], number: signal.Signals, client: socket.socket
) -> bytes:
    """Send a signal until the client is told of the server's end: the first may come twice."""
    client.settimeout(0.05)
    until_then = time.monotonic() + PATIENCE
    while time.monotonic() < until_then:
        process.send_signal(number)
        try:
            return client.recv(4096)
        except TimeoutError:
            pass
    raise AssertionError("the client is told nothing")


def test_a_signal_that_comes_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `timeout` sends it; and of a closed terminal the system tells, and the shell."""
    server = LinkServer({"dds": Probe()})
    stops: list[bool] = []

    def stop(*, at_once: bool = False) -> None:
        stops.append(at_once)

    monkeypatch.setattr(server, "stop", stop)
    with stop_on_signals(server):
        for seconds, number in (
            (PATIENCE, signal.SIGTERM),
            (PATIENCE, signal.SIGTERM),
            (0.0, signal.SIGHUP),
            (0.0, signal.SIGINT),
        ):
            monkeypatch.setattr(link_program, "SAME_SIGNAL", seconds)
            signal.raise_signal(number)
    assert stops == [False, False, False, True]


UNCLOSED = """
import artiq_link

class Laser(artiq_link.Instrument):
    def close(self):
        raise OSError("the adapter is gone")

artiq_link.start_server({"laser": Laser()}, port=0)
"""


def test_an_instrument_that_cannot_be_closed_makes_the_exit_code_1() -> None:
    with program(script=UNCLOSED) as (process, _):
        process.terminate()
        code, _, errors = finish(process)
    assert code == 1
    assert errors.startswith("laser could not be closed\nTraceback ")
    assert errors.endswith("OSError: the adapter is gone\n")


def test_hardware_that_does_not_answer() -> None:
    """The server does not start, says what is wrong, and closes what it opened."""

    class Absent(Probe):
        def open_hardware(self) -> None:
            raise InstrumentError("no answer on COM3")

    probe, absent = Probe(), Absent()
    with (
        pytest.raises(InstrumentError, match=r"^absent cannot be opened: no answer on COM3$"),
        serve_in_background({"dds": probe, "absent": absent}),
    ):
        pass
    assert probe.closed_in == "worker dds"
