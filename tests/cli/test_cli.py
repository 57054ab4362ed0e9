"""The command line against a real server: outputs, exit codes, and errors of one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest

from artiq_link import Instrument, LinkServer, __version__, command, exchange
from artiq_link.cli import program as cli
from tests.conftest import PATIENCE, Probe
from tests.programs import ROOT, finish, running, running_python
from tests.scripted_server import answer_bytes, free_port, scripted_server

Serve = Callable[..., LinkServer]
Run = Callable[..., tuple[int, str, str]]


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


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``artiq-link``; gives its exit code, its output and its errors."""

    def run(*arguments: str, port: int | None = None) -> tuple[int, str, str]:
        options = () if port is None else ("--port", str(port))
        try:
            code = cli.main([*arguments, *options])
        except SystemExit as error:  # argparse
            code = error.code if isinstance(error.code, int) else -1
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def port(serve: Serve) -> Iterator[int]:
    """The port of a server with the probe."""
    return serve().port


def test_send_prints_each_member_of_the_result(run: Run, port: int, probe: Probe) -> None:
    """Values are JSON, so that 80e6 is a number."""
    assert run("send", "set_frequency", "channel=1", "frequency=80e6", port=port) == (
        0,
        "frequency: 80000000.0\n",
        "",
    )
    assert probe.executed == [(1, 80e6)]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("value=text that is no JSON", "text that is no JSON\n"),
        ('value="7"', "7\n"),
        ("value=[1, 2]", "[1, 2]\n"),
        (
            'value=[{"long": "%s"}]' % ("x" * 70),
            "[\n    {\n        'long': '%s'\n    }\n]\n" % ("x" * 70),
        ),
        ("value=a=b", "a=b\n"),
        ("value=.5", "0.5\n"),
        ("value=+5e3", "5000.0\n"),
        ("value=5.", "5.0\n"),
        ("value=.", ".\n"),
        ("value=1.2.3", "1.2.3\n"),
        ("value=", "\n"),
        ("value=null", ""),
        ("value=None", ""),
    ],
)
def test_send_takes_json_or_text(run: Run, port: int, text: str, printed: str) -> None:
    assert run("send", "echo", text, port=port) == (0, printed, "")


@pytest.mark.parametrize(
    ("text", "sent"), [("True", True), ("False", False), ("Truth", "Truth"), ('"5"', "5")]
)
def test_send_takes_pythons_constants_and_quoted_numbers(
    run: Run, port: int, text: str, sent: Any
) -> None:
    _, printed, _ = run("send", "--json", "echo", f"value={text}", port=port)
    assert json.loads(printed)["result"] == sent


@pytest.mark.parametrize("at", range(4))
def test_options_stand_anywhere_among_the_parameters(run: Run, port: int, at: int) -> None:
    words = ["set_frequency", "channel=0", "frequency=1e6"]
    words[at:at] = ["--json", "--port", str(port)]
    code, printed, _ = run("send", *words)
    assert (code, json.loads(printed)["result"]) == (0, {"frequency": 1e6})


def test_what_the_terminal_has_no_sign_for_is_printed_as_its_number(port: int) -> None:
    """Windows' pipes have few."""
    words = ["artiq_link", "send", "echo", "value=5 kΩ", "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout.rstrip()) == (0, rb"5 k\u03a9")


def test_help_says_how_a_text_that_looks_like_a_number_is_written(run: Run) -> None:
    _, printed, _ = run("send", "--help")
    assert """comment='"5"'""" in printed


@pytest.mark.parametrize("host", ["::1", "[::1]", "fe80::1:65432"])
def test_an_address_of_ipv6_is_a_host_without_a_port(
    run: Run, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    hosts = []
    monkeypatch.setattr(cli.link_client, "exchange", lambda data, host, *_: hosts.append(host))
    assert run("send", "count", "--host", host) == (0, "", "")
    assert hosts == [host]


def test_send_sends_members_of_link(run: Run, port: int) -> None:
    code, printed, _ = run("send", "--json", "count", 'link={"id": "mine"}', port=port)
    assert (code, json.loads(printed)["id"]) == (0, "mine")


def test_send_json_prints_the_whole_reply(run: Run, port: int) -> None:
    code, printed, errors = run("send", "echo", "value=[1, 2]", "--json", port=port)
    reply = json.loads(printed)
    assert len(reply.pop("id")) == 32
    assert reply == {"status": "success", "command_id": "echo", "result": [1, 2]}
    assert (code, errors) == (0, "")


def test_send_json_prints_arrays_in_the_protocols_notation(run: Run, serve: Serve) -> None:
    port = serve({"stage": Stage()}).port
    code, printed, _ = run("send", "samples", "values=[1.0]", "--json", port=port)
    array = {"__jsonclass__": ["nparray", [[1], "<f8", "AAAAAAAA8D8="]]}
    assert (code, json.loads(printed)["result"]) == (0, array)
    assert run("send", "samples", "values=[1.0, 2.5]", port=port) == (0, "[1.  2.5]\n", "")


def test_send_exits_with_1_where_the_server_says_no(run: Run, port: int, probe: Probe) -> None:
    assert run("send", "set_frequency", "channel=0", "frequency=5e8", port=port) == (
        1,
        "",
        "out_of_range: frequency: 5e8 Hz is above the limit of 4e8 Hz\n",
    )
    assert run("send", "set_frequenzy", port=port) == (
        1,
        "",
        "unknown_command: there is no command 'set_frequenzy'; did you mean 'set_frequency'?\n",
    )
    assert probe.executed == []


def test_send_json_prints_a_refusal_too(run: Run, port: int) -> None:
    code, printed, errors = run("send", "refuse", "--json", port=port)
    reply = json.loads(printed)
    assert (code, reply["code"], reply["error"], errors) == (1, "instrument_error", "no lock", "")


@pytest.mark.parametrize(
    "arguments",
    [("send", "count"), ("send", "count", "--json"), ("describe",), ("ping",)],
    ids=" ".join,
)
def test_no_connection_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...]
) -> None:
    with free_port() as port:
        code, printed, errors = run(*arguments, port=port)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"could not connect to 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_an_answer_that_is_no_reply_is_exit_code_2(run: Run) -> None:
    with scripted_server(answer_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")) as (host, port):
        code, printed, errors = run("ping", "--host", host, port=port)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"what 127.0.0.1:{port} answered is not a reply of the link (")


def test_timeout_is_the_whole_exchanges(run: Run, port: int, probe: Probe) -> None:
    """The server is told it, and answers before the client gives up."""
    code, _, errors = run("send", "wait", "--timeout", "0.3", port=port)
    assert (code, errors.split(":")[0]) == (1, "timeout")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ping", "--port", "0"), "port: expected 1 to 65535, got 0"),
        (
            ("ping", "--timeout", "-1"),
            "timeout: expected more than 0 and at most 86400 s, got -1.0",
        ),
        (("send", "a", "b=NaN"), "b: nan cannot be sent as JSON; expected a finite number"),
    ],
)
def test_what_cannot_be_sent_is_one_sentence_and_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    assert run(*arguments) == (2, "", sentence + "\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("send", "get", "channel"),
            "artiq-link send: error: argument NAME=VALUE: 'channel' is not NAME=VALUE",
        ),
        (
            ("send", "get", "=0"),
            "artiq-link send: error: argument NAME=VALUE: '=0' is not NAME=VALUE",
        ),
        (
            ("send", "get", "link=7"),
            "artiq-link send: error: argument NAME=VALUE: 'link=7': the link's own members are a "
            "JSON object",
        ),
        (
            ("send", "get", "channel=0", "channel=1"),
            "artiq-link send: error: channel is given twice",
        ),
        (
            ("send", "get", "command_id=reset"),
            "artiq-link send: error: command_id is given twice",
        ),
        (
            ("send", "get", "--json", "channel"),
            "artiq-link send: error: argument NAME=VALUE: 'channel' is not NAME=VALUE",
        ),
        (
            ("send", "get", "--channel", "0"),
            "artiq-link send: error: unrecognized arguments: --channel 0",
        ),
        (
            ("ping", "now"),
            "artiq-link: error: unrecognized arguments: now",
        ),
        (
            ("send",),
            "artiq-link send: error: the following arguments are required: command_id",
        ),
        (
            ("ping", "--host", "127.0.0.1:65432"),
            "artiq-link ping: error: argument --host: '127.0.0.1:65432' has a port: give that "
            "with --port",
        ),
        (
            ("ping", "--host", "[::1]:65432"),
            "artiq-link ping: error: argument --host: '[::1]:65432' has a port: give that with "
            "--port",
        ),
        (
            ("ping", "--count", "0"),
            "artiq-link ping: error: argument --count: '0' is not a whole number from 1",
        ),
        (
            ("ping", "--count", "many"),
            "artiq-link ping: error: argument --count: 'many' is not a whole number from 1",
        ),
        (
            ("serve", "--no-localhost-bind"),
            "artiq-link serve: error: --no-localhost-bind leaves nothing to listen on: "
            "give --bind",
        ),
        ((), "artiq-link: error: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1] == sentence


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"artiq-link {__version__}\n", "")


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
        ["describe", "", "", "", "", "Give the commands with their parameters, types (JSON "
         "Schema), units and defaults."],
        ["check", "requests", "list", "", "", "Check each request's command, types, "
         "ranges and limits; execute nothing."],
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


def test_ctrl_c_ends_it_as_shells_expect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.link_client, "exchange", interrupted)
    assert run("send", "count") == (130, "", "")


def test_serve_serves_the_simulated_dds_and_says_so(run: Run) -> None:
    """Until a signal comes; without ``--simulation`` it warns that nothing here is real."""
    arguments = ("-m", "artiq_link", "serve", "-p", "0", "--no-localhost-bind")
    with running_python(*arguments, "--bind", "127.0.0.1") as (process, port):
        code, printed, _ = run("send", "dds.get", "channel=0", "--json", port=port)
        process.terminate()
        assert finish(process) == (
            0,
            "",
            "WARNING:artiq_link.cli.program:no hardware is configured: the DDS is simulated\n",
        )
    assert (code, json.loads(printed)["result"]["name"]) == (0, "ch0")
    with running_python(*arguments, "--bind", "127.0.0.1", "--simulation") as (process, _):
        process.terminate()
        assert finish(process) == (0, "", "")


def test_serve_exits_with_2_where_the_port_is_taken(serve: Serve) -> None:
    port = serve().port
    with running(sys.executable, "-m", "artiq_link", "serve", "-q", "-p", str(port)) as process:
        code, printed, errors = finish(process)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert errors.count("\n") == 1


def test_the_module_and_the_script_are_the_same_program(port: int) -> None:
    """``python -m artiq_link`` and ``artiq-link``, with the exit codes of `main`."""
    script = "import sys; from artiq_link.cli.program import main; sys.exit(main())"
    for program in (("-m", "artiq_link"), ("-c", script)):
        for arguments, expected in [
            (("send", "count"), (0, "0\n", "")),
            (("send", "refuse"), (1, "", "instrument_error: no lock\n")),
            (("send", "count", "--timeout", "0"), (2, "", "timeout: expected more than 0 and at "
              "most 86400 s, got 0.0\n")),
        ]:  # fmt: skip
            done = subprocess.run(
                [sys.executable, *program, *arguments, "--port", str(port)],
                check=False,
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=PATIENCE,
            )
            assert (done.returncode, done.stdout, done.stderr) == expected


def test_the_scripts_entry_point_is_main() -> None:
    entry = 'artiq-link = "artiq_link.cli.program:main"'
    assert entry in (ROOT / "pyproject.toml").read_text("utf-8")
