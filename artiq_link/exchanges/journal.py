"""The journal: what became of every exchange, and so that none is executed twice.

It is an observer of exchanges and a guard before them. What has an id is known in memory from the
moment it comes, in the file of started commands before its command starts, and in the journal's
file soon after it ended: a thread of its own writes that behind, in batches. Where there is no
file, or it fails, memory alone goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ..errors import Malformed, UnknownOutcome
from ..loggers import get_logger
from ..text import sentence_of
from .exchange import Exchange, Moment, Observer, observes
from .journal_file import FAILURES, MAX_AGE, MAX_SIZE, Filter, JournalFile
from .lease_table import Lease
from .messages import LinkMembers, Reply, Request
from .records import DONE, Record, complete, parameters_text, record_of, reply_of
from .registry import Registry

MAX_KNOWN = 10_000
"""Ended exchanges with ids that memory knows, the newest."""

MAX_MEMORY = 32 * 1024 * 1024
"""Bytes of them, about."""

MAX_UNWRITTEN = 20_000
"""Exchanges that wait to be written: those of some seconds, and a bound where the disk is full."""

MAX_UNWRITTEN_MEMORY = 128 * 1024 * 1024
"""Bytes of them, about; beyond these no long result is kept. The exchange is, and not executed
again."""

SHORT = 1024
"""Characters of the longest result that is kept in any case."""

DELAY = 0.02
"""Seconds that are waited for more to write, so that a hundred exchanges cost one transaction."""

TIDY_TIME = 60.0
"""Seconds between two looks at what is too old or too much."""

LOG_ROWS = 2000
"""Rows after which the write-ahead log is emptied: some megabytes."""

RETRY_TIME = 10.0
"""Seconds between two tries to write where that has failed."""

CLOSING_TIME = 5.0
"""Seconds that a stop gives to the last rows."""

logger = get_logger(__name__)


class _Open:
    """An exchange with an id that has not ended, and who waits for the same."""

    __slots__ = ("exchange", "waiting")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.waiting: list[asyncio.Future[Reply | None]] = []


class Journal:
    """What became of the exchanges of a registry's commands.

    It is kept in the file at `path`, which is opened here; without one, and where it cannot be
    opened, in memory. With `sync` a command starts when its line is on the disk itself.
    """

    def __init__(
        self,
        registry: Registry,
        path: Path | None = None,
        *,
        sync: bool = False,
        max_age: float = MAX_AGE,
        max_size: int = MAX_SIZE,
    ) -> None:
        self.boot = secrets.token_hex(4)
        """The name of this start of the server."""
        self._registry = registry
        self._path = path
        self._problem: str | None = None
        self._lost = 0
        self._known_since = time.monotonic()
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._ended: OrderedDict[str, Record] = OrderedDict()
        self._memory = 0
        self._running: dict[Exchange, Record] = {}
        self._unwritten: deque[Record] = deque()
        self._unwritten_memory = 0
        self._unwritten_settings: dict[str, bytes] = {}
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._file: JournalFile | None = None
        self._thread: threading.Thread | None = None
        if path is None:
            return
        try:
            self._file = JournalFile(path, sync=sync, max_age=max_age, max_size=max_size)
        except FAILURES as error:
            self._fail("cannot be opened", error)
            return
        self._thread = threading.Thread(target=self._write_behind, name="journal", daemon=True)
        self._thread.start()

    def recall(self, exchange: Exchange) -> Reply | asyncio.Future[Reply | None] | None:
        """As a guard: what became of a request that has come before, or will become of it.

        None where it has not come, or was refused, so that it may be executed. A future gives
        None where the exchange that was waited for has been refused meanwhile. Raises `Malformed`
        where the id is another request's, and `UnknownOutcome`. To be called on the event loop.
        """
        request = exchange.request
        if not self._registry.acts(request.command_id):
            return None
        name = request.link.id
        if not self._is_kept(name):
            return None
        exchange.client.peer  # noqa: B018 looked up on the event loop, before it goes
        if name is None:
            return None
        with self._lock:
            known = self._open.get(name)
            if known is not None:
                first = known.exchange.request
                _compare(exchange, first.command_id, parameters_text(first.parameters))
                future: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
                known.waiting.append(future)
                return future
        record = self._find(name)
        if record is None or record.may_come_again:
            self._open[name] = _Open(exchange)
            return None
        _compare(exchange, record.command, record.parameters)
        return reply_of(record)

    @property
    def observers(self) -> list[Observer]:
        """Who is to be told of every exchange. Only a file has to know before a command starts."""
        return [self.note_end] if self._file is None else [self.note_start, self.note_end]

    @observes(Moment.RUNNING)
    def note_start(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: be told that a command starts."""
        if not self._registry.acts(exchange.request.command_id):
            return
        record = self._running[exchange] = self._record_of(exchange)
        self._write_line(record)

    @observes(Moment.FINISHED, Moment.REFUSED)
    def note_end(self, exchange: Exchange, moment: Moment) -> None:
        """As an observer: be told what an exchange has come to."""
        name = exchange.request.link.id
        if not self._is_kept(name):
            return
        started = self._running.pop(exchange, None)
        if started is None:
            is_repeat = moment is Moment.FINISHED and exchange.started_at is None
            if is_repeat or not self._registry.acts(exchange.request.command_id):
                return
        record = started or self._record_of(exchange)
        complete(record, exchange)
        if self._unwritten_memory > MAX_UNWRITTEN_MEMORY and len(record.result or "") > SHORT:
            record.result = None
        if started is not None:
            self._write_line(record)
        waiting: list[asyncio.Future[Reply | None]] = []
        if name is not None:
            with self._lock:
                known = self._open.get(name)
                if known is not None and known.exchange is exchange:
                    # At no moment may it be in neither of both.
                    self._remember(name, record)
                    waiting = self._open.pop(name).waiting
        if waiting:
            waiting[0].get_loop().call_soon_threadsafe(_resolve, waiting, record)
        if self._file is None:
            return
        if len(self._unwritten) >= MAX_UNWRITTEN:
            self._lost += 1
            return
        with self._lock:
            self._unwritten.append(record)
            self._unwritten_memory += record.size
        if not self._wake.is_set():
            self._wake.set()

    def _is_kept(self, name: str | None) -> bool:
        """Whether anybody can ask for an exchange of this id: in memory, ids alone are known."""
        return name is not None or self._file is not None

    def unended(self, name: str) -> Exchange | None:
        """The exchange of this id, while it waits or runs."""
        known = self._open.get(name)
        return None if known is None else known.exchange

    def outcome(self, name: str) -> dict[str, Any]:
        """What became of the request with this id, as `link.outcome` tells it."""
        told: dict[str, Any]
        if name in self._open:
            request = self._open[name].exchange.request
            return {"outcome": "running", "command_id": request.command_id}
        record = self._find(name)
        if record is None:
            told = {"outcome": "never_arrived"}
            if self._is_in_memory:
                told["known_for"] = max(0.0, time.monotonic() - self._known_since)
            return told
        told = {
            "outcome": record.outcome or "unknown",
            "command_id": record.command,
            "received": record.received,
        }
        if record.outcome is not None and (record.outcome != DONE or record.result is not None):
            request = Request(record.command, {}, LinkMembers(id=name))
            told["reply"] = reply_of(record).to_object(request)
        if record.told is not None:
            told["told"] = record.told
        return told

    def select(self, which: Filter, limit: int) -> list[tuple[int, Record]]:
        """The recorded exchanges, with their numbers; empty where there is no file.

        May take long. Raises one of `FAILURES` where the file cannot be read.
        """
        if self._file is None:
            return []
        self._write(self._file)
        return self._file.select(which, limit)

    def leases(self) -> list[Lease]:
        """The last lease of each instrument, as far as the file has them."""
        if self._file is None:
            return []
        try:
            return self._file.leases.all()
        except FAILURES as error:
            self._fail("cannot be read", error)
            return []

    def keep_lease(self, lease: Lease) -> None:
        """Write a lease to the file, if there is one; may take long."""
        if self._file is None:
            return
        try:
            self._file.leases.keep(lease)
        except FAILURES as error:
            self._fail("cannot be written", error)

    def settings(self) -> dict[str, bytes]:
        """What each instrument was set to last, in JSON, as the file had it at the start."""
        if self._file is None:
            return {}
        try:
            return self._file.settings.all()
        except FAILURES as error:
            self._fail("cannot be read", error)
            return {}

    def note_settings(self, instrument: str, settings: bytes) -> None:
        """Have the file keep what an instrument is set to now."""
        if self._file is not None:
            with self._lock:
                self._unwritten_settings[instrument] = settings
            self._wake.set()

    def describe(self) -> dict[str, Any]:
        """Where the journal is kept, and what is wrong with it, as `link.status` shows it."""
        return {
            "kept": "in memory" if self._is_in_memory else "in a file",
            "problem": self._problem,
            "lost": self._lost,
        }

    @property
    def has_file(self) -> bool:
        """Whether there is a file, also where it fails at present."""
        return self._file is not None

    @property
    def _is_in_memory(self) -> bool:
        return self._file is None or self._problem is not None

    @property
    def unwritten(self) -> int:
        """How many exchanges wait to be written to the file."""
        return len(self._unwritten)

    @property
    def size(self) -> int | None:
        """Bytes of the file and of what SQLite keeps beside it; None where there is none."""
        if self._file is None or self._path is None:
            return None
        sizes = 0
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            with contextlib.suppress(OSError):
                sizes += path.stat().st_size
        return sizes

    def close(self) -> None:
        """Write what is left, and close the file; may take `CLOSING_TIME`."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSING_TIME)

    def _write_line(self, record: Record) -> None:
        """Have the death of the program leave a line of a command that has started, or ended."""
        if record.id is not None and self._file is not None and self._problem is None:
            try:
                self._file.starts.add(record)
            except OSError as error:
                self._fail("cannot be written", error)

    def _remember(self, name: str, record: Record) -> None:
        former = self._ended.pop(name, None)
        self._ended[name] = record
        self._memory += record.size - (0 if former is None else former.size)
        if len(self._ended) > MAX_KNOWN or self._memory > MAX_MEMORY:
            self._forget()

    def _forget(self) -> None:
        """Let memory know as much as it may again; but what is not written yet is nowhere else."""
        least = len(self._unwritten) + 1
        while len(self._ended) > max(MAX_KNOWN, least) or (
            self._memory > MAX_MEMORY and len(self._ended) > least
        ):
            _, forgotten = self._ended.popitem(last=False)
            self._memory -= forgotten.size
            came = time.monotonic() - (time.time() - forgotten.received)
            self._known_since = max(self._known_since, came)

    def _find(self, name: str) -> Record | None:
        """What is recorded of an ended exchange."""
        if (record := self._ended.get(name)) is not None or self._file is None:
            return record
        try:
            return self._file.find(name)
        except FAILURES as error:
            self._fail("cannot be read", error)
            return None

    def _record_of(self, exchange: Exchange) -> Record:
        command_id = exchange.request.command_id
        return record_of(exchange, self.boot, self._registry.instrument_of(command_id))

    # --- the thread that writes -----------------------------------------------------------------

    def _write_behind(self) -> None:
        assert self._file is not None  # noqa: S101 it was opened
        tidied, rows = 0.0, 0
        try:
            self._file.load()
        except FAILURES as error:
            self._fail("cannot be read", error)
        while not self._closing.is_set():
            if self._problem is None:
                self._wake.wait(TIDY_TIME)
                self._closing.wait(DELAY)
            else:
                self._closing.wait(RETRY_TIME)
            self._wake.clear()
            rows += self._write(self._file)
            if rows > LOG_ROWS or time.monotonic() - tidied > TIDY_TIME:
                more = self._tidy(self._file)
                tidied, rows = (0.0 if more else time.monotonic()), 0
        self._write(self._file)
        with contextlib.suppress(*FAILURES):
            self._file.close()

    def _write(self, file: JournalFile) -> int:
        """Write what waits; returns how many rows that was."""
        with self._writing:
            waits = list(self._unwritten)
            if not waits and not self._unwritten_settings:
                return 0
            with self._lock:
                settings, self._unwritten_settings = self._unwritten_settings, {}
            try:
                file.write(waits)
                file.settings.keep(settings)
            except FAILURES as error:
                with self._lock:
                    self._unwritten_settings = {**settings, **self._unwritten_settings}
                self._fail("cannot be written", error)
                return 0
            except Exception:  # a bug; what it met must not stand in the way of all others
                logger.exception("%d exchanges cannot be written", len(waits))
                self._lost += len(waits)
            with self._lock:
                for record in waits:
                    self._unwritten.popleft()
                    self._unwritten_memory -= record.size
            try:
                file.starts.remove(waits)
                if self._problem is not None:
                    # What has started meanwhile has no line yet.
                    file.starts.rewrite(list(self._running.values()))
            except OSError as error:
                self._fail("cannot be written", error)
                return len(waits)
            if self._problem is not None:
                self._problem = None
                logger.warning("the journal is written again; %d exchanges are lost", self._lost)
            return len(waits)

    def _tidy(self, file: JournalFile) -> bool:
        try:
            with self._writing:
                return file.tidy()
        except FAILURES as error:
            self._fail("cannot be written", error)
            return False

    def _fail(self, what: str, error: Exception) -> None:
        """Go on in memory; the log has it once, and the status until it works again."""
        # No path: whoever may ask for the status sees it.
        reason = error.strerror if isinstance(error, OSError) else None
        if isinstance(error, UnicodeDecodeError):
            reason = "it is damaged"
        sentence = f"the journal {what}: {reason or sentence_of(error)}"
        if self._problem is None:
            logger.error(
                "%s (%s); a repeated request is known as long as this server runs, and not after",
                sentence,
                self._path,
            )
        self._problem = sentence


def _compare(exchange: Exchange, command: str, parameters: str) -> None:
    """Raise `Malformed` where an exchange asks for something else than the one of its id did."""
    request = exchange.request
    if request.command_id == command:
        asked = parameters_text(request.parameters)
        if asked == parameters or _read(asked) == _read(parameters):
            return
    raise Malformed(
        f"link.id: {request.link.id!r:.60} is that of another request, for {command}: give each "
        "request an id of its own"
    )


_read: Callable[[str], Any] = msgspec.json.decode


def _resolve(waiting: list[asyncio.Future[Reply | None]], record: Record) -> None:
    """Tell what was recorded: the next command may change what this one returned."""
    try:
        reply = None if record.may_come_again else reply_of(record)
    except UnknownOutcome as error:
        reply = Reply(error=error)
    for future in waiting:
        if not future.done():
            future.set_result(reply)
