"""Worker: one instrument's commands, one at a time, in order, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import Queue
from typing import Any

import pytest

from artiq_link.errors import (
    Busy,
    ExchangeError,
    Expired,
    InstrumentError,
    InternalError,
    ShuttingDown,
)
from artiq_link.exchanges.exchange import Exchange, Moment, current_exchange, progress
from artiq_link.exchanges.hardware import Hardware
from artiq_link.exchanges.messages import LinkMembers, Reply, Request
from artiq_link.exchanges.worker import Worker
from artiq_link.values import decode, encode
from tests.conftest import PATIENCE, until


class Asked:
    """An exchange whose outcome a test can wait for."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.outcome: Future[Reply] = Future()

    @property
    def result(self) -> Any:
        reply = self.outcome.result(PATIENCE)
        assert reply.error is None
        return reply.result

    @property
    def error(self) -> ExchangeError:
        reply = self.outcome.result(PATIENCE)
        assert reply.error is not None
        return reply.error


class Gate:
    """A command that has started when `started` is set, and ends when `go_on` is."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        return "waited"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loop")
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def start(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Worker]]:
    """Start workers, which are closed at the test's end."""
    workers = []

    def deliver(exchange: Exchange, data: bytes) -> None:
        assert exchange.outcome is not None
        asked[exchange].outcome.set_result(exchange.outcome)  # raises when it is called twice

    def start(
        name: str = "dds",
        close: Callable[[], None] | None = None,
        tend: Callable[[], float | None] = lambda: None,
        **options: Any,
    ) -> Worker:
        worker = Worker(name, loop, deliver, **options)
        worker.start(close and Hardware(name, close=close), tend=tend)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()
        assert worker.join(PATIENCE)
    asked.clear()


asked: dict[Exchange, Asked] = {}


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that opens at the test's end at the latest."""
    gate = Gate()
    yield gate
    gate.go_on.set()


@pytest.fixture
def worker(start: Callable[..., Worker], gate: Gate) -> Iterator[Worker]:
    """One worker, with whatever waits in `gate` released at the end."""
    yield start()
    gate.go_on.set()


def submit(
    worker: Worker, call: Callable[[], Any], title: str = "set", timeout: float | None = None
) -> Asked:
    request = Request(title, {}, LinkMembers(timeout=timeout))
    exchange = Exchange(request, encode=lambda request, reply: encode(reply.result))
    asked[exchange] = Asked(exchange)
    worker.submit(exchange, lambda request: call())
    return asked[exchange]


def busy(worker: Worker, gate: Gate) -> Asked:
    """Let a worker run `gate`, and return when it does."""
    job = submit(worker, gate, "wait")
    assert gate.started.wait(PATIENCE)
    return job


def test_a_result_is_written_before_the_next_command_may_change_it(
    start: Callable[..., Worker], loop: asyncio.AbstractEventLoop
) -> None:
    state = {"front": 20.0, "trace": [0.0]}
    sent: Queue[bytes] = Queue()

    def change(request: Request) -> Any:
        state["front"] += 1.0  # type: ignore[operator]
        state["trace"][0] += 1.0  # type: ignore[index]
        return state

    worker = Worker("laser", loop, lambda exchange, data: sent.put(data))
    held = threading.Event()
    loop.call_soon_threadsafe(held.wait, PATIENCE)  # nothing is delivered before both have run
    worker.start()
    for _ in range(2):
        worker.submit(
            Exchange(Request("change", {}), encode=lambda _, r: encode(r.result)), change
        )
    until(lambda: state["front"] == 22.0)
    held.set()
    assert [decode(sent.get(timeout=PATIENCE)) for _ in range(2)] == [
        {"front": 21.0, "trace": [1.0]},
        {"front": 22.0, "trace": [2.0]},
    ]
    worker.close()
    assert worker.join(PATIENCE)


def test_what_cannot_be_written_is_the_failure(worker: Worker) -> None:
    endless: list[Any] = []
    endless.append(endless)
    error = submit(worker, lambda: endless, "loop").error
    assert error.code == "internal_error"
    assert str(error).startswith("loop: its result cannot be sent: ")


def test_jobs_run_in_order_of_arrival_in_the_workers_thread(worker: Worker, gate: Gate) -> None:
    busy(worker, gate)
    ran: list[int] = []
    threads: list[str] = []

    def note(number: int) -> None:
        ran.append(number)
        threads.append(threading.current_thread().name)

    jobs = [submit(worker, partial(note, number)) for number in range(20)]
    gate.go_on.set()
    assert [job.result for job in jobs] == [None] * 20
    assert ran == list(range(20))
    assert set(threads) == {"worker dds"}


def test_instruments_run_beside_each_other_and_each_one_command_at_a_time(
    start: Callable[..., Worker],
) -> None:
    """Each command meets one of the other instrument, and never another of its own."""
    both = threading.Barrier(2, timeout=PATIENCE)
    inside = {"dds": 0, "shutter": 0}
    most = {"dds": 0, "shutter": 0}

    def meet(name: str) -> None:
        inside[name] += 1
        most[name] = max(most[name], inside[name])
        both.wait()  # both are inside
        seen.append(dict(inside))
        both.wait()  # both have looked
        inside[name] -= 1

    seen: list[dict[str, int]] = []
    workers = [start(name) for name in inside]
    jobs = [submit(w, partial(meet, w.name)) for _ in range(10) for w in workers]
    assert [job.result for job in jobs] == [None] * 20
    assert most == {"dds": 1, "shutter": 1}
    assert seen == [{"dds": 1, "shutter": 1}] * 20


def test_a_full_queue_refuses(start: Callable[..., Worker], gate: Gate) -> None:
    """The running command takes no place of the queue."""
    worker = start(queue_length=2)
    busy(worker, gate)
    waiting = [submit(worker, lambda: "done") for _ in range(2)]
    with pytest.raises(Busy) as caught:
        submit(worker, lambda: "never")
    assert str(caught.value) == "dds: its queue of 2 is full"
    assert worker.describe()["waiting"] == 2
    gate.go_on.set()
    assert [job.result for job in waiting] == ["done", "done"]
    assert submit(worker, lambda: "again").result == "again"


def test_a_withdrawn_job_never_starts(worker: Worker, gate: Gate) -> None:
    running = busy(worker, gate)
    ran: list[str] = []
    first = submit(worker, lambda: ran.append("first"))
    withdrawn = submit(worker, lambda: ran.append("withdrawn"))
    last = submit(worker, lambda: ran.append("last"))
    assert worker.withdraw(withdrawn.exchange)
    assert not worker.withdraw(withdrawn.exchange)
    assert not worker.withdraw(running.exchange)
    gate.go_on.set()
    last.outcome.result(PATIENCE)
    assert ran == ["first", "last"]
    assert not worker.withdraw(first.exchange)
    assert not withdrawn.outcome.done()


def test_a_job_whose_time_is_up_is_refused_and_never_executed(worker: Worker) -> None:
    ran: list[str] = []
    late = submit(worker, lambda: ran.append("late"), "set", timeout=0.0)
    early = submit(worker, lambda: ran.append("early"), "set", timeout=PATIENCE)
    assert type(late.error) is Expired
    assert str(late.error) == "set was not started: its time was up"
    assert early.result is None
    assert ran == ["early"]
    assert (late.exchange.state, early.exchange.state) == (Moment.REFUSED, Moment.FINISHED)


class WithoutText(Exception):
    """An exception with a bug of its own."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("no lock"), "no lock"),
        (KeyError("param1"), "KeyError: 'param1'"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (WithoutText(), "WithoutText"),
    ],
    ids=repr,
)
def test_what_a_command_raises_is_its_failure_and_the_next_one_runs(
    worker: Worker,
    kind: str,
    error: BaseException,
    sentence: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also sys.exit() ends neither the thread nor the event loop; the log has the traceback."""

    def fail() -> None:
        raise error

    async def fail_on_loop() -> None:
        raise error

    async def answer() -> str:
        return "loop"

    failed = submit(worker, fail if kind == "def" else fail_on_loop, "play")
    assert type(failed.error) is InternalError
    assert str(failed.error) == sentence
    assert [submit(worker, call).result for call in (lambda: "thread", answer)] == [
        "thread",
        "loop",
    ]
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "play failed")
    assert record.exc_info is not None
    assert "raise error" in caplog.text


def test_a_command_can_call_sys_exit(worker: Worker) -> None:
    assert str(submit(worker, lambda: sys.exit("bye")).error) == "SystemExit: bye"


def test_after_a_command_that_breaks_its_own_exchange_the_next_one_runs(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell its client anything; the instrument is not lost with it."""
    submit(worker, lambda: setattr(current_exchange(), "state", None))
    assert submit(worker, lambda: "served").result == "served"
    assert worker.describe()["state"] == "idle"
    assert caplog.messages == ["dds: an exchange did not come to its end"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_an_error_of_the_link_stays_as_it_is(
    worker: Worker, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = InstrumentError("no lock", "channel")

    def fail() -> None:
        raise error

    async def fail_on_loop() -> None:
        fail()

    assert submit(worker, fail if kind == "def" else fail_on_loop).error is error
    assert caplog.records == []


def test_async_commands_run_on_the_loop(worker: Worker) -> None:
    async def ask() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert submit(worker, ask).result == "loop"


def test_an_async_command_holds_its_instrument(
    worker: Worker, loop: asyncio.AbstractEventLoop
) -> None:
    """The next command does not start while the coroutine waits."""
    started = threading.Event()
    go_on = asyncio.Event()
    ran: list[str] = []

    async def ask() -> None:
        started.set()
        await go_on.wait()
        ran.append("ask")

    submit(worker, ask)
    last = submit(worker, lambda: ran.append("last"))
    assert started.wait(PATIENCE)
    assert worker.describe()["waiting"] == 1
    assert ran == []
    loop.call_soon_threadsafe(go_on.set)
    last.outcome.result(PATIENCE)
    assert ran == ["ask", "last"]


def test_progress_of_a_plain_command_is_shown(worker: Worker, gate: Gate) -> None:
    def ramp() -> None:
        progress(0.2, "12.0 of 60.0 s")
        gate()

    assert worker.describe() == {"state": "idle", "summary": "dds: idle", "waiting": 0}
    ramping = submit(worker, ramp, "ramp")
    assert gate.started.wait(PATIENCE)
    status = worker.describe()
    assert 0 <= status.pop("seconds") < PATIENCE
    assert status == {
        "state": "busy",
        "summary": "dds: busy with ramp, 12.0 of 60.0 s",
        "waiting": 0,
        "command": "ramp",
        "fraction": 0.2,
        "text": "12.0 of 60.0 s",
    }
    gate.go_on.set()
    assert ramping.result is None


@pytest.mark.parametrize("text", [object(), 12.0])
def test_progress_that_could_not_be_told_is_the_commands_bug(worker: Worker, text: Any) -> None:
    failing = submit(worker, lambda: progress(0.5, text), "ramp")
    assert str(failing.error).startswith("progress: expected a text, got ")


def test_progress_of_an_async_command_is_shown(
    worker: Worker, loop: asyncio.AbstractEventLoop
) -> None:
    told = threading.Event()
    go_on = asyncio.Event()

    async def ramp() -> None:
        progress(0.5)
        told.set()
        await go_on.wait()

    ramping = submit(worker, ramp, "ramp")
    assert told.wait(PATIENCE)
    status = worker.describe()
    assert (status["fraction"], status["command"]) == (0.5, "ramp")
    assert status["summary"] == f"dds: busy with ramp, 50% done, for {status['seconds']:.1f} s"
    loop.call_soon_threadsafe(go_on.set)
    assert ramping.result is None


def test_progress_is_the_commands_own(worker: Worker) -> None:
    """The next command does not show what the one before it told."""

    def next_one() -> list[dict[str, Any]]:
        before = worker.describe()
        progress(0.1, "begun")
        return [before, worker.describe()]

    submit(worker, lambda: progress(0.9, "nearly"))
    statuses = submit(worker, next_one, "next").result
    assert [(status["command"], status["fraction"]) for status in statuses] == [
        ("next", None),
        ("next", 0.1),
    ]


def test_who_has_nothing_to_do_for_centuries_waits_all_the_same(
    start: Callable[..., Worker],
) -> None:
    """A state_period or a reading's period may be as long as anybody writes it."""
    worker = start(tend=lambda: 1e15)
    for _ in range(2):
        assert submit(worker, lambda: "done").result == "done"


def test_a_running_command_tells_for_how_long(worker: Worker) -> None:
    assert 0 <= submit(worker, worker.describe).result["seconds"] < PATIENCE


def test_closing_gives_back_what_waits_and_finishes_what_runs(
    start: Callable[..., Worker], gate: Gate
) -> None:
    finished: list[str] = []
    worker = start(close=lambda: finished.append(threading.current_thread().name))
    running = busy(worker, gate)
    ran: list[str] = []
    waiting = [submit(worker, lambda: ran.append("never")) for _ in range(3)]
    assert worker.close() == [job.exchange for job in waiting]
    assert worker.close() == []
    with pytest.raises(ShuttingDown) as caught:
        submit(worker, lambda: None)
    assert str(caught.value) == "the server is stopping"
    assert finished == []
    assert not running.outcome.done()
    gate.go_on.set()
    assert worker.join(PATIENCE)
    assert running.result == "waited"
    assert ran == []
    assert finished == ["worker dds"]
    assert "worker dds" not in {thread.name for thread in threading.enumerate()}


def test_an_idle_worker_ends_when_it_is_closed(start: Callable[..., Worker]) -> None:
    finished: list[bool] = []
    worker = start(close=lambda: finished.append(True))
    worker.close()
    assert worker.join(PATIENCE)
    assert finished == [True]


def test_an_instrument_that_does_not_close_is_told_as_such(
    start: Callable[..., Worker], gate: Gate
) -> None:
    worker = start(close=gate)
    worker.close()
    assert gate.started.wait(PATIENCE)
    assert worker.describe()["summary"] == "dds: closing"
    gate.go_on.set()
    assert worker.join(PATIENCE)


def test_a_fault_in_closing_is_logged(
    start: Callable[..., Worker], caplog: pytest.LogCaptureFixture
) -> None:
    def finish() -> None:
        raise OSError("the port is gone")

    worker = start(close=finish)
    worker.close()
    assert worker.join(PATIENCE)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "dds could not be closed")
    assert "the port is gone" in caplog.text


def test_a_command_that_does_not_end_does_not_block_the_join(worker: Worker, gate: Gate) -> None:
    busy(worker, gate)
    worker.close()
    before = time.monotonic()
    assert not worker.join(0.01)
    assert time.monotonic() - before < PATIENCE
    [thread] = [thread for thread in threading.enumerate() if thread.name == "worker dds"]
    assert thread.daemon
