"""The journal's file: what is found and listed, what is forgotten, and what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from artiq_link.exchanges import journal_file
from artiq_link.exchanges.journal_file import Filter, JournalFile, default_path
from artiq_link.exchanges.records import Record
from tests.programs import running

Open = Callable[..., JournalFile]


def record(name: str | None = None, **more: Any) -> Record:
    members: dict[str, Any] = {
        "boot": "k3f9",
        "received": time.time(),
        "peer": "127.0.0.1:1",
        "dialect": "json",
        "instrument": "dds",
        "command": "set",
        "parameters": '{"channel":0}',
        "outcome": "done",
        "result": "null",
        "queue": 0.0,
        "duration": 0.001,
        **more,
    }
    return Record(name, **members)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lab" / "journal.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_it(**options: Any) -> JournalFile:
            file = JournalFile(path, **options)
            stack.callback(file.close)
            return file

        yield open_it


def listed(file: JournalFile, limit: int = 100, **which: Any) -> list[str | None]:
    return [each.id for _, each in file.select(Filter(**which), limit)]


@pytest.mark.parametrize("loaded", [False, True])
def test_what_is_written_is_found_by_its_id(opened: Open, loaded: bool) -> None:
    """With a sieve and without one; also after the file was closed."""
    file = opened()
    if loaded:
        file.load()
    file.write([record("a", code="x"), record(None), record("b")])
    for _ in range(2):
        found = file.find("a")
        assert found is not None
        assert (found.id, found.code, found.rid, found.queue) == ("a", "x", None, 0.0)
        assert file.find("c") is None
        file.close()
        file = opened()
        if loaded:
            file.load()
            assert file.find("c") is None


@pytest.mark.parametrize("names", [("e", "e\0"), ("\0", "\0\0", ""), ("é", "e\u0301", "E\0")])
def test_ids_that_are_nearly_alike_are_found_each_for_itself(
    opened: Open, names: tuple[str, ...]
) -> None:
    """Also where C would take them for one; or it would be executed once more after a restart."""
    file = opened()
    file.write([record(name, error=f"of {name!r}\0", command=name) for name in names])
    file.close()
    file = opened()
    file.load()
    for name in names:
        found = file.find(name)
        assert found is not None
        assert (found.id, found.command, found.error) == (name, name, f"of {name!r}\0")


def test_what_was_executed_is_found_before_what_was_refused(opened: Open) -> None:
    """Else a repeat of it that was refused, whyever, would let the next one be executed."""
    file = opened()
    file.write([record("a", outcome="refused", code="busy")])
    found = file.find("a")
    assert found is not None
    assert found.code == "busy"
    file.write([record("a"), record("a", outcome="refused", code="malformed")])
    found = file.find("a")
    assert found is not None
    assert found.outcome == "done"
    file.write([record("b", outcome=None), record("b", outcome="refused")])
    found = file.find("b")
    assert found is not None
    assert found.outcome is None


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ({}, "abcde"),
        ({"limit": 2}, "de"),
        ({"after": 2}, "cde"),
        ({"after": 2, "limit": 2}, "cd"),
        ({"before": 4, "limit": 2}, "bc"),
        ({"failed": True}, "bc"),
        ({"rid": 7}, "d"),
        ({"slow": 1.0}, "e"),
        ({"command": "set"}, "abde"),
        ({"command": "dds.get"}, "c"),
        ({"command": "get"}, "c"),
        ({"command": "et"}, ""),
        ({"since": "an hour ago"}, "bcde"),
        ({"failed": True, "command": "get"}, "c"),
    ],
)
def test_exchanges_are_listed_in_order(opened: Open, which: dict[str, Any], expected: str) -> None:
    file = opened()
    file.write(
        [
            record("a", received=time.time() - 7200),
            record("b", outcome="failed"),
            record("c", outcome="refused", command="dds.get", duration=None),
            record("d", rid=7),
            record("e", queue=0.5, duration=0.5),
        ]
    )
    if "since" in which:
        which = {"since": time.time() - 3600}
    assert listed(file, **which) == list(expected)


def test_what_had_started_and_not_ended_is_a_row_after_the_next_start(opened: Open) -> None:
    """Once, however often the server dies; what has a row already gets no second one."""
    file = opened()
    ran, ended, again = record("ran", outcome=None), record("ended"), record("again", outcome=None)
    for each in (ran, record("ended", outcome=None), again):
        file.starts.add(each)
    file.write([ended, record("again", outcome="refused")])
    assert [each.id for each in file.starts.left()] == ["ran", "ended", "again"]
    for _ in range(2):
        file.close()
        file = opened()
        assert sorted(map(str, listed(file))) == ["again", "again", "ended", "ran"]
        outcomes = {
            name: found.outcome for name in ("ran", "ended", "again") if (found := file.find(name))
        }
        assert outcomes == {"ran": None, "ended": "done", "again": None}


def test_the_oldest_are_forgotten_by_age(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "ALWAYS_KEPT", 2)
    monkeypatch.setattr(journal_file, "FORGOTTEN", 2)
    file = opened(max_age=3600.0)
    old = time.time() - 7200
    file.write([record(name, received=old) for name in "abcde"])
    assert file.tidy()
    assert listed(file) == ["c", "d", "e"]
    assert not file.tidy()
    assert not file.tidy()
    assert listed(file) == ["d", "e"]


def test_a_clock_that_was_wrong_forgets_nothing_new(opened: Open) -> None:
    """It was an hour, or a century, ahead and behind; the newest are kept whatever it says."""
    file = opened()
    times = [0.0, time.time() + 3600, 4e9, time.time()]
    file.write([record(str(number), received=at) for number, at in enumerate(times)])
    assert not file.tidy()
    assert listed(file) == ["0", "1", "2", "3"]


def test_the_oldest_are_forgotten_by_size(opened: Open, path: Path) -> None:
    limit = 1024 * 1024
    file = opened(max_size=limit)
    for batch in range(100):
        file.write([record(f"{batch}.{each}", result="x" * 1000) for each in range(100)])
        while file.tidy():
            pass
    assert file.find("99.99") is not None
    assert file.find("0.0") is None
    assert 100 < len(listed(file, limit=10_000)) < 1000
    file.close()
    assert path.stat().st_size < 2 * limit


def test_one_program_alone_has_it(opened: Open, path: Path) -> None:
    file = opened()
    with pytest.raises(sqlite3.OperationalError, match="another server has it open"):
        JournalFile(path)
    file.close()
    opened()


def test_another_programs_death_gives_it_free(opened: Open, path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from artiq_link.exchanges.journal_file import JournalFile\n"
        "file = JournalFile(Path(sys.argv[1]))\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with running(sys.executable, "-c", script, str(path)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(sqlite3.OperationalError, match="another server has it open"):
            JournalFile(path)
        process.kill()
        process.wait()
        opened()


@pytest.mark.parametrize("content", [b"something else entirely" * 100, b"SQLite format 3\0" * 300])
def test_a_damaged_file_is_told_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(sqlite3.DatabaseError):
            JournalFile(path)
    assert path.read_bytes() == content


def test_a_later_versions_file_is_left_as_it_is(opened: Open, path: Path) -> None:
    opened().close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(sqlite3.OperationalError, match=r"^a later version of artiq_link has"):
        JournalFile(path)
    with pytest.raises(sqlite3.OperationalError, match=r"^a later version of artiq_link has"):
        JournalFile(path)  # nothing was left locked


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """What holds for root, too."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File exists"):
        JournalFile(tmp_path / "file" / "journal.sqlite")


def test_a_full_file_is_told_and_keeps_what_it_has(opened: Open) -> None:
    """None of a batch is written, so that all of it can be written again."""
    file = opened()
    file.write([record("a")])
    file._writing.execute(f"PRAGMA max_page_count = {file._value('PRAGMA page_count')}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.write([record("b", result="x" * 10**5), record("c")])
    assert listed(file) == ["a"]
    file._writing.execute("PRAGMA max_page_count = 100000")
    file.write([record("b"), record("c")])
    assert listed(file) == ["a", "b", "c"]


def test_the_default_is_one_for_each_port() -> None:
    assert default_path(1).parent == default_path(2).parent
    assert default_path(65432).name == "journal-65432.sqlite"
    if os.name == "posix" and sys.platform != "darwin":
        assert default_path(1).parent == Path(os.environ["XDG_STATE_HOME"]) / "artiq_link"
