"""The file of started commands: what a process that dies leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from artiq_link.exchanges import starts
from artiq_link.exchanges.records import Record
from artiq_link.exchanges.starts import Starts


def record(name: str | None) -> Record:
    return Record(name, "k3f9", 1.5, "127.0.0.1:1", "json", "dds", "set", '{"channel":0}')


def left(path: Path) -> list[str | None]:
    """The ids that the next start of a server finds."""
    following = Starts(path)
    names = [each.id for each in following.left()]
    following.close()
    return names


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "starts"


def test_what_has_started_is_left_by_a_process_that_dies(path: Path) -> None:
    """Nothing is closed: what has been written is in the system's hands."""
    begun = Starts(path)
    begun.add(record("a"))
    begun.add(record("b"))
    assert left(path) == ["a", "b"]
    (first, _) = Starts(path).left()
    assert (first.command, first.parameters, first.outcome) == ("set", '{"channel":0}', None)
    begun.close()


def test_what_has_ended_is_left_with_what_it_came_to(path: Path) -> None:
    """A long result is left out: the command's client waits while the line is written."""
    begun = Starts(path)
    short, long = record("short"), record("long")
    begun.add(short)
    begun.add(long)
    for ended, result in [(short, "[1,2]"), (long, f"[{'1,' * starts.MAX_LINE}1]")]:
        ended.outcome, ended.result = "done", result
        begun.add(ended)
    begun.close()
    found = [(each.id, each.outcome, each.result) for each in Starts(path).left()]
    assert found == [("short", "done", "[1,2]"), ("long", "done", None)]


def test_a_line_that_is_not_whole_behind_a_command_leaves_its_start(path: Path) -> None:
    begun = Starts(path)
    begun.add(record("a"))
    with path.open("ab") as file:
        file.write(b'["a","k3f9",1.5,')
    begun.close()
    (found,) = Starts(path).left()
    assert (found.id, found.outcome) == ("a", None)


@pytest.mark.parametrize("torn", [b'["c","k3', b"\xff\xfe", b"[]", b"\0\0\0\0"])
def test_a_line_that_is_not_whole_is_passed_over(path: Path, torn: bytes) -> None:
    """A power failure can leave such lines."""
    begun = Starts(path)
    begun.add(record("a"))
    with path.open("ab") as file:
        file.write(torn + b"\n")
    begun.add(record("b"))
    begun.close()
    assert left(path) == ["a", "b"]


def test_what_the_journal_has_is_dropped_once_it_is_much(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "MAX_SIZE", 1000)
    begun = Starts(path)
    runs = record("runs")
    begun.add(runs)
    for number in range(100):
        ended = record(str(number))
        begun.add(ended)
        begun.remove([ended])
        assert path.stat().st_size < 1200
    assert "runs" in left(path)
    begun.remove([runs])
    begun.rewrite()
    assert left(path) == []
    begun.add(record("c"))
    begun.close()
    assert left(path) == ["c"]


@pytest.mark.parametrize("sync", [False, True])
def test_a_new_file_holds_what_still_runs(path: Path, sync: bool) -> None:
    begun = Starts(path, sync=sync)
    begun.add(record("a"))
    begun.rewrite([record("also"), record(None)])
    begun.add(record("b"))
    begun.close()
    begun.close()
    assert left(path) == ["a", "also", "b"]


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Starts(tmp_path / "file" / "starts")
