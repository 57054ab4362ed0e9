"""What is kept of an exchange: a `Record`, its bounded texts, and the reply that it was."""

from __future__ import annotations

import hashlib
import reprlib
import time
from typing import Any

import msgspec
import numpy as np

from ..errors import Aborted, UnknownOutcome, error_of
from ..text import writable
from ..values import decode, encode
from .exchange import Exchange, Moment
from .messages import Reply

DONE, FAILED, REFUSED = "done", "failed", "refused"
"""What an exchange came to. Of one that has started and not ended, a record says None."""

MAX_PARAMETERS = 16 * 1024
"""Characters that are kept of a request's parameters."""

MAX_RESULT = 1024 * 1024
"""Characters of the longest result that is kept: a `link.batch` of 10,000 settings."""

MAX_ARRAY = 64 * 1024
"""Bytes of the largest array that is kept: to write it takes a fifth as long as its exchange."""

_MAX_RID = 2**63
"""Of a whole number in SQLite; ARTIQ counts from 0."""

MAX_MEMBERS = 10_000
"""Members of the longest list or object that is written to find out how many characters it has."""

HASHED = 128 * 1024
"""Bytes that are hashed at each end of an array: all of one with up to twice as many. Hashing all
of 8 MB would take as long as sending them does."""


class Record(msgspec.Struct, array_like=True, eq=False, gc=False):
    """One exchange, as the journal keeps it: the members are the columns of its table."""

    id: str | None
    """The client's name for it."""
    boot: str
    """The start of the server in which it came."""
    received: float
    """When its first byte came, in s since the epoch."""
    peer: str
    dialect: str
    instrument: str | None
    command: str
    parameters: str
    """JSON; see `parameters_text`."""
    owner: str | None = None
    rid: int | None = None
    outcome: str | None = None
    code: str | None = None
    error: str | None = None
    where: str | None = None
    result: str | None = None
    """JSON; None where it was too large to be kept."""
    told: str | None = None
    """What the client was told in place of the outcome: ``timeout``, or ``nothing`` where it had
    gone."""
    queue: float | None = None
    """Seconds from its first byte to its command's start, or to its refusal."""
    duration: float | None = None
    """Seconds from its command's start to its end."""

    @property
    def may_come_again(self) -> bool:
        """Whether it was refused, and nobody wanted it to end: its id may be executed yet."""
        return self.outcome == REFUSED and self.code != Aborted.code

    @property
    def size(self) -> int:
        """About how much memory its texts take."""
        return 500 + len(self.parameters) + len(self.result or "") + len(self.error or "")


def record_of(exchange: Exchange, boot: str, instrument: str | None) -> Record:
    """What is known of an exchange before its command starts."""
    request, link, client = exchange.request, exchange.request.link, exchange.client
    return Record(
        link.id,
        boot,
        time.time() - (time.monotonic() - exchange.arrived),
        client.peer,
        client.dialect,
        instrument,
        writable(request.command_id),
        parameters_text(request.parameters),
        link.owner,
        link.rid if link.rid is None or -_MAX_RID < link.rid < _MAX_RID else None,
    )


def complete(record: Record, exchange: Exchange) -> None:
    """Enter what an exchange that has ended has come to."""
    assert exchange.outcome is not None  # noqa: S101
    error = exchange.outcome.error
    if error is None:
        record.result = result_text(exchange.outcome.result)
        record.outcome = DONE
    else:
        record.code, record.where = error.code, error.where
        record.error = str(error)[:MAX_PARAMETERS]
        record.outcome = REFUSED if exchange.state is Moment.REFUSED else FAILED
    if exchange.told is not None and exchange.told.error is not None:
        record.told = exchange.told.error.code
    elif exchange.abandoned:
        record.told = "nothing"
    ended, started = exchange.finished_at or exchange.arrived, exchange.started_at
    record.queue = (ended if started is None else started) - exchange.arrived
    record.duration = None if started is None else ended - started


def listed(record: Record) -> dict[str, Any]:
    """A record as it is listed: what there is of it, its JSON as values."""
    members = {**msgspec.structs.asdict(record), "outcome": record.outcome or "unknown"}
    entry = {name: value for name, value in members.items() if value is not None}
    for name in ("parameters", "result"):
        if name in entry:
            entry[name] = msgspec.json.decode(entry[name])
    return entry


def reply_of(record: Record) -> Reply:
    """The recorded outcome as the reply that it was.

    Raises `UnknownOutcome` where it is not known, or the result was too large to be kept.
    """
    if record.outcome is None:
        raise UnknownOutcome(
            f"{record.command} was running when the server ended; whether it was executed is not "
            "known: check the instrument before sending it again"
        )
    if record.outcome != DONE:
        return Reply(error=error_of(record.code or "", record.error or "", record.where))
    if record.result is None:
        raise UnknownOutcome(
            f"{record.command} was executed and succeeded, but its result was too large to be "
            "kept: where it is still wanted, ask under another id"
        )
    return Reply(decode(record.result.encode()))


def parameters_text(parameters: dict[str, Any]) -> str:
    """Parameters as JSON of at most `MAX_PARAMETERS` characters.

    In the place of an array stand its shape, dtype and a hash of its bytes, in that of what is
    long how it begins.
    """
    for value in parameters.values():
        if type(value) not in _SHORT_TYPES and _is_long(value):
            break
    else:
        try:
            text = _PARAMETERS.encode(parameters).decode()
            if len(text) <= MAX_PARAMETERS:
                return text
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass  # PYON carries what JSON does not
    shown = list(parameters.items())[:_MAX_SHOWN]
    return encode(
        {writable(str(name)[:_MAX_NAME]): _beginning(value) for name, value in shown}
    ).decode()


def result_text(result: Any) -> str | None:
    """A result as JSON, arrays in PYON's notation; None where it is too large to be kept."""
    try:
        if type(result) not in _SHORT_TYPES and _is_large(result):
            return None
        for value in result.values() if isinstance(result, dict) else ():
            if type(value) not in _SHORT_TYPES and _is_large(value):
                return None
        text = encode(result)
    except Exception:  # noqa: BLE001 a class of a lab's own may raise anything, even from its length
        return None
    return text.decode() if len(text) <= MAX_RESULT else None


_SHORT_TYPES = frozenset({bool, float, int, type(None)})
"""What nearly all parameters and results are; nothing of these is long."""


def _is_long(value: Any) -> bool:
    """Whether it is sure that something is too long, so that it need not be written."""
    if isinstance(value, (list, tuple, dict)):
        return len(value) > MAX_MEMBERS
    return isinstance(value, (str, bytes, bytearray)) and len(value) > MAX_RESULT


def _is_large(value: Any) -> bool:
    return _is_long(value) or (isinstance(value, np.ndarray) and value.nbytes > MAX_ARRAY)


def _beginning(value: Any) -> Any:
    return _in_short(value) if isinstance(value, np.ndarray) else writable(_SHORT.repr(value))


def _in_short(value: Any) -> Any:
    """What stands for an array in recorded parameters."""
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        ends = [data] if len(data) <= 2 * HASHED else [data[:HASHED], data[-HASHED:]]
        return {"shape": value.shape, "dtype": value.dtype.str, "sha1": _sha1(ends)}
    if isinstance(value, np.generic):
        return value.item()
    return _beginning(value)


def _sha1(parts: list[memoryview]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


_PARAMETERS = msgspec.json.Encoder(enc_hook=_in_short)

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_MAX_SHOWN, _MAX_NAME = 64, 60
"""Where parameters are too long: how many of them are shown, and how much of their names."""
