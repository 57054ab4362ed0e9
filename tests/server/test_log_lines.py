"""How a log line is written, for a controller manager and for people."""

from __future__ import annotations

import logging
import re

import pytest

from artiq_link.server.log_lines import (
    MAX_LOG_LINE,
    MAX_LOG_LINES,
    MAX_LOG_TEXT,
    ArtiqFormatter,
    TimedFormatter,
)


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("dds.lock", logging.ERROR, "", 0, message, None, info)


def test_a_controller_manager_is_told_how_many_lines_a_message_has() -> None:
    """It takes them together (`sipyco.logs`), none over 64 KiB."""
    write = ArtiqFormatter().format
    assert write(record("lost: no light")) == "ERROR:dds.lock:lost: no light"
    assert write(record("lost\nno light\n")) == "ERROR<3>:dds.lock:lost\nno light\n"
    lines = write(record("\U000e0001" * 15_000)).split("\n")
    assert [len(line) for line in lines] == [MAX_LOG_LINE]
    assert MAX_LOG_LINE * 4 + len("<99999>") < 1 << 16


def test_people_see_a_messages_time_and_where_it_ends() -> None:
    """A line of somebody's text that looks like another message is indented."""
    forged = "2026-03-01 09:30:00,123 ERROR:root:forged"
    lines = TimedFormatter().format(record(f"lost\n{forged}")).split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR:dds.lock:lost", lines[0])
    assert lines[1:] == [f"    {forged}"]


def test_a_traceback_keeps_its_lines_and_commands_no_terminal() -> None:
    """Whoever has logged it: a command's exception may have a client's text."""
    try:
        raise RuntimeError("two\nlines\x1b[2J\x07")
    except RuntimeError as error:
        lines = ArtiqFormatter().format(record("output\rfailed", error)).split("\n")
    assert lines[0] == f"ERROR<{len(lines)}>:dds.lock:output\\rfailed"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-2:] == ["RuntimeError: two", r"lines\x1b[2J\x07"]


def test_of_a_long_message_beginning_and_end_are_written() -> None:
    lines = TimedFormatter().format(record("a" * 40_000 + "\nthe end")).split("\n    ")
    assert lines[0].endswith("a" * 100)
    assert re.fullmatch(r"\.\.\. \(\d+ more characters\)", lines[1])
    assert lines[-1] == "the end"
    assert sum(map(len, lines)) < MAX_LOG_TEXT + 100


def test_a_message_has_no_thousands_of_lines() -> None:
    written = ArtiqFormatter().format(record("failed", ValueError("x\n" * 1_000)))
    lines = written.split("\n")
    assert lines[0] == f"ERROR<{len(lines)}>:dds.lock:failed"
    assert len(lines) == MAX_LOG_LINES + 1
    assert re.fullmatch(r"\.\.\. \(\d+ more lines\)", lines[MAX_LOG_LINES // 2])


@pytest.mark.parametrize("is_cause", [False, True])
def test_megabytes_in_an_exception_are_not_looked_through(
    monkeypatch: pytest.MonkeyPatch, is_cause: bool
) -> None:
    """They are a client's: `float` repeats what it cannot read."""
    monkeypatch.setattr(logging.Formatter, "formatException", lambda *_: pytest.fail("too slow"))
    try:
        try:
            float("x\n" * 10_000)
        except ValueError as error:
            if not is_cause:
                raise
            raise RuntimeError("no number") from error
    except (ValueError, RuntimeError) as error:
        lines = ArtiqFormatter().format(record("failed", error)).split("\n")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1].startswith(
        "RuntimeError: no" if is_cause else "ValueError: could not convert"
    )
    assert len(lines[-1]) < 300
