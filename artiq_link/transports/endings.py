"""How a reply ends: what of all that a device sends is its answer, and whether it is whole."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass


class Ending(ABC):
    """How a reply ends. Its methods are pure: all that has come since the ask goes in.

    What stands behind the end of a reply belongs to no reply, and is thrown away.
    """

    quiet: float | None = None
    """Seconds of silence after which `after_silence` is asked; None where silence says nothing."""

    @abstractmethod
    def reply_in(self, heard: bytearray) -> bytes | None:
        """The reply, without its terminator; None where more has to come.

        Raises ValueError, with what was expected, for what can be no reply.
        """

    def after_silence(self, heard: bytearray) -> bytes | None:
        """The reply, where nothing has come for `quiet` seconds; None where more has to come."""
        return None


@dataclass(frozen=True)
class Line(Ending):
    """A line, which the reply is without its terminator."""

    terminator: bytes = b"\n"
    skip_blank: bool = False
    """Whether lines that are empty are no replies: some makes send one behind each reply."""

    def reply_in(self, heard: bytearray) -> bytes | None:
        start = 0
        while self.skip_blank and heard.startswith(self.terminator, start):
            start += len(self.terminator)
        end = heard.find(self.terminator, start)
        return None if end < 0 else bytes(heard[start:end])


@dataclass(frozen=True)
class Lines(Ending):
    """So many lines; the reply has the terminators between them, and not the last one."""

    count: int
    terminator: bytes = b"\n"

    def reply_in(self, heard: bytearray) -> bytes | None:
        lines = heard.split(self.terminator, self.count)
        return self.terminator.join(lines[: self.count]) if len(lines) > self.count else None


@dataclass(frozen=True)
class LinesUntil(Ending):
    """Lines until one that begins with `last`; the reply has them all, this one too.

    So for a device that says more or less before its ``ok``, or prints a list with an end.
    """

    last: bytes
    terminator: bytes = b"\n"

    def reply_in(self, heard: bytearray) -> bytes | None:
        *lines, _ = heard.split(self.terminator)
        for index, line in enumerate(lines):
            if line.startswith(self.last):
                return self.terminator.join(lines[: index + 1])
        return None


@dataclass(frozen=True)
class Length(Ending):
    """So many bytes."""

    count: int

    def reply_in(self, heard: bytearray) -> bytes | None:
        return None if len(heard) < self.count else bytes(heard[: self.count])


@dataclass(frozen=True)
class Silence(Ending):
    """Something, and then nothing for so many seconds."""

    seconds: float
    after: bytes = b""
    """What the reply has to end with, such as ``b"\\r\\n"``; it is taken off."""

    @property
    def quiet(self) -> float:  # type: ignore[override]  # a constant elsewhere
        return self.seconds

    def reply_in(self, heard: bytearray) -> bytes | None:
        return None

    def after_silence(self, heard: bytearray) -> bytes | None:
        is_whole = heard and heard.endswith(self.after)
        return bytes(heard.removesuffix(self.after)) if is_whole else None


class _Checked(Ending):
    """A reply of which more is known than its end: any other is an error with its words."""

    ending: Ending
    """How it ends, whatever it is."""

    @property
    def quiet(self) -> float | None:  # type: ignore[override]
        return self.ending.quiet

    def reply_in(self, heard: bytearray) -> bytes | None:
        return self._checked(self.ending.reply_in(heard))

    def after_silence(self, heard: bytearray) -> bytes | None:
        return self._checked(self.ending.after_silence(heard))

    def _checked(self, reply: bytes | None) -> bytes | None:
        if reply is not None:
            self._check(reply)
        return reply

    @abstractmethod
    def _check(self, reply: bytes) -> None:
        """Raise ValueError, with what was expected, for another reply."""


@dataclass(frozen=True)
class Exactly(_Checked):
    """This reply and no other, such as ``Exactly(b"ok", Line())``."""

    reply: bytes
    ending: Ending

    def _check(self, reply: bytes) -> None:
        if reply != self.reply:
            raise ValueError(repr(self.reply.decode("latin-1")))


@dataclass(frozen=True)
class Like(_Checked):
    """A reply that `pattern` matches as a whole."""

    pattern: re.Pattern[bytes]
    expected: str
    """What sentences call it: ``a number``."""
    ending: Ending

    def _check(self, reply: bytes) -> None:
        if self.pattern.fullmatch(reply) is None:
            raise ValueError(self.expected)


@dataclass(frozen=True)
class Block(Ending):
    """A definite block, ``#`` and the number of digits, the length in them, and as many bytes.

    IEEE 488.2, 8.7.9. The reply is what is in it. A terminator follows, whose absence is no error
    in what has come already: it is thrown away with the rest.
    """

    def reply_in(self, heard: bytearray) -> bytes | None:
        if not heard:
            return None
        digits = heard[1] - ord("0") if len(heard) > 1 else 1
        length = bytes(heard[2 : 2 + digits]) if 1 <= digits <= 9 else b"?"
        if heard[:1] != b"#" or not (length or b"0").isdigit():
            raise ValueError("a block such as '#15hello'")
        start = 2 + digits
        if len(heard) < start:
            return None
        end = start + int(length)
        return None if len(heard) < end else bytes(heard[start:end])
