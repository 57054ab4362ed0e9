"""The template server.py: its two functions, its options, its ready lines, its exit codes."""

from __future__ import annotations

import ast
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from artiq_link import ServerFailed, exchange, parse_server_options, serve_in_background
from artiq_link.link_client import request_reply
from tests.programs import ROOT, finish, first_line, running, running_python

TEMPLATE = ROOT / "server.py"
EXAMPLE = {
    "command_id": "test_command",
    "param1": 42,
    "param2": "hello",
    "param3": True,
    "param4": [1, 2, 3],
}
PRINTED = "param1: 42\nparam2: hello\nparam3: True\nparam4: [1, 2, 3]\n"
ACHIEVED = 0x147AE148 * 1e9 / 2**32
"""What 80 MHz becomes with the tuning word of an AD9910 at 1 GSPS."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The template as a program beside it imports it, anew for each test."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.delitem(sys.modules, "server", raising=False)
    import server

    yield server
    server.dds.close()
    del sys.modules["server"]


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    return finish(process)


def test_it_stays_short_and_has_exactly_the_two_functions() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert len(text.splitlines()) <= 80
    assert {function.name: ast.unparse(function.args) for function in functions} == {
        "start_server": "host='127.0.0.1', port=65432, debug=False, **options",
        "interact": "data",
    }


def test_importing_it_builds_the_dds_and_does_nothing_else(
    server: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """It listens nowhere and prints nothing; that it starts no thread, each test's end checks."""
    # Nothing is known of hardware that has not been touched.
    assert server.dds.interact({"command_id": "get", "channel": 0})["frequency"] is None
    assert capsys.readouterr() == ("", "")


def test_the_test_command_prints_its_four_parameters(
    server: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.interact(EXAMPLE) == "test_command was received"
    assert capsys.readouterr().out == PRINTED


def test_other_commands_are_the_dds(server: ModuleType) -> None:
    request = {"command_id": "set_frequency", "channel": 0, "frequency": 80e6}
    assert server.interact(request) == {"frequency": ACHIEVED}
    assert server.interact({"command_id": "get", "channel": 0})["frequency"] == ACHIEVED


def test_every_exchange_goes_through_interact(server: ModuleType) -> None:
    """Whether the command is the template's, the DDS's, or nobody's."""
    with serve_in_background({"dds": server.dds}, interact=server.interact) as link:
        assert exchange(EXAMPLE, port=link.port) == "test_command was received"
        request = {"command_id": "dds.set_frequency", "channel": "ch0", "frequency": 80e6}
        assert exchange(request, port=link.port) == {"frequency": ACHIEVED}
        unknown = request_reply({"command_id": "getall"}, port=link.port)
        assert unknown["code"] == "unknown_command"
        assert unknown["error"] == "there is no command 'getall'; did you mean 'get_all'?"
        missing = request_reply({"command_id": "test_command", "param1": 1}, port=link.port)
        assert (missing["code"], missing["where"]) == ("invalid_parameter", "param2")


@pytest.mark.parametrize("last_line", ["", "    return artiq_link.unknown(data)\n"])
def test_without_its_last_line_it_knows_no_other_commands(tmp_path: Path, last_line: str) -> None:
    """As for a lab without a DDS."""
    copy = tmp_path / "server_of_a_lab.py"
    text = TEMPLATE.read_text(encoding="utf-8")
    assert text.count("    return dds.interact(data)\n") == 1
    copy.write_text(text.replace("    return dds.interact(data)\n", last_line), encoding="utf-8")
    with running_python(str(copy), "-p", "0") as (_, port):
        assert exchange(EXAMPLE, port=port) == "test_command was received"
        misspelt = request_reply({"command_id": "test_comand"}, port=port)
        instrument_s = request_reply({"command_id": "get_all"}, port=port)
    assert misspelt["code"] == instrument_s["code"] == "unknown_command"
    assert misspelt["error"] == "there is no command 'test_comand'; did you mean 'test_command'?"


def test_the_original_example_runs_unchanged() -> None:
    """``from server import start_server, interact`` and ``from client import send_data``."""
    program = (
        "from server import start_server, interact\n"
        "assert interact({'command_id': 'get', 'channel': 0})\n"
        "start_server(port=0, debug=True)\n"
    )
    with running_python("-c", program) as (process, port):
        send = f"from client import send_data; send_data({EXAMPLE!r}, port={port})"
        client = subprocess.run(
            [sys.executable, "-c", send], cwd=ROOT, capture_output=True, text=True, check=True
        )
        code, output, errors = stop(process)
    assert client.stdout == "success: test_command test_command was received\n"
    assert (code, errors) == (0, "")
    received, *printed, sent = output.splitlines(keepends=True)
    assert received.startswith("received from 127.0.0.1:")
    assert '{"command_id": "test_command", "param1": 42, "param2": "hello"' in received
    assert "".join(printed) == PRINTED
    assert sent.startswith("sent to 127.0.0.1:")
    assert '{"status": "success", "command_id": "test_command", "result": ' in sent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_it_serves_until_a_signal_and_exits_with_0(number: int) -> None:
    with running_python("server.py", "-p", "0", "--simulation") as (process, port):
        reply = request_reply(EXAMPLE, port=port)
        code, output, errors = stop(process, number)
    assert reply["result"] == "test_command was received"
    # An address without IPv6 has no line of its own.
    assert output.removeprefix(f"listening on [::1]:{port}\n") == PRINTED
    assert (code, errors) == (0, "")


def test_run_it_listens_where_it_is_told_alone() -> None:
    with running_python(
        "server.py", "--port", "0", "--no-localhost-bind", "--bind", "127.0.0.1"
    ) as (process, port):
        assert exchange({"command_id": "link.ping"}, port=port) is True
        assert stop(process) == (0, "", "")


def test_run_it_prints_each_message_with_debug() -> None:
    with running_python(
        "server.py", "-p0", "--no-localhost-bind", "--bind=127.0.0.1", "--debug"
    ) as (process, port):
        exchange({"command_id": "link.ping"}, port=port, link={"id": "7"})
        _, output, _ = stop(process)
    received, sent = output.splitlines()
    assert received.endswith(': {"command_id": "link.ping"}')
    assert sent.endswith(
        ': {"status": "success", "command_id": "link.ping", "result": true, "id": "7"}'
    )


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), ["WARNING"]),
        (("-v",), ["INFO", "WARNING", "INFO"]),
        (("-q",), []),
        (("-q", "-v"), ["WARNING"]),
    ],
    ids=["default", "v", "q", "qv"],
)
def test_run_it_logs_by_artiqs_conventions(options: tuple[str, ...], shown: list[str]) -> None:
    """Lines ``LEVEL:logger:message`` on standard error; WARNING, moved by -v and -q."""
    with running_python("server.py", "-p", "0", *options) as (process, port):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"{}")
            assert b"invalid_parameter" in client.recv(65536)
        with contextlib.suppress(ServerFailed):
            exchange({"command_id": "get", "channel": 99}, port=port)
        code, _, errors = stop(process)
    assert code == 0
    lines = errors.splitlines()
    assert [line.split(":")[0] for line in lines] == shown, errors
    loggers = {line.split(":")[1] for line in lines}
    assert loggers <= {f"artiq_link.exchanges.{name}" for name in ("dispatch", "log", "refusals")}


def refused(*options: str) -> str:
    """Run the template where it cannot listen; returns the sentence, after exit code 2."""
    with running(sys.executable, "server.py", *options) as process:
        code, output, errors = finish(process)
    assert (code, output) == (2, "")
    assert "Traceback" not in errors
    return errors


def test_a_port_in_use_is_one_sentence_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        errors = refused("-p", str(port))
    assert errors.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_a_bad_address_is_one_sentence_and_exit_code_2() -> None:
    # RFC 6761: names under .invalid are never found.
    errors = refused("-p", "0", "--bind", "lab-pc.invalid")
    assert errors.startswith("cannot listen on 'lab-pc.invalid': ")
    assert errors.count("\n") == 1


def test_nothing_to_listen_on_is_refused_by_the_option() -> None:
    assert refused("--no-localhost-bind").endswith(
        "server.py: error: --no-localhost-bind leaves nothing to listen on: give --bind\n"
    )


def test_help_lists_the_options() -> None:
    with running(sys.executable, "server.py", "--help") as process:
        code, output, _ = finish(process)
    assert code == 0
    for option in ("--port", "--bind", "--no-localhost-bind", "--simulation", "-v", "-q"):
        assert option in output


def options_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["server.py", *arguments])
    return parse_server_options("A server.\n\nMore.")


def test_options_as_start_server_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Localhost in both families, and what is bound besides; the original's port."""
    options = options_of(monkeypatch)
    assert (options.host, options.port, options.debug) == (["127.0.0.1", "::1"], 65432, False)
    assert options.simulation is False
    more = ("--bind", "10.0.0.1", "--bind", "10.0.0.2", "-p", "5", "--debug", "--simulation")
    options = options_of(monkeypatch, *more)
    assert options.host == ["127.0.0.1", "::1", "10.0.0.1", "10.0.0.2"]
    assert (options.port, options.debug, options.simulation) == (5, True, True)
    assert options_of(monkeypatch, *more, "--no-localhost-bind").host == ["10.0.0.1", "10.0.0.2"]


def test_a_line_for_each_address() -> None:
    """The first line is IPv4's; where there is IPv6, the second has the same port."""
    with running_python("server.py", "-p", "0") as (process, port):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            return
        assert first_line(process) == f"listening on [::1]:{port}\n"
