"""The controller that a controller manager starts: its options, its log, its life over NDSP."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from artiq_link import SimulatedDriver, exchange
from artiq_link.cli import aqctl
from artiq_link.drivers.faults import Error
from tests.conftest import PATIENCE
from tests.programs import ROOT, finish, first_line, running, running_python

PROGRAM = ("-c", "import sys; from artiq_link.cli.aqctl import main; sys.exit(main())")
LOOPBACK = ("-p", "0", "--no-localhost-bind", "--bind", "127.0.0.1")


def ndsp_call(port: int, method: str) -> Any:
    """Call a method of the target ``dds`` as a controller manager does, on its own connection."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        lines = connection.makefile("rwb")
        lines.write(b"ARTIQ pc_rpc\n")
        lines.flush()
        assert json.loads(lines.readline())["targets"] == ["dds"]
        lines.write(b"dds pyon_v2\n")
        arguments = b'{"__jsonclass__":["tuple",[[]]]}'
        lines.write(
            b'{"action":"call","name":"%s","args":%s,"kwargs":{}}\n' % (method.encode(), arguments)
        )
        lines.flush()
        assert b"ping" in lines.readline()
        reply = json.loads(lines.readline())
    assert reply["status"] == "ok"
    return reply["ret"]


def test_the_console_script_is_main() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'aqctl_artiq_link = "artiq_link.cli.aqctl:main"' in text


@pytest.mark.parametrize(
    "hardware",
    [
        ("--simulation",),
        ("--driver", "simulated"),
        ("--simulation", "--driver", "simulated", "-d", "/dev/ttyUSB0"),
    ],
    ids=" ".join,
)
def test_it_is_pinged_driven_and_terminated_over_ndsp(hardware: tuple[str, ...]) -> None:
    """With exit code 0 and an empty log; the DDS is the target and the instrument ``dds``."""
    with running_python(*PROGRAM, *LOOPBACK, *hardware) as (process, port):
        assert ndsp_call(port, "ping") is True
        state = exchange({"command_id": "dds.get", "channel": 0}, port=port)
        assert ndsp_call(port, "terminate") is None
        assert finish(process) == (0, "", "")
    assert state["name"] == "ch0"


def test_it_listens_as_the_manager_says() -> None:
    """--bind adds to localhost, and may name it again: the manager's {bind} does."""
    with running(
        sys.executable, *PROGRAM, "-p", "0", "--bind", "127.0.0.1", "--simulation"
    ) as process:
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", first_line(process))
        assert found is not None
        assert ndsp_call(int(found[1]), "ping") is True
        process.terminate()
        code, printed, errors = finish(process)
    assert (code, errors) == (0, "")
    assert "127.0.0.1" not in printed


def test_ssl_is_accepted_with_a_warning() -> None:
    with running_python(
        *PROGRAM, *LOOPBACK, "--simulation", "--ssl", "cert.pem", "key.pem", "peer.pem"
    ) as (process, port):
        assert ndsp_call(port, "ping") is True
        process.terminate()
        assert finish(process) == (
            0,
            "",
            "WARNING:artiq_link.cli.aqctl:--ssl is not enforced yet: whoever reaches the port is "
            "served, in plain\n",
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "You need to specify either --simulation or -d/--device"),
        (
            ("-d", "/dev/ttyUSB0"),
            "-d/--device needs the --driver of that hardware; there is none yet: give "
            "--simulation",
        ),
        (
            ("--driver", "simulated", "-d", "/dev/ttyUSB0"),
            "--driver simulated has no hardware: leave -d/--device out",
        ),
        (("--driver", "wired"), "--driver wired needs -d/--device: the serial port"),
        (
            ("--simulation", "--no-localhost-bind"),
            "--no-localhost-bind leaves nothing to listen on: give --bind",
        ),
        (
            ("--simulation", "--ssl", "cert.pem"),
            "argument --ssl: expected 3 arguments",
        ),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    choice = aqctl.DriverChoice(lambda device: SimulatedDriver(), "the serial port")
    monkeypatch.setitem(aqctl.DRIVERS, "wired", choice)
    with pytest.raises(SystemExit) as ended:
        aqctl.main(arguments)
    assert ended.value.code == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1] == f"aqctl_artiq_link: error: {sentence}"


def test_a_driver_gets_its_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hardware that is not there is one sentence and exit code 1, and nothing is served."""

    def build(device: str) -> SimulatedDriver:
        driver = SimulatedDriver()
        driver.fault = Error(f"no DDS on {device}")
        return driver

    monkeypatch.setitem(aqctl.DRIVERS, "wired", aqctl.DriverChoice(build, "the serial port"))
    with pytest.raises(SystemExit) as ended:
        aqctl.main(["--driver", "wired", "-d", "/dev/ttyUSB0", "-p", "0"])
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "dds cannot be opened: no DDS on /dev/ttyUSB0\n")


def test_its_log_is_the_controller_managers(tmp_path: Path) -> None:
    """A traceback is one message, as sipyco's LogParser puts it together again: LEVEL<lines>."""
    program = tmp_path / "failing.py"
    program.write_text(
        "import sys\n"
        "from artiq_link import SimulatedDriver\n"
        "from artiq_link.cli import aqctl\n"
        "class Broken(SimulatedDriver):\n"
        "    def set_output(self, channel, on):\n"
        "        raise RuntimeError('two\\nlines')\n"
        "aqctl.DRIVERS['broken'] = aqctl.DriverChoice(lambda device: Broken(), None)\n"
        "sys.exit(aqctl.main(sys.argv[1:]))\n",
        "utf-8",
    )
    with running_python(str(program), *LOOPBACK, "--driver", "broken") as (process, port):
        with pytest.raises(Exception, match="two"):
            exchange({"command_id": "output", "channel": 0, "on": True}, port=port)
        process.terminate()
        code, _, errors = finish(process)
    first, second, *_, last_but_one, last = errors.splitlines()
    count = errors.count("\n")
    assert (first, second) == (
        f"ERROR<{count}>:artiq_link.exchanges.exchange:output failed",
        "Traceback (most recent call last):",
    )
    assert (code, last_but_one, last) == (0, "RuntimeError: two", "lines")
