"""The one thread in which one instrument's commands run, one at a time, in order of arrival."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any

from ..errors import Busy, ExchangeError, Expired, InternalError, ShuttingDown, TimedOut
from ..values import snapshot

QUEUE_LENGTH = 64
"""Commands that may wait for one instrument. More than this wait only behind a fault, and a
refusal tells the experiment sooner than a timeout would."""

logger = logging.getLogger(__name__)

_running_job: ContextVar[Job] = ContextVar("running_job")


class Job:
    """One command on its way through a worker.

    `title` names the command, `call` runs it, and `done` is told its result or its error, in
    whichever thread ends the job; once, and again where the job ends after it was given up. A job
    whose `deadline` (on `time.monotonic`) is over does not start, and its `started` stays None.
    """

    def __init__(
        self,
        title: str,
        call: Callable[[], Any],
        done: Callable[[Any, ExchangeError | None], None],
        deadline: float | None = None,
    ) -> None:
        self.title = title
        self.call = call
        self.done = done
        self.deadline = deadline
        self.started: float | None = None
        self.fraction: float | None = None
        self.text = ""

    def describe(self) -> dict[str, Any]:
        """What the job does now, as `link.status` shows it."""
        seconds = 0.0 if self.started is None else round(time.monotonic() - self.started, 3)
        done = "" if self.fraction is None else f"{self.fraction:.0%} done, "
        return {
            "command": self.title,
            "seconds": seconds,
            "fraction": self.fraction,
            "text": self.text or f"{done}for {seconds:.1f} s",
        }


def progress(fraction: float, text: str = "") -> None:
    """Tell how far the running command is; `link.status` shows it.

    `fraction` goes from 0 to 1, `text` is for people: ``"12.0 of 60.0 s"``. To be called by a
    command, in its thread or on the event loop; without a server nobody is told. Raises
    ValueError for a fraction outside 0 to 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"progress: expected a fraction from 0 to 1, got {fraction!r}")
    job = _running_job.get(None)
    if job is not None:
        job.fraction, job.text = float(fraction), text


class Worker:
    """Runs the jobs of one instrument in a thread of its own.

    `loop` is the event loop on which ``async def`` commands run; `finish` is called in the
    thread after its last job.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        finish: Callable[[], None],
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self.name = name
        self._loop = loop
        self._finish = finish
        self._queue_length = queue_length
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._closed = False
        self._given_up = False
        self._lock = threading.Lock()
        # One for each job and one for the end; the thread sleeps here. Waking it this way costs
        # half of what a threading.Condition does.
        self._wakes: SimpleQueue[None] = SimpleQueue()
        # A command that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"worker {name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job into the queue; raises `Busy` where it is full, `ShuttingDown` at the end."""
        with self._lock:
            if self._closed:
                raise ShuttingDown("the server is stopping")
            if len(self._waiting) >= self._queue_length:
                raise Busy(f"{self.name}: its queue of {self._queue_length} is full")
            self._waiting.append(job)
        self._wakes.put(None)

    def withdraw(self, job: Job) -> bool:
        """Take back a job that has not started, and never start it; False if it has."""
        with self._lock:
            try:
                self._waiting.remove(job)
            except ValueError:
                return False
            return True

    def describe(self) -> dict[str, Any]:
        """What the worker does now, as `link.status` shows it."""
        with self._lock:
            running, waiting = self._running, len(self._waiting)
        if running is None:
            return {"state": "idle", "summary": f"{self.name}: idle", "waiting": waiting}
        job = running.describe()
        summary = f"{self.name}: busy with {job['command']}, {job['text']}"
        return {"state": "busy", "summary": summary, "waiting": waiting, **job}

    def close(self) -> None:
        """Take no more jobs, refuse those that wait, and end the thread after the running one."""
        with self._lock:
            self._closed = True
            refused = list(self._waiting)
            self._waiting.clear()
        self._wakes.put(None)
        for job in refused:
            job.done(None, ShuttingDown("the server is stopping; the command was not started"))

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended, at most `timeout` seconds; whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """Answer the client of the job that still runs; its outcome, if any, comes too late.

        The thread then ends without `finish`: the program may end in the middle of it.
        """
        with self._lock:
            self._given_up = True
            job = self._running
        if job is not None:
            job.done(None, TimedOut(f"{job.title} has not finished; the server stops without it"))

    def _run(self) -> None:
        while (job := self._next()) is not None:
            outcome = self._outcome(job)
            # The client may look at the status as soon as it has its reply.
            self._running = None
            job.done(*outcome)
        if self._given_up:
            return
        try:
            self._finish()
        except BaseException:
            logger.exception("%s could not be closed", self.name)

    def _next(self) -> Job | None:
        """Wait for the next job; None at the end."""
        while True:
            self._wakes.get()
            with self._lock:
                if self._waiting:
                    job = self._running = self._waiting.popleft()
                    now = time.monotonic()
                    if job.deadline is None or now < job.deadline:
                        job.started = now
                    return job
                # Otherwise the job has been withdrawn.
                if self._closed:
                    return None

    def _outcome(self, job: Job) -> tuple[Any, ExchangeError | None]:
        """Run a job and return its result or its error."""
        if job.started is None:
            return None, Expired(f"{job.title} was not started: its time was up")
        _running_job.set(job)
        try:
            result = job.call()
            if inspect.iscoroutine(result):
                result = asyncio.run_coroutine_threadsafe(_on_loop(result), self._loop).result()
            # It is written later, while the next command may change what this one returned.
            with contextlib.suppress(Exception):  # what cannot be copied cannot be sent
                result = snapshot(result)
        except ExchangeError as error:
            return None, error
        except CancelledError:  # an async command, at the latest when the event loop ends
            return None, InternalError(f"{job.title} was cancelled")
        # A command that calls sys.exit() ends itself, not the instrument's thread.
        except BaseException as error:
            logger.exception("%s failed", job.title)
            failure = InternalError(sentence_of(error))
            failure.__cause__ = error
            return None, failure
        return result, None


async def _on_loop(command: Coroutine[Any, Any, Any]) -> Any:
    """Run an ``async def`` command; asyncio would let its sys.exit() end the event loop."""
    try:
        return await command
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(sentence_of(error)) from error


def sentence_of(error: BaseException) -> str:
    """The text of an exception that is no `ExchangeError`, with its class where that says more."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 a bug in its class; it must not end the worker's thread
        text = ""
    if not text:
        return type(error).__name__
    # "'param1'" is all that KeyError says, and "3" all of SystemExit.
    if isinstance(error, KeyError) or not isinstance(error, Exception):
        return f"{type(error).__name__}: {text}"
    return text
