"""Where the log goes: a terminal, a pipe that is read or is not, a file."""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from artiq_link import Link
from artiq_link.server import log_output
from artiq_link.server.log_lines import ArtiqFormatter
from artiq_link.server.log_output import BackgroundHandler, init_logging
from artiq_link.server.options import add_server_options
from tests.conftest import PATIENCE
from tests.programs import finish, first_line, running, running_python
from tests.server.logged import fresh_root_logger

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "

TWO_LINES = """
import logging, artiq_link
artiq_link.parse_server_options('')
logging.getLogger('dds.lock').warning('lost')
logging.getLogger('dds.lock').info('found')
"""


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_server_options(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        ([], logging.WARNING),
        (["-v"], logging.INFO),
        (["-vv"], logging.DEBUG),
        (["-v", "-v"], logging.DEBUG),
        (["-q"], logging.ERROR),
        (["-qq"], logging.CRITICAL),
        (["-v", "-q"], logging.WARNING),
    ],
)
def test_verbose_and_quiet_move_the_level(arguments: list[str], level: int) -> None:
    with fresh_root_logger() as root:
        init_logging(options(*arguments))
        assert root.level == level


@pytest.mark.parametrize("unbuffered", [(), ("-u",)], ids=["", "u"])
def test_a_pipe_gets_the_lines_that_a_controller_manager_reads(unbuffered: tuple[str]) -> None:
    """The manager sets PYTHONUNBUFFERED."""
    with running(sys.executable, *unbuffered, "-c", TWO_LINES) as process:
        assert finish(process) == (0, "", "WARNING:dds.lock:lost\n")


def test_a_terminal_gets_times() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        with os.fdopen(theirs, "wb") as stderr:
            subprocess.run([sys.executable, "-c", TWO_LINES], stderr=stderr, check=True)
            written = terminal.read(4096).decode()
    assert re.fullmatch(TIME + "WARNING:dds.lock:lost\r\n", written)


def test_a_file_gets_times_however_it_gets_the_lines(tmp_path: Path) -> None:
    """Redirected or named; what is there already stays."""
    log, errors = tmp_path / "server.log", tmp_path / "errors"
    log.write_text("before\n")
    command = [sys.executable, "-c", TWO_LINES, "-v", "--log-file", str(log)]
    with errors.open("w") as stderr:
        subprocess.run(command, stderr=stderr, check=True)
    lines = f"{TIME}WARNING:dds.lock:lost\n{TIME}INFO:dds.lock:found\n"
    assert re.fullmatch(lines, errors.read_text())
    assert re.fullmatch("before\n" + lines, log.read_text())


def test_without_standard_error_there_is_the_file(tmp_path: Path) -> None:
    """A window's program has none."""
    log = tmp_path / "server.log"
    program = f"import sys; sys.stderr = None{TWO_LINES}"
    with running(sys.executable, "-c", program, "--log-file", str(log)) as process:
        assert finish(process) == (0, "", "")
    assert re.fullmatch(TIME + "WARNING:dds.lock:lost\n", log.read_text())


def test_a_log_file_is_one_of_several_and_none_grows_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_output, "MAX_LOG_FILE", 1000)
    log = tmp_path / "server.log"
    with fresh_root_logger() as root:
        init_logging(options("--log-file", str(log), "--log-backup-count", "2"))
        for number in range(100):
            root.critical("message %d", number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["server.log", "server.log.1", "server.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert files[0].read_text().endswith("message 99\n")


def test_a_log_file_that_cannot_be_written_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    log = tmp_path / "absent" / "server.log"
    with running(sys.executable, "-c", TWO_LINES, "--log-file", str(log)) as process:
        assert finish(process) == (2, "", f"--log-file: {log}: No such file or directory\n")


def test_a_full_disk_is_told_once(tmp_path: Path) -> None:
    """The program goes on, and standard error has all lines."""
    log = tmp_path / "server.log"
    program = (
        "import logging, artiq_link, resource\n"
        "artiq_link.parse_server_options('')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "for number in range(10):\n"
        "    logging.warning('message %d', number)\n"
    )
    with running(sys.executable, "-c", program, "--log-file", str(log)) as process:
        code, _, errors = finish(process)
    assert code == 0
    assert [line for line in errors.splitlines() if "message" in line] == [
        f"WARNING:root:message {number}" for number in range(10)
    ]
    assert errors.count(f"the log file {log}: [Errno 27] File too large\n") == 1


FLOOD = """
import logging, sys, artiq_link
artiq_link.parse_server_options('')
for number in range(5000):
    logging.warning('message %d %s', number, 'x' * 1000)
print('goes on', flush=True)
if sys.stdin.readline():
    logging.warning('once more')
"""


def test_nobody_has_to_read_standard_error() -> None:
    """What is logged meanwhile is dropped; the program goes on, and ends."""
    with running(sys.executable, "-c", FLOOD) as process:
        assert first_line(process) == "goes on\n"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_who_reads_again_is_told_how_many_messages_are_missing() -> None:
    with running(sys.executable, "-c", FLOOD) as process:
        assert first_line(process) == "goes on\n"
        assert process.stdin is not None
        assert process.stderr is not None
        # At most 65 of them were in the pipe: so many are free in the queue now.
        lines = [process.stderr.readline() for _ in range(700)]
        process.stdin.write("\n")
        process.stdin.flush()
        lines += process.stderr.readlines()
        assert process.wait(PATIENCE) == 0
    assert lines.pop() == "WARNING:root:once more\n"
    number = 0
    for line in lines:
        gap = re.fullmatch(
            r"WARNING:artiq_link\.server\.log_output:(\d+) messages are missing here: they came "
            r"faster than they were taken\n",
            line,
        )
        if gap is None:
            assert line.startswith(f"WARNING:root:message {number} x")
        number += 1 if gap is None else int(gap[1])
    assert number == 5000
    assert "missing" in lines[-1]


DEBUG = ["-m", "artiq_link", "serve", "--simulation", "--debug", "-p0", "--journal", "none"]
DEBUG += ["--no-localhost-bind", "--bind", "127.0.0.1"]
MUCH = {"command_id": "link.check", "requests": [{"command_id": "x" * 1000}]}


def test_nobody_has_to_read_what_debug_shows() -> None:
    """The server answers, and tells who reads again how many messages are missing."""
    with running_python(*DEBUG) as (process, port):
        assert process.stdout is not None
        with Link(port=port, timeout=PATIENCE) as link:
            for _ in range(1000):
                assert link.send(MUCH)["status"] == "success"
            lines = [process.stdout.readline() for _ in range(700)]
            assert link.send(MUCH)["status"] == "success"
        process.terminate()
        rest = process.stdout.readlines()
        assert process.wait(PATIENCE) == 0
    number = 0
    for line in lines + rest:
        gap = re.match(r"(\d+) messages are missing here: they came faster than they were", line)
        assert gap is not None or re.match(r"(received from|sent to) 127\.0\.0\.1:", line)
        number += 1 if gap is None else int(gap[1])
    assert number == 2002
    assert any("missing" in line for line in rest)


def test_a_stop_does_not_wait_for_who_reads_nothing_of_it() -> None:
    with running_python(*DEBUG) as (process, port):
        with Link(port=port, timeout=PATIENCE) as link:
            for _ in range(100):
                link.send(MUCH)
        process.terminate()
        assert process.wait(PATIENCE) == 0


class Slow(logging.Handler):
    """A disk that writes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = threading.Event()
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert self.may_write.wait(PATIENCE)
        self.written.append(record.getMessage())


def logged(handler: logging.Handler, *messages: str) -> None:
    for message in messages:
        handler.handle(logging.LogRecord("dds", logging.INFO, "", 0, message, None, None))


def test_what_is_queued_is_written_at_the_end_and_what_is_not_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_output, "MAX_QUEUED", 2)
    monkeypatch.setattr(log_output, "END_TIME", PATIENCE)
    slow = Slow()
    handler = BackgroundHandler(slow, ArtiqFormatter())
    logged(handler, *"abcdefgh")
    slow.may_write.set()
    handler.close()
    count = len(slow.written) - 1
    assert slow.written == [
        *[f"INFO:dds:{letter}" for letter in "abc"[:count]],
        f"WARNING:artiq_link.server.log_output:{8 - count} messages are missing here: they came "
        "faster than they were taken",
    ]


def test_the_end_waits_for_nobody_who_does_not_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_output, "END_TIME", 0.01)
    slow = Slow()
    handler = BackgroundHandler(slow, ArtiqFormatter())
    logged(handler, "a", "b")
    handler.close()
    assert slow.written == []
    slow.may_write.set()
    monkeypatch.setattr(log_output, "END_TIME", PATIENCE)
    handler.close()
    assert slow.written == ["INFO:dds:a", "INFO:dds:b"]
