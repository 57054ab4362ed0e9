"""Loggers that show what others sent and do not obey it, whoever has set logging up.

A client's text may hold new lines that look like lines of the log, escape sequences that a
terminal obeys, and megabytes. What stands for a ``%s`` is therefore written on one line, with
what cannot be printed as escapes, and cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from .text import escaped, shown


def get_logger(name: str) -> logging.Logger:
    """The logger of a module of this package; to be asked for with its ``__name__``."""
    logger = logging.getLogger(name)
    logger.addFilter(_show_arguments)
    return logger


class Lines:
    """An argument of a log line whose own lines stay lines, such as a traceback."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return escaped(self._text, but="\n")


class _Shown:
    """Any other argument; it is made text when the line is written, and not before."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return self._shown_as(str)

    def __repr__(self) -> str:
        return self._shown_as(repr)

    def _shown_as(self, convert: Callable[[object], str]) -> str:
        try:
            return shown(convert(self._value))
        except Exception:  # noqa: BLE001 a bug in its class, or an integer of thousands of digits
            return f"({type(self._value).__name__})"


def _show_arguments(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(each if _is_plain(each) else _Shown(each) for each in record.args)
    return True


def _is_plain(value: object) -> bool:
    """Whether it needs no care: ``%d`` and ``%g`` want numbers."""
    if isinstance(value, int):
        return value.bit_length() <= 64
    return isinstance(value, float | Lines)
