"""One tree of errors: what can go wrong with an exchange, each with its code on the wire.

    ExchangeError
    ├── Malformed           malformed
    ├── TooLarge            too_large
    ├── UnknownCommand      unknown_command
    ├── InvalidParameter    invalid_parameter
    ├── OutOfRange          out_of_range
    ├── Unauthorized        unauthorized
    ├── Leased              leased
    ├── Stale               stale
    ├── Restarted           restarted
    ├── Expired             expired
    ├── Busy                busy
    ├── ShuttingDown        shutting_down
    ├── TimedOut            timeout
    ├── Aborted             aborted
    ├── UnknownOutcome      unknown_outcome
    ├── InstrumentError     instrument_error
    │   ├── HardwareLost       instrument_error
    │   └── HardwareRestarted  instrument_error
    └── InternalError       internal_error

An instrument raises `OutOfRange`, `InvalidParameter`, `InstrumentError` and its two kinds; the
link raises the others. Any other exception that leaves a command becomes an `InternalError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from .text import nearest_hint, sentence_of, without_folders, writable

_Error = TypeVar("_Error", bound=BaseException)


class ExchangeError(Exception):
    """An exchange failed.

    `str(error)` is the sentence that the user reads, `where` names the parameter that caused it
    (``"frequency"``, ``"steps[2].dwell"``), and `code` is the word that programs compare.
    """

    code = "internal_error"

    def __init__(self, sentence: object = "", where: str | None = None) -> None:
        # A driver's own exception may be given in the place of a sentence.
        super().__init__(writable(str(sentence)) or type(self).__name__)
        self.where = None if where is None else writable(str(where))


class Malformed(ExchangeError):
    """What came is not a request of its dialect; nothing was executed."""

    code = "malformed"


class TooLarge(ExchangeError):
    """The request is over the server's limit; nothing was executed."""

    code = "too_large"


class UnknownCommand(ExchangeError):
    """No instrument has such a command."""

    code = "unknown_command"

    @classmethod
    def nearest(cls, name: str, known: Iterable[str]) -> UnknownCommand:
        """The error for the command `name`, with the name among `known` that is most like it."""
        return cls(f"there is no command {name!r:.60}{nearest_hint(name, known)}")


class InvalidParameter(ExchangeError):
    """A parameter is missing, unexpected or of the wrong type."""

    code = "invalid_parameter"


class OutOfRange(ExchangeError):
    """A parameter is outside its declared or configured limits."""

    code = "out_of_range"


class Unauthorized(ExchangeError):
    """The client did not show that it may connect."""

    code = "unauthorized"


class Leased(ExchangeError):
    """Another client holds the instrument; nothing was executed."""

    code = "leased"


class Stale(ExchangeError):
    """The lease of the request's number has ended; nothing was executed."""

    code = "stale"


class Restarted(ExchangeError):
    """The server has started anew since the client's last exchange, or hardware that it uses was
    lost and came back; nothing was executed."""

    code = "restarted"


class Expired(ExchangeError):
    """The request's time was up before the command could start; it was not executed."""

    code = "expired"


class Busy(ExchangeError):
    """The instrument's queue, or the server, is full; nothing was executed."""

    code = "busy"


class ShuttingDown(ExchangeError):
    """The server is stopping; nothing was executed."""

    code = "shutting_down"


class TimedOut(ExchangeError):
    """The command started and has not finished in the request's time."""

    code = "timeout"


class Aborted(ExchangeError):
    """Somebody ended it with `link.abort`, before it started or while it ran."""

    code = "aborted"


class UnknownOutcome(ExchangeError):
    """A repeated request, which is not executed again, and whose outcome is not known."""

    code = "unknown_outcome"


class InstrumentError(ExchangeError):
    """The hardware said no or does not answer; the command was executed perhaps."""

    code = "instrument_error"


class HardwareLost(InstrumentError):
    """The hardware is not there any more; the link opens it again."""


class HardwareRestarted(InstrumentError):
    """The hardware has lost what it was set to, by a failure of its power for one.

    Raised instead of sending what was asked for. Who relies on what was set before is refused from
    then on (`Restarted`).
    """


class InternalError(ExchangeError):
    """The command has a bug; its traceback is in the server's log."""

    code = "internal_error"


def error_of(code: str, sentence: str, where: str | None = None) -> ExchangeError:
    """The error that a code stands for, as it was once told."""
    kinds = {kind.code: kind for kind in ExchangeError.__subclasses__()}
    error = kinds.get(code, ExchangeError)(sentence, where)
    error.code = code  # a laboratory may have some of its own
    return error


def failure_of(error: BaseException) -> InternalError:
    """What a client is told of an exception that is no `ExchangeError`, which is its cause."""
    failure = InternalError(without_folders(sentence_of(error)))
    failure.__cause__ = bare(error)
    return failure


def bare(error: _Error) -> _Error:
    """The error without the frames that it came through, nor what it came from.

    They hold the request, and so its own answer: a circle, which keeps the memory of large
    requests until the garbage collector comes.
    """
    error.__context__ = None
    return error.with_traceback(None)
