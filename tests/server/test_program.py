"""The program around a server: signals, exit codes, open files."""

from __future__ import annotations

import signal
import sys

import pytest

from artiq_link import (
    InstrumentError,
    exchange,
    serve_in_background,
)
from tests.conftest import Probe
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
