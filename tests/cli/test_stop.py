"""``artiq-link stop``: a server ends as by Ctrl-C, and one knows that it has."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from artiq_link import LinkServer
from artiq_link.cli import stop
from artiq_link.link_client import Link
from tests.conftest import PATIENCE, WATCH_TOKEN, Probe, until
from tests.programs import finish, first_line, program, running
from tests.scripted_server import answer, free_port, scripted_server

Run = Callable[..., tuple[int, str, str]]
Serve = Callable[..., LinkServer]

LASER = """
import sys
import artiq_link

class Laser(artiq_link.Instrument):
    @artiq_link.command
    def fire(self) -> None:
        print("firing", flush=True)
        sys.stdin.readline()

    def close(self):
        print("the laser is closed", flush=True)

artiq_link.start_server(
    {"laser": Laser()}, port=int(sys.argv[1]), grace=float(sys.argv[2]) if sys.argv[2:] else 60.0
)
"""


@contextmanager
def fired(port: int) -> Iterator[None]:
    """Have the laser fire, until the test lets it end; its client is answered."""
    with ThreadPoolExecutor() as pool:
        firing = pool.submit(Link(port=port, timeout=PATIENCE).send, {"command_id": "fire"})
        yield
        assert firing.result()["status"] in {"success", "fail"}


def test_the_server_ends_with_its_instruments_closed_and_its_port_free(run: Run) -> None:
    """With exit code 0; the log says who asked."""
    with program(script=LASER) as (process, port):
        assert run("stop", port=port) == (
            0,
            f"127.0.0.1:{port} has stopped; all its instruments are closed\n",
            "",
        )
        code, printed, errors = finish(process)
        assert (code, printed) == (0, "the laser is closed\n")
        assert re.fullmatch(r"127\.0\.0\.1:\d+ \(json\): asked the server to stop\n", errors)
        with program(port, LASER) as (_, again):
            assert again == port


def test_it_says_what_still_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And waits for it; its client is answered."""
    monkeypatch.setattr(stop, "LOOK", 0.01)
    told = []
    tell = stop._tell

    with program(script=LASER) as (process, port), fired(port):
        assert first_line(process) == "firing\n"
        assert process.stdin is not None
        stdin = process.stdin

        def let_it_end(link: Link, server: str) -> None:
            tell(link, server)
            told.append(capsys.readouterr().out)
            if len(told) == 2:
                stdin.write("\n")
                stdin.flush()

        monkeypatch.setattr(stop, "_tell", let_it_end)
        code, printed, errors = run("stop", "--timeout", str(PATIENCE), port=port)
        assert finish(process)[:2] == (0, "the laser is closed\n")
    assert (code, errors) == (0, "")
    assert printed == f"127.0.0.1:{port} has stopped; all its instruments are closed\n"
    assert re.fullmatch(
        rf"127\.0\.0\.1:{port} is stopping, for at most {PATIENCE:g} s: "
        r"laser: busy with fire, for \S+ s\n",
        told[0],
    )


@pytest.mark.parametrize(("grace", "options"), [("60", ["--at-once"]), ("0.1", [])])
def test_a_command_that_does_not_end_leaves_its_instrument_open(
    run: Run, grace: str, options: list[str]
) -> None:
    """At once, or when its time is up; the exit code is 1, as the server's."""
    command = (sys.executable, "-c", LASER, "0", grace)
    with running(*command) as process:
        port = int(first_line(process).rpartition(":")[2])
        with fired(port):
            assert first_line(process) == "firing\n"
            code, printed, errors = run("stop", *options, port=port)
            assert (code, errors) == (1, "")
            assert printed.endswith(
                f"127.0.0.1:{port} has stopped; not closed: laser (its log says why)\n"
            )
            assert finish(process)[:2] == (1, "")


def test_it_says_where_the_server_has_not_gone_in_time(run: Run, serve: Serve) -> None:
    probe = Probe()
    port = serve({"dds": probe}, grace=PATIENCE).port
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(Link(port=port, timeout=PATIENCE).call, "wait")
        until(probe.started.is_set)
        code, _, errors = run("stop", "--timeout", "0.2", port=port)
        probe.go_on.set()
        assert waiting.result() == "waited"
    sentence = f"127.0.0.1:{port} has not gone within 0.2 s; it goes on stopping\n"
    assert (code, errors) == (1, sentence)


def test_a_second_stop_finds_nobody_but_one_who_is_there_may_ask_for_more(run: Run) -> None:
    """A server that stops lets nobody in; who is connected asks it to be done at once."""
    with (
        program(script=LASER) as (process, port),
        fired(port),
        Link(port=port, timeout=PATIENCE) as link,
    ):
        assert first_line(process) == "firing\n"
        assert link.call("link.stop") is None
        until(lambda: run("stop", "--timeout", "1", port=port)[0] == 2)
        assert link.call("link.stop", at_once=True, wait=True) == ["laser"]
        assert finish(process)[0] == 1


def test_ctrl_c_ends_the_wait_alone(serve: Serve) -> None:
    """The server goes on stopping, and says so in the end to who waits for the command."""
    probe = Probe()
    port = serve({"dds": probe}, grace=PATIENCE).port
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(Link(port=port, timeout=PATIENCE).call, "wait")
        until(probe.started.is_set)
        command = (sys.executable, "-m", "artiq_link", "stop", "--port", str(port))
        with running(*command) as process:
            assert f"127.0.0.1:{port} is stopping, for at most 30 s" in first_line(process)
            process.send_signal(signal.SIGINT)
            code, _, errors = finish(process)
        probe.go_on.set()
        assert waiting.result() == "waited"
    assert (code, errors) == (130, f"127.0.0.1:{port} goes on stopping\n")


def test_json_is_for_programs(run: Run, port: int) -> None:
    code, printed, errors = run("stop", "--json", port=port)
    assert (code, json.loads(printed), errors) == (0, {"left_open": []}, "")


def test_who_may_only_watch_stops_nothing(
    run: Run,
    serve: Serve,
    elsewhere: str,
    token_file: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = serve(host=elsewhere, token_file=token_file)
    mine = tmp_path_factory.mktemp("client") / "token"
    mine.write_text(WATCH_TOKEN)
    arguments = ("stop", "--host", elsewhere, "--token-file", str(mine))
    assert run(*arguments, port=server.port) == (
        1,
        "",
        "unauthorized: 'link.stop' needs the role control, and this token may only watch\n",
    )
    reply = Link(elsewhere, server.port, link={"token": WATCH_TOKEN}).call("link.ping")
    assert reply is True


def test_a_server_that_is_not_there_is_exit_code_2(run: Run) -> None:
    with free_port() as port:
        code, printed, errors = run("stop", port=port)
    assert (code, printed) == (2, "")
    assert errors.startswith(f"could not connect to 127.0.0.1:{port}: ")


def test_nothing_is_asked_of_another_program(run: Run) -> None:
    with scripted_server(answer(status="success", result={})) as (_, port):
        code, printed, errors = run("stop", port=port)
    assert (code, printed) == (2, "")
    assert "is not what a link server answers" in errors
