"""The log's and the debug output's view of exchanges: two observers."""

from __future__ import annotations

from collections.abc import Callable
from logging import INFO, WARNING
from typing import Any

from ..loggers import get_logger
from ..values import encode
from .exchange import LATE, Exchange, Moment, observes
from .sessions import SIGN_IN

MAX_SHOWN = 10_000
"""Characters of a message that debug shows; nobody reads more, and a controller manager stops
reading at a line of 64 KiB."""

logger = get_logger(__name__)


@observes(Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE, Moment.LATE)
def log_exchange(exchange: Exchange, moment: Moment) -> None:
    """Log one line for each exchange: who asked for what, and what became of it in which time.

    ``done``, ``failed`` and ``refused`` are what the journal calls it: what has started was not
    refused, whatever its code is, and may have been executed in part.
    A warning where it came to its end after its client was told ``timeout`` or had gone. What its
    wire has refused is not logged here (see `refusals`).
    """
    level = WARNING if moment is LATE else INFO
    if not logger.isEnabledFor(level) or exchange.request.refusal is not None:
        return
    told = exchange.told if moment is Moment.OVERDUE else exchange.outcome
    if told is None or (moment is Moment.FINISHED and exchange.is_too_late):
        return  # LATE follows
    text = "%s: %s"
    arguments: list[object] = [exchange.client.describe(), exchange.request.command_id]
    for shape, value in ((", RID %s", exchange.rid), (", owner %s", exchange.owner)):
        if value is not None:
            text, arguments = text + shape, [*arguments, value]
    if told.error is None:
        text += ": done in %s"
        arguments.append(_duration(exchange))
    elif moment is Moment.OVERDUE or exchange.state is Moment.REFUSED:
        text += ": told %s: %s" if moment is Moment.OVERDUE else ": refused, %s: %s"
        arguments += [told.error.code, told.error]
    else:
        text += ": failed after %s, %s: %s"
        arguments += [_duration(exchange), told.error.code, told.error]
    if moment is LATE:
        text += ", after its client had gone" if exchange.abandoned else ", after its time was up"
    logger.log(level, text, *arguments)


def _duration(exchange: Exchange) -> str:
    """The time from its first byte to its outcome, with its waiting."""
    assert exchange.finished_at is not None  # noqa: S101 it has an outcome
    seconds = exchange.finished_at - exchange.arrived
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


_TOLD = frozenset({Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE})


class DebugOutput:
    """Shows each message received and sent, as ``--debug`` asks, by `write`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    @observes(Moment.RECEIVED, Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE)
    def note(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: a message has come, or is sent."""
        peer = exchange.client.peer
        if moment is Moment.RECEIVED and exchange.request.refusal is None:
            self._show(f"received from {peer}", exchange.request.data)
        elif moment in _TOLD and not exchange.abandoned:
            told = exchange.told or exchange.outcome
            if told is not None and not (moment is Moment.FINISHED and exchange.told is not None):
                message = told.to_object(exchange.request)
                if exchange.request.command_id == SIGN_IN and told.error is None:
                    message["result"] = "a session, which is not printed"
                self._show(f"sent to {peer}", message)

    def _show(self, what: str, message: dict[str, Any]) -> None:
        try:
            text = encode(message, spaced=True).decode()
        except (TypeError, ValueError, RecursionError):
            text = repr(message)  # PYON carries what JSON does not
        if len(text) > MAX_SHOWN:
            text = f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
        self._write(f"{what}: {text}")
