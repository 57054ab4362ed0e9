"""The template client.py: its callbacks, its exit codes, and the two files copied alone."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from artiq_link import link_client
from tests.conftest import PATIENCE
from tests.scripted_server import answer, answer_bytes, free_port, read_request, scripted_server

ROOT = Path(__file__).parent.parent
SUCCESS = answer(status="success", result={"frequency": 8e7})
FAIL = answer(status="fail", code="busy", error="the queue is full")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The template as an experiment beside it imports it, anew for each test."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.delitem(sys.modules, "client", raising=False)
    import client

    yield client
    del sys.modules["client"]


def run(*options: str, folder: Path = ROOT, python: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run ``python client.py``; return its exit code and what it prints."""
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *python, "client.py", *options],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_the_template_stays_short() -> None:
    assert len((ROOT / "client.py").read_text(encoding="utf-8").splitlines()) <= 80


def test_send_data_prints_and_returns_a_success(
    client: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_server(SUCCESS) as address:
        reply = client.send_data({"command_id": "get"}, *address)
    assert reply["result"] == {"frequency": 8e7}
    assert capsys.readouterr().out == "success: get {'frequency': 80000000.0}\n"


def test_send_data_prints_and_returns_a_refusal(
    client: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_server(FAIL) as address:
        reply = client.send_data({"command_id": "get"}, *address)
    assert reply["code"] == "busy"
    assert capsys.readouterr().out == "failed: busy the queue is full\n"


def test_send_data_without_a_server_prints_and_returns_none(
    client: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with free_port() as port:
        assert client.send_data({"command_id": "get"}, port=port) is None
    assert capsys.readouterr().out == "no answer from the server\n"


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (SUCCESS, "server_success"),
        (FAIL, "server_fail"),
        (answer_bytes(b"garbage\n"), "fail_connect"),
    ],
    ids=["success", "fail", "garbage"],
)
def test_replaced_callbacks_are_called_in_place_of_the_templates(
    client: ModuleType, capsys: pytest.CaptureFixture[str], script: Any, name: str
) -> None:
    calls: list[tuple[Any, ...]] = []
    for callback in ("server_success", "server_fail", "fail_connect"):
        setattr(client, callback, lambda *args, callback=callback: calls.append((callback, *args)))
    with scripted_server(script) as address:
        reply = client.send_data({"command_id": "get"}, *address)
    assert calls == [(name,) if reply is None else (name, reply)]
    assert capsys.readouterr().out == ""


def test_what_a_replaced_callback_raises_reaches_the_caller(client: ModuleType) -> None:
    def raises() -> None:
        raise link_client.NoReply("the experiment's own")

    client.fail_connect = raises  # type: ignore[attr-defined]
    with free_port() as port, pytest.raises(link_client.NoReply, match="the experiment's own"):
        client.send_data({"command_id": "get"}, port=port)


def test_data_that_cannot_be_sent_names_the_key(client: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"^frequency: a complex number cannot be sent as JSON$"):
        client.send_data({"command_id": "set_frequency", "frequency": 1j})


def test_debug_prints_both_messages(
    client: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_server(SUCCESS) as address:
        client.send_data({"command_id": "get"}, *address, debug=True)
    sent, received, printed = capsys.readouterr().out.splitlines()
    assert sent.startswith('sent: {"command_id": "get", ')
    assert received.startswith('received: {"command_id": "get", ')
    assert printed.startswith("success: ")


def test_the_time_for_an_exchange_may_be_given(client: ModuleType) -> None:
    """After the parameters that `send_data` has always had; the server is told of it."""
    requests: list[dict[str, Any]] = []

    def script(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(b'{"status": "success"}\n')

    with scripted_server(script, script) as address:
        client.send_data({"command_id": "get"}, *address, False)
        client.send_data({"command_id": "get"}, *address, False, 60.0)
    default, given = (request["link"]["timeout"] for request in requests)
    assert default < 5.0 < 50.0 < given < 60.0


def test_run_it_sends_the_example_then_sets_and_reads_a_channel() -> None:
    with scripted_server(SUCCESS, SUCCESS, SUCCESS) as (host, port):
        code, printed = run("--host", host, "--port", str(port), "--debug")
    sent = [line for line in printed.splitlines() if line.startswith("sent: ")]
    assert code == 0
    for line, request in zip(
        sent,
        [
            '{"command_id": "test_command", "param1": 42, "param2": "hello", "param3": true, '
            '"param4": [1, 2, 3], ',
            '{"command_id": "set_frequency", "channel": 0, "frequency": 80000000.0, ',
            '{"command_id": "get", "channel": 0, ',
        ],
        strict=True,
    ):
        assert line.startswith("sent: " + request)


def test_run_exits_with_1_where_the_server_says_no() -> None:
    with scripted_server(SUCCESS, FAIL) as (_, port):
        code, printed = run("--port", str(port))
    assert code == 1
    assert printed.splitlines()[1] == "failed: busy the queue is full"


def test_run_exits_with_2_where_there_is_no_server() -> None:
    with free_port() as port:
        assert run("--port", str(port)) == (2, "no answer from the server\n")


def test_a_wrong_port_is_one_sentence_and_exit_code_2(
    client: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["client.py", "--port", "99999"])
    with pytest.raises(SystemExit) as info:
        client.main()
    assert info.value.code == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.splitlines()[-1] == "client.py: error: port: expected 1 to 65535, got 99999"


def test_the_two_files_alone_need_no_installed_package(tmp_path: Path) -> None:
    for path in (ROOT / "client.py", Path(link_client.__file__)):
        shutil.copy(path, tmp_path)
    with scripted_server(SUCCESS, SUCCESS, SUCCESS) as (_, port):
        # -S: without the installed packages
        code, printed = run("--port", str(port), folder=tmp_path, python=("-S", "-W", "error"))
    assert code == 0, printed
    assert printed.count("success: ") == 3


def test_a_server_on_the_default_port_is_where_it_is_looked_for(client: ModuleType) -> None:
    seen: list[Any] = []

    class Noted(socket.socket):
        def connect(self, address: Any) -> None:
            seen.append(address)
            raise ConnectionRefusedError("Connection refused")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Noted)
        assert client.send_data({}) is None
    assert seen == [("127.0.0.1", 65432)]
