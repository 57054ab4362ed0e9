"""The controller that a controller manager starts: its options, its log, its life over NDSP."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from artiq_link import exchange
from artiq_link.cli import aqctl
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


def test_it_is_pinged_driven_and_terminated_over_ndsp() -> None:
    """With exit code 0, and who ended it in the log; the DDS is the target and the instrument
    ``dds``."""
    with running_python(*PROGRAM, *LOOPBACK, "--simulation") as (process, port):
        assert ndsp_call(port, "ping") is True
        state = exchange({"command_id": "dds.get", "channel": 0}, port=port)
        assert ndsp_call(port, "terminate") is None
        code, printed, errors = finish(process)
    assert (code, printed) == (0, "")
    assert re.fullmatch(
        r"WARNING:artiq_link.exchanges.stop:127\.0\.0\.1:\d+ \(ndsp\): asked the server to stop\n",
        errors,
    )
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "You need to specify either --simulation or -d/--device"),
        (
            ("--simulation", "--no-localhost-bind"),
            "--no-localhost-bind leaves nothing to listen on: give --bind",
        ),
        (("--simulation", "--ssl", "cert.pem"), "argument --ssl: expected 3 arguments"),
        (
            ("--simulation", "--open", "--ssl", "cert.pem", "key.pem", "peer.pem"),
            "--open asks for nothing, so it does not go with --ssl and --token-file",
        ),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing is opened: to listen in plain where TLS was asked for is worse than not to."""
    monkeypatch.setattr(aqctl, "start_server", lambda *_, **__: pytest.fail("it serves"))
    with pytest.raises(SystemExit) as ended:
        aqctl.main(arguments)
    assert ended.value.code == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1] == f"aqctl_artiq_link: error: {sentence}"


def test_its_log_is_the_controller_managers(tmp_path: Path) -> None:
    """A traceback is one message, as sipyco's LogParser puts it together again: LEVEL<lines>."""
    program = tmp_path / "failing.py"
    program.write_text(
        "import sys\n"
        "from artiq_link import SimulatedDriver\n"
        "from artiq_link.cli import aqctl\n"
        "def broken(self, channel, on):\n"
        "    raise RuntimeError('two\\nlines')\n"
        "SimulatedDriver.set_output = broken\n"
        "sys.exit(aqctl.main(sys.argv[1:]))\n",
        "utf-8",
    )
    with running_python(str(program), *LOOPBACK, "--simulation") as (process, port):
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
