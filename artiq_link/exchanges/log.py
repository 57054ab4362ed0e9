"""The log's and the debug output's view of exchanges: two observers."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from ..loggers import get_logger
from ..values import encode
from .exchange import Exchange, Moment, observes

MAX_SHOWN = 10_000
"""Characters of a message that debug prints; nobody reads more, and a controller manager stops
reading at a line of 64 KiB."""

logger = get_logger(__name__)


@observes(Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE, Moment.LATE)
def log_moment(exchange: Exchange, moment: Moment) -> None:
    """Log what the keeper of a server should know: refusals, failures, and what ended too late."""
    client, name = exchange.client, exchange.request.command_id
    if moment in _TOLD:
        reply = exchange.told if moment is Moment.OVERDUE else exchange.outcome
        if reply is not None and reply.error is not None and not exchange.abandoned:
            if exchange.request.refusal is not None:
                what = f"{client.dialect}: {reply.error.code}"
                logger.warning("%s: %s: %s", client, what, reply.error)
            else:
                logger.info("%s: %s: %s", client, reply.error.code, reply.error)
        elif moment is Moment.REFUSED and exchange.abandoned:
            logger.info("%s was not started: its client has gone", name)
    elif moment is Moment.LATE and exchange.outcome is not None:
        error = exchange.outcome.error
        outcome = "succeeded" if error is None else f"failed: {error}"
        logger.warning("%s %s after its client had been answered or had gone", name, outcome)


_TOLD = frozenset({Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE})


@observes(Moment.RECEIVED, Moment.REFUSED, Moment.FINISHED, Moment.OVERDUE)
def print_messages(exchange: Exchange, moment: Moment) -> None:
    """Print each message received and sent, as ``--debug`` asks."""
    peer = exchange.client.peer
    if moment is Moment.RECEIVED and exchange.request.refusal is None:
        _print(f"received from {peer}", exchange.request.data)
    elif moment in _TOLD and not exchange.abandoned:
        told = exchange.told or exchange.outcome
        if told is not None and not (moment is Moment.FINISHED and exchange.told is not None):
            _print(f"sent to {peer}", told.to_object(exchange.request))


def _print(what: str, message: dict[str, Any]) -> None:
    try:
        text = encode(message, spaced=True).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(message)  # PYON carries what JSON does not
    if len(text) > MAX_SHOWN:
        text = f"{text[:MAX_SHOWN]}... ({len(text)} characters)"
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
        print(f"{what}: {text}", flush=True)
