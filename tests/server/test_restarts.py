"""A server that is killed and started again: nothing is executed twice, and nothing is denied."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artiq_link import Link, LinkServer, NoReply, ServerFailed
from tests.conftest import PATIENCE, until
from tests.programs import ROOT, finish, running, running_python

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
import artiq_link

folder = Path(sys.argv[1])

class Counter(artiq_link.Instrument):
    '''Counts in a file, which outlives the program.'''

    def count_on(self):
        with (folder / "count").open("a") as file:
            file.write("x")
        return (folder / "count").stat().st_size

    @artiq_link.command
    def count(self) -> int:
        return self.count_on()

    @artiq_link.command
    def die(self, executed: bool) -> int:
        '''Die once, before or after counting.'''
        if executed:
            self.count_on()
        if not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.count_on()

    @artiq_link.command
    def wait(self) -> None:
        (folder / "waits").touch()
        threading.Event().wait()

if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
artiq_link.start_server(
    {"counter": Counter()}, port=int(sys.argv[2]), journal=sys.argv[3] or False
)
"""


class Lab:
    """A folder with a counter's file and a journal, and the server that has both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = str(folder / "journal.sqlite")

    @contextlib.contextmanager
    def serving(self, port: int = 0, *more: str) -> Iterator[tuple[subprocess.Popen[str], Link]]:
        arguments = (str(self.folder), str(port), self.journal, *more)
        with running_python("-c", PROGRAM, *arguments, folder=ROOT) as (process, its_port):
            yield process, Link(port=its_port, timeout=PATIENCE)

    @property
    def count(self) -> int:
        file = self.folder / "count"
        return file.stat().st_size if file.exists() else 0


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(PATIENCE)


def send(link: Link, command_id: str, name: str = "a1", **parameters: Any) -> dict[str, Any]:
    """Send a request under this name."""
    return link.send({"command_id": command_id, "link": {"id": name}, **parameters})


def test_killed_after_it_was_recorded_it_answers_as_it_did(lab: Lab) -> None:
    with lab.serving() as (process, link):
        first = send(link, "count")
        assert [entry["outcome"] for entry in link.call("link.history")] == ["done"]
        kill(process)
    with lab.serving() as (_, link):
        assert link.outcome("a1")["reply"] == first
        assert send(link, "count") == first
        assert send(link, "count", "a2")["result"] == 2
    assert lab.count == 2


@pytest.mark.parametrize("executed", [False, True])
def test_killed_while_it_runs_it_does_not_know(lab: Lab, executed: bool) -> None:
    """The command had not done anything yet, or all it does: the same to whoever asks."""
    with lab.serving() as (process, link):
        with pytest.raises(NoReply):
            send(link, "die", executed=executed)
        assert process.wait(PATIENCE) == -signal.SIGKILL
    for _ in range(2):
        with lab.serving() as (process, link):
            assert link.outcome("a1")["outcome"] == "unknown"
            assert send(link, "die", executed=executed)["code"] == "unknown_outcome"
            assert lab.count == executed
            kill(process)


def test_killed_before_it_starts_it_has_never_arrived(lab: Lab) -> None:
    """It waited behind another command, and is executed when it comes again."""
    with lab.serving() as (process, link):
        with contextlib.ExitStack() as stack:
            for command_id in ("wait", "count"):
                thread = threading.Thread(target=lose, args=(link, command_id))
                stack.callback(thread.join)
                thread.start()
                until((lab.folder / "waits").exists)
            until(lambda: link.call("link.status")["instruments"]["counter"]["waiting"] == 1)
            kill(process)
    with lab.serving() as (_, link):
        assert link.outcome("count") == {"outcome": "never_arrived"}
        assert link.outcome("wait")["outcome"] == "unknown"
        assert send(link, "count", "count")["result"] == 1
    assert lab.count == 1


def lose(link: Link, command_id: str) -> None:
    with pytest.raises(NoReply):
        send(link, command_id, command_id)


@pytest.mark.parametrize("executed", [False, True])
def test_a_client_that_retries_is_told_that_nobody_knows(lab: Lab, executed: bool) -> None:
    """The server is there again while it still tries."""
    with lab.serving() as (process, link):
        told: list[ServerFailed] = []

        def ask() -> None:
            with pytest.raises(ServerFailed) as info:
                Link(port=link.port, timeout=PATIENCE, retries=1000).call("die", executed=executed)
            told.append(info.value)

        thread = threading.Thread(target=ask)
        thread.start()
        process.wait(PATIENCE)
        with lab.serving(link.port) as (_, following):
            thread.join(PATIENCE)
            (error,) = told
            assert error.code == "unknown_outcome"
            assert following.outcome(error.id)["outcome"] == "unknown"
    assert lab.count == executed


def test_without_a_journal_a_client_does_not_try_again(lab: Lab) -> None:
    """The server that is there again cannot know whether the command was executed."""
    lab.journal = ""
    with lab.serving() as (process, link):
        told: list[NoReply] = []

        def ask() -> None:
            with pytest.raises(NoReply, match="executed is not known") as info:
                Link(port=link.port, timeout=PATIENCE, retries=1000).call("die", executed=True)
            told.append(info.value)

        thread = threading.Thread(target=ask)
        thread.start()
        process.wait(PATIENCE)
        with lab.serving(link.port):
            thread.join(PATIENCE)
    assert len(told) == 1
    assert lab.count == 1


@pytest.mark.parametrize("on_restart", ["ignore", "raise"])
def test_a_client_that_retries_comes_through_a_restart(lab: Lab, on_restart: str) -> None:
    """Its next command finds nobody for as long as the server needs to start."""
    with lab.serving() as (process, link):
        scan = Link(port=link.port, timeout=PATIENCE, retries=1, on_restart=on_restart)
        assert scan.call("count") == 1
        kill(process)
        replies: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: replies.append(send(scan, "count")))
        thread.start()
    with lab.serving(link.port):
        thread.join(PATIENCE)
    (reply,) = replies
    if on_restart == "ignore":
        assert reply["result"] == lab.count == 2
    else:
        assert reply["code"] == "restarted"
        assert lab.count == 1


def test_a_scan_that_goes_on_after_a_restart_is_told(lab: Lab) -> None:
    with lab.serving() as (process, link):
        scan = Link(port=link.port, timeout=PATIENCE, on_restart="raise", retries=10)
        assert scan.call("count") == 1
        kill(process)
    with lab.serving(link.port):
        for _ in range(2):
            with pytest.raises(ServerFailed, match=r"^restarted: the server has started anew"):
                scan.call("count")
    assert lab.count == 1


def test_a_restart_can_be_answered_by_setting_everything_up_again(lab: Lab) -> None:
    calls: list[int] = []
    with lab.serving() as (process, link):
        scan = Link(
            port=link.port,
            timeout=PATIENCE,
            on_restart=lambda: calls.append(scan.call("count")),
        )
        assert scan.call("count") == 1
        kill(process)
    with lab.serving(link.port):
        assert scan.call("count") == 3
        assert scan.call("count") == 4
    assert calls == [2]


def test_with_a_full_disk_it_serves_on_and_says_so(lab: Lab) -> None:
    """A limit on files' sizes is what a full disk is to SQLite."""
    if sys.platform == "win32":
        return
    with lab.serving(0, "100000") as (process, link):
        names: list[str] = []

        def fill() -> bool:
            names.append(str(len(names)))
            assert send(link, "count", names[-1])["status"] == "success"
            return bool(link.call("link.status")["journal"]["kept"] == "in memory")

        until(fill)
        problem = link.call("link.status")["journal"]["problem"]
        assert problem.startswith("the journal cannot be written: ")
        for name in names:
            assert send(link, "count", name)["status"] == "success"
        assert lab.count == len(names)
        process.terminate()
        code, _, errors = finish(process)
        assert code == 0
        assert errors.count("the journal cannot be") == 1


def test_a_server_whose_journal_another_one_has_says_so(lab: Lab) -> None:
    with lab.serving() as (_, link), lab.serving() as (other, others):
        assert link.call("link.status")["journal"]["problem"] is None
        problem = others.call("link.status")["journal"]["problem"]
        assert problem == "the journal cannot be opened: another server has it open"
        assert send(others, "count")["result"] == 1
        other.terminate()
        assert finish(other)[0] == 0


def test_the_programs_keep_a_journal_for_their_port(tmp_path: Path) -> None:
    """And say nothing of it; with ``--journal none`` there is none."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    with running(
        sys.executable, "-m", "artiq_link", "serve", "--simulation", "--port", str(free_port()),
        environment=state,
    ) as process:  # fmt: skip
        port = first_port(process)
        Link(port=port).call("reset")
        assert Link(port=port).call("link.history")[0]["command"] == "reset"
        process.terminate()
        assert finish(process)[0] == 0
    if sys.platform == "linux":
        (folder,) = tmp_path.iterdir()
        assert (folder / f"journal-{port}.sqlite").exists()
        kept = sorted(each.name for each in folder.iterdir())
        with running(
            sys.executable, "-m", "artiq_link", "serve", "--simulation", "--port", "0",
            "--journal", "none", environment=state,
        ) as process:  # fmt: skip
            Link(port=first_port(process)).call("reset")
        assert sorted(each.name for each in folder.iterdir()) == kept


def free_port() -> int:
    """A port that was free a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_port(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline().rpartition(":")[2])


def test_a_journal_needs_a_name() -> None:
    for wrong in ("", ".", "/"):
        with pytest.raises(ValueError, match=r"^journal: '.?' is no file's name$"):
            LinkServer({}, interact=print, journal=wrong)
