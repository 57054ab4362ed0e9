"""The clients in examples/clients, each run against real servers where its language is there."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artiq_link import DDS, LinkServer, SimulatedDriver
from artiq_link.wire.base import MAX_REQUEST
from tests.conftest import PATIENCE, Probe, until
from tests.peers import answer_to
from tests.programs import ROOT, running
from tests.scripted_server import Script, free_port, reset, scripted_server
from tests.test_link_client import black_hole

CLIENTS = ROOT / "examples" / "clients"
README = (CLIENTS / "README.md").read_text("utf-8")
SHORT = 0.2
"""Seconds that a client waits which is to wait in vain."""
DOUBT = (
    "; whether the command was executed is not known: check the instrument before sending it again"
)

Serve = Callable[..., LinkServer]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dds(serve: Serve) -> LinkServer:
    return serve({"dds": DDS(SimulatedDriver())})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port whose connections are taken by the system and by nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# --- C ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """send_data.c, compiled as the README says, and with every warning."""
    (line,) = re.findall(r"^cc .*$", README, re.MULTILINE)
    compiler, *options = line.split()
    if shutil.which(compiler) is None:
        pytest.skip("there is no C compiler")
    program = tmp_path_factory.mktemp("clients") / "send_data"
    options[options.index("send_data")] = str(program)
    done = subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", *options],
        cwd=CLIENTS, check=False, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture
def send(program: Path) -> Run:
    """``send(port, command, parameters)`` runs the program; what it prints has no last newline."""

    def run(
        port: int, *arguments: str, timeout: float = PATIENCE, host: str = "127.0.0.1"
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, host, str(port), str(timeout), *arguments],
            check=False, capture_output=True, encoding="utf-8", timeout=2 * PATIENCE,
        )  # fmt: skip
        done.stdout, done.stderr = done.stdout.rstrip("\n"), done.stderr.rstrip("\n")
        return done

    return run


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def test_c_does_what_the_readme_shows(dds: LinkServer, program: Path) -> None:
    shown = re.findall(r"^    \$ \./send_data (.*)\n    (.*)$", README, re.MULTILINE)
    assert len(shown) == 3
    for arguments, printed in shown:
        command = f"{program} {arguments}".replace("65432", str(dds.port))
        done = subprocess.run(
            command, shell=True, check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        assert (done.stdout + done.stderr).rstrip("\n") == printed


def test_c_gives_the_codes_sentence(dds: LinkServer, send: Run) -> None:
    assert outcome(send(dds.port, "set_frequenzy")) == (
        1,
        "",
        "unknown_command: there is no command 'set_frequenzy'; did you mean 'set_frequency'?",
    )


def test_c_refused_for_broken_parameters(dds: LinkServer, send: Run) -> None:
    code, _, error = outcome(send(dds.port, "get", '"channel": NaN'))
    assert (code, error.partition(":")[0]) == (1, "malformed")


@pytest.mark.parametrize(
    "value",
    ["", "plain", 'a "quoted" \\ one', "\b\f\n\r\t\x01\x1f\x7f", "Grüße, €, 😀", "/", "\\u0041"],
)
def test_c_takes_the_escapes_out_of_strings(serve: Serve, send: Run, value: str) -> None:
    done = send(serve().port, "echo", f'"value": {json.dumps(value)}')
    # Reading as text makes a newline of a carriage return.
    assert outcome(done) == (0, value.replace("\r", "\n").rstrip("\n"), "")


@pytest.mark.parametrize(
    "value", ['{"status":"fail","a":[{"b":"}]"}]}', "[]", "{}", "-1.5e-300", "null", "false"]
)
def test_c_gives_other_values_as_they_stand(serve: Serve, send: Run, value: str) -> None:
    assert outcome(send(serve().port, "echo", f'"value": {value}')) == (0, value, "")


def test_c_reaches_ipv6(serve: Serve, send: Run) -> None:
    server = serve(host="::1")
    assert outcome(send(server.port, "link.ping", host="::1")) == (0, "true", "")


def test_c_without_a_server(send: Run) -> None:
    with free_port() as port:
        assert outcome(send(port, "count")) == (
            2,
            "",
            f"could not connect to 127.0.0.1:{port}: Connection refused; check that the server is "
            "running, that host and port are right, and that no firewall is in the way",
        )


def test_c_connects_no_longer_than_its_time(send: Run) -> None:
    with black_hole() as (_, port):
        assert outcome(send(port, "count", timeout=SHORT)) == (
            2,
            "",
            f"could not connect to 127.0.0.1:{port}: no answer within 0.2 s; check that the "
            "server is running, that host and port are right, and that no firewall is in the way",
        )


@pytest.mark.parametrize(("host", "port"), [("localhost", 1), ("", 1), ("::1", 0), ("::1", 65536)])
def test_c_refuses_what_is_no_address(send: Run, host: str, port: int) -> None:
    assert outcome(send(port, "count", host=host)) == (
        2,
        "",
        "expected a numeric address such as 192.168.1.20 and a port from 1 to 65535, got "
        f"'{host}' and {port}",
    )


@pytest.mark.parametrize("timeout", [0, -1, 1e6, float("nan")])
def test_c_refuses_what_is_no_timeout(send: Run, timeout: float) -> None:
    with free_port() as port:
        code, _, error = outcome(send(port, "count", timeout=timeout))
    assert code == 2
    assert error.startswith("timeout: expected more than 0 and at most 86400 s, got ")


def test_c_gives_up_where_nothing_comes(send: Run, silent_port: int) -> None:
    assert outcome(send(silent_port, "count", timeout=SHORT)) == (
        3,
        "",
        f"127.0.0.1:{silent_port} gave no whole reply within 0.2 s (0 bytes came){DOUBT}",
    )


@pytest.fixture
def send_much(program: Path, tmp_path: Path) -> Callable[..., str]:
    """Send more than the system's buffers hold, and more than an argument of `send` may have."""
    source = tmp_path / "much.c"
    source.write_text(
        '#define main main_of_send_data\n#include "send_data.c"\n#undef main\n'
        "int main(int argc, char *argv[]) {\n"
        f"  static char spaces[{MAX_REQUEST}], reply[1000];\n"
        "  memset(spaces, ' ', sizeof spaces - 1);\n"
        '  send_data("127.0.0.1", atoi(argv[1]), atof(argv[argc - 1]), "count", spaces, reply,\n'
        "            sizeof reply);\n"
        "  puts(reply);\n}\n"
    )
    much = tmp_path / "much"
    subprocess.run(["cc", f"-I{CLIENTS}", "-o", much, source], check=True, timeout=PATIENCE)

    def run(port: int, timeout: float) -> str:
        return subprocess.run(
            [much, str(port), str(timeout)],
            capture_output=True, text=True, check=True, timeout=2 * PATIENCE,
        ).stdout  # fmt: skip

    return run


def test_c_gives_up_where_the_request_is_not_taken(
    send_much: Callable[..., str], silent_port: int
) -> None:
    assert send_much(silent_port, SHORT) == (
        f"127.0.0.1:{silent_port} did not take the whole request within 0.2 s, so it was not "
        "executed; check that a link server runs there and is not overloaded\n"
    )


def test_c_takes_an_answer_that_comes_before_all_is_sent(send_much: Callable[..., str]) -> None:
    is_taken = threading.Event()

    def refuse(connection: socket.socket) -> None:
        """Read nothing, so that the rest cannot be sent."""
        connection.sendall(b'{"status": "fail", "code": "too_large"}\n')
        assert is_taken.wait(PATIENCE)

    with scripted_server(refuse) as (_, port):
        assert send_much(port, PATIENCE / 2) == '{"status": "fail", "code": "too_large"}\n'
        is_taken.set()


def drip(connection: socket.socket) -> None:
    """Send a reply byte by byte, for as long as the client takes it."""
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(b" ")
            connection.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    return


def test_c_has_one_deadline_for_all(send: Run) -> None:
    """Bytes that come all the time do not give more of it."""
    with scripted_server(drip) as (_, port):
        code, _, error = outcome(send(port, "count", timeout=SHORT))
    assert code == 3
    assert re.fullmatch(
        rf"127\.0\.0\.1:{port} gave no whole reply within 0\.2 s \(\d+ bytes came\){DOUBT}", error
    )


NOT_OURS = (
    " answered is not a reply of the link; check that host and port are those of a link server"
)


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"{}\n",
        b"[1]\n",
        b"{\0}\n",
        b'{"status": "great"}\n',
        b'{"status": "success"\n',
        b'{"status": success "}\n',
        b'{"status"}\n',
        b'{"status\n',
        b'{"a": "\\\n',
    ],
)
def test_c_tells_what_is_no_reply(send: Run, sent: bytes) -> None:
    with scripted_server(answer_to_anything(sent)) as (_, port):
        assert outcome(send(port, "count")) == (3, "", f"what 127.0.0.1:{port}{NOT_OURS}")


def answer_to_anything(sent: bytes) -> Script:
    """Read what comes, send these bytes, close when the client has."""

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            connection.recv(1)

    return script


@pytest.mark.parametrize("sent", [b"", b'{"status": "success"}'])
def test_c_tells_a_connection_that_ended(send: Run, sent: bytes) -> None:
    """Also behind a reply without its newline, which may be the beginning of a longer one."""
    with scripted_server(answer_to_anything(sent)) as (_, port):
        assert outcome(send(port, "count")) == (
            3,
            "",
            f"the connection to 127.0.0.1:{port} ended before the whole reply ({len(sent)} bytes "
            f"came){DOUBT}",
        )


def test_c_tells_a_reset(send: Run) -> None:
    def read_and_reset(connection: socket.socket) -> None:
        connection.recv(65536)
        reset(connection)

    with scripted_server(read_and_reset) as (_, port):
        assert outcome(send(port, "count")) == (
            3,
            "",
            f"the connection to 127.0.0.1:{port} ended before the whole reply (0 bytes came)"
            f"{DOUBT}",
        )


def test_c_tells_a_reply_that_does_not_fit(dds: LinkServer, send: Run) -> None:
    done = send(dds.port, "waveform", '"channel": 0, "samples": 200000, "rate": 1e6')
    assert outcome(done) == (
        3,
        "",
        f"the reply of 127.0.0.1:{dds.port} is larger than the buffer of 1048576 bytes{DOUBT}",
    )


def expect_reset(connection: socket.socket) -> None:
    """Read a request, and wait for its client's reset."""
    connection.recv(65536)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_c_resets_when_it_gives_up(send: Run) -> None:
    """Only so a server knows that nobody waits any more, and starts nothing."""
    with scripted_server(expect_reset) as (_, port):
        assert send(port, "count", timeout=SHORT).returncode == 3


def test_c_resets_when_it_is_stopped(program: Path) -> None:
    """As by Ctrl-C."""
    has_come = threading.Event()

    def tell_and_expect_reset(connection: socket.socket) -> None:
        connection.recv(1)
        has_come.set()
        expect_reset(connection)

    with (
        scripted_server(tell_and_expect_reset) as (_, port),
        running(str(program), "127.0.0.1", str(port), str(PATIENCE), "count") as process,
    ):
        assert has_come.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGINT


def test_c_does_not_reset_when_it_has_its_reply(send: Run) -> None:
    """A reset could overtake what the server still does, and looks like a fault in its log."""

    def answer_and_expect_end(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b'{"status": "success", "result": 1}\n')
        assert connection.recv(1) == b""

    with scripted_server(answer_and_expect_end) as (_, port):
        assert outcome(send(port, "count")) == (0, "1", "")


def test_c_is_answered_the_servers_timeout_in_time(serve: Serve, send: Run, probe: Probe) -> None:
    """It tells the server a little less than what it waits itself."""
    assert outcome(send(serve().port, "wait", timeout=0.5))[0] == 1
    probe.go_on.set()
    until(lambda: probe.executed == ["wait"])


# --- MATLAB -------------------------------------------------------------------------------------

MATLAB = (CLIENTS / "send_data.m").read_text("utf-8")
EXAMPLE = re.search(r"request = (struct\(.*\));", MATLAB)


@pytest.mark.parametrize("frequency", ["80000000", "80000000.0"], ids=["MATLAB", "Octave"])
def test_what_jsonencode_makes_of_matlabs_example(dds: LinkServer, frequency: str) -> None:
    """The two write a whole number each in its way."""
    assert EXAMPLE is not None
    assert EXAMPLE[1] == "struct('command_id', 'set_frequency', 'channel', 0, 'frequency', 80e6)"
    sent = (
        f'{{"command_id":"set_frequency","channel":0,"frequency":{frequency},'
        '"link":{"timeout":1.9,"keep":true}}'
    ).encode()
    assert answer_to(dds, sent, eof=True) == (
        b'{"status":"success","command_id":"set_frequency",'
        b'"result":{"frequency":80000000.0745058}}\n'
    )


@pytest.fixture
def matlab() -> Callable[[str], str]:
    """Run code where `send_data` is found; gives what it prints. Errors are printed by it, too."""
    if program := shutil.which("matlab"):
        command, prepare = [program, "-batch"], ""
    elif program := shutil.which("octave-cli"):
        command = [program, "--norc", "--quiet", "--eval"]
        prepare = "try, pkg load instrument-control, catch, end\n"
    else:
        pytest.skip("there is no MATLAB and no Octave")

    def run(code: str) -> str:
        code = f"{prepare}try\n{code}\ncatch e\ndisp(e.identifier), disp(e.message)\nend"
        return subprocess.run(
            [*command, code], cwd=CLIENTS, check=False, capture_output=True, text=True,
            timeout=10 * PATIENCE,
        ).stdout  # fmt: skip

    if run("tcpclient").startswith("Octave:undefined-function"):
        pytest.skip("Octave has no package instrument-control")
    return run


def test_matlab_sends_its_example(dds: LinkServer, matlab: Callable[[str], str]) -> None:
    assert EXAMPLE is not None
    code = f"r = send_data({EXAMPLE[1]}, '127.0.0.1', {dds.port}, 2.0);\n"
    assert matlab(code + "disp(r.status), fprintf('%.7f', r.result.frequency)") == (
        "success\n80000000.0745058"
    )
    code = code.replace("80e6", "500e6") + "disp(r.status), disp(r.code), disp(r.error)"
    assert matlab(code) == (
        "fail\nout_of_range\nfrequency: 5e8 Hz is above the channel's limit of 4e8 Hz\n"
    )


GET = "send_data(struct('command_id', 'get', 'channel', 0), '127.0.0.1', {}, 1.0);"


def test_matlab_without_a_server(matlab: Callable[[str], str]) -> None:
    with free_port() as port:
        printed = matlab(GET.format(port))
    assert printed.startswith(
        f"artiq_link:fail_connect\ncould not connect to 127.0.0.1:{port}: "
    ), printed


def test_matlab_gives_up_where_nothing_comes(
    matlab: Callable[[str], str], silent_port: int
) -> None:
    assert matlab(GET.format(silent_port)) == (
        f"artiq_link:no_reply\n127.0.0.1:{silent_port} gave no whole reply within 1 s{DOUBT}\n"
    )


def test_matlab_tells_what_is_no_reply(matlab: Callable[[str], str]) -> None:
    def say_hello(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example.org ready\r\n")
        while connection.recv(65536):  # Octave's client loses what came where the server closes
            pass

    with scripted_server(say_hello) as (_, port):
        printed = matlab(GET.format(port))
    assert printed == f"artiq_link:no_reply\nwhat 127.0.0.1:{port}{NOT_OURS}\n"
