"""What exchanges cost: how many there were, in the last minute and in all, and their times."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .exchange import FINISHED, REFUSED, Exchange, Moment, observes

SPAN = 60.0
"""Seconds that are looked back on."""

MAX_SAMPLES = 500
"""Exchanges of one command whose times are kept, the newest ones: enough for a p99, and sorted
in a fraction of a millisecond, because `link.status` is answered on the event loop."""

MAX_NAMES = 64
"""Names that are kept apart; a lab with more commands than this reads no table of them."""

OTHERS = "*"
"""Where exchanges are counted that asked for no command that there is, or for one name more."""

BOUNDS = (*(float(f"{digits}e{power}") for power in range(-4, 2) for digits in (1, 2.5, 5)), 100.0)
"""Seconds into which times are sorted, in the steps that are usual: 100 us to 100 s."""

MAX_CODES = 32
"""Codes of one command's errors that are kept apart; a laboratory may have some of its own."""


class Totals:
    """What one command's exchanges came to since the start, and how long they took, in s.

    Times are counted by `BOUNDS`: those that are no longer than each, and at the end those that
    are longer than all.
    """

    __slots__ = ("command", "command_time", "failed", "queue", "queue_time")

    def __init__(self) -> None:
        self.failed: dict[str, int] = {}
        """By the codes of their errors."""
        self.queue = [0] * (len(BOUNDS) + 1)
        self.queue_time = 0.0
        self.command = [0] * (len(BOUNDS) + 1)
        self.command_time = 0.0

    @property
    def succeeded(self) -> int:
        """How many did not fail."""
        return sum(self.queue) - sum(self.failed.values())

    def fail(self, code: str) -> None:
        """Count an exchange that failed."""
        if code not in self.failed and len(self.failed) >= MAX_CODES:
            code = OTHERS
        self.failed[code] = self.failed.get(code, 0) + 1

    def add(self, other: Totals) -> None:
        """Add those of another command."""
        for code, count in other.failed.items():
            self.failed[code] = self.failed.get(code, 0) + count
        self.queue = [mine + its for mine, its in zip(self.queue, other.queue, strict=True)]
        self.queue_time += other.queue_time
        self.command = [mine + its for mine, its in zip(self.command, other.command, strict=True)]
        self.command_time += other.command_time


class Costs:
    """An observer of exchanges that knows what they took, those of the last minute and all.

    They are counted by the names that were asked for, as far as `is_named` knows them. `clock` is
    the one on which exchanges have their times.
    """

    def __init__(
        self, is_named: Callable[[str], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_named = is_named
        self._clock = clock
        self._series: dict[str, _Series] = {}
        # Exchanges end in the workers' threads and on the event loop.
        self._lock = threading.Lock()

    @observes(FINISHED, REFUSED)
    def note(self, exchange: Exchange, moment: Moment) -> None:
        """Be told of an exchange's end, and count it."""
        name = exchange.request.command_id
        arrived, started, ended = exchange.arrived, exchange.started_at, exchange.finished_at
        outcome = exchange.outcome
        assert outcome is not None  # noqa: S101
        assert ended is not None  # noqa: S101
        # All of it here: it is done for every exchange, and calls would double its cost.
        with self._lock:
            series = self._series.get(name) or self._new_series(name)
            series.samples.append((arrived, started, ended))
            # Of two threads, the one that was later may be here first.
            if ended >= series.next_second:
                series.begin_second(int(ended))
            series.count.exchanges += 1
            totals = series.totals
            if outcome.error is not None:
                series.count.failed += 1
                totals.fail(outcome.error.code)
            if started is not None:
                took = ended - started
                totals.command[bisect_left(BOUNDS, took)] += 1
                totals.command_time += took
                waited = started - arrived
            else:
                waited = ended - arrived
            totals.queue[bisect_left(BOUNDS, waited)] += 1
            totals.queue_time += waited

    def describe(self) -> dict[str, Any]:
        """The costs by command, in s, as `link.status` shows them."""
        since = self._clock() - SPAN
        with self._lock:
            taken = {name: series.since(since) for name, series in self._series.items()}
        return {
            name: _summary(exchanges, failed, samples)
            for name, (exchanges, failed, samples) in taken.items()
            if exchanges
        }

    def totals(self) -> Mapping[str, Totals]:
        """What there was since the start, by command."""
        taken = {}
        with self._lock:
            for name, series in self._series.items():
                taken[name] = Totals()
                taken[name].add(series.totals)
        return taken

    def _new_series(self, name: str) -> _Series:
        if not self._is_named(name) or len(self._series) >= MAX_NAMES:
            name = OTHERS
        return self._series.setdefault(name, _Series())


_Sample = tuple[float, float | None, float]
"""When an exchange arrived, when its command started, if it did, and when it came to its end."""


class _Count:
    """How many exchanges came to their end in one second."""

    __slots__ = ("exchanges", "failed", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.exchanges = 0
        self.failed = 0


class _Series:
    """The exchanges of one command: all of them counted by the second, the newest ones timed."""

    __slots__ = ("count", "counts", "next_second", "samples", "totals")

    def __init__(self) -> None:
        self.totals = Totals()
        self.samples: deque[_Sample] = deque(maxlen=MAX_SAMPLES)
        self.counts: deque[_Count] = deque(maxlen=int(SPAN) + 1)  # as many as the span touches
        self.begin_second(0)

    def begin_second(self, second: int) -> None:
        self.count = _Count(second)
        self.counts.append(self.count)
        self.next_second = second + 1

    def since(self, moment: float) -> tuple[int, int, list[_Sample]]:
        """How many there were since, how many of them failed, and the times of the newest."""
        counts = [count for count in self.counts if count.second >= moment]
        samples = [sample for sample in self.samples if sample[2] >= moment]
        return sum(c.exchanges for c in counts), sum(c.failed for c in counts), samples


def _summary(exchanges: int, failed: int, samples: Iterable[_Sample]) -> dict[str, Any]:
    """What one command's exchanges took; where none was started, ``command`` is None."""
    queue, command, whole = [], [], []
    for arrived, started, ended in samples:
        queue.append((ended if started is None else started) - arrived)
        whole.append(ended - arrived)
        if started is not None:
            command.append(ended - started)
    return {
        "exchanges": exchanges,
        "failed": failed,
        "queue": _percentiles(queue),
        "command": _percentiles(command) if command else None,
        "all": _percentiles(whole),
    }


def _percentiles(times: list[float]) -> dict[str, float]:
    """The p50 and p99 of some times, in s, by nearest rank."""
    times.sort()
    return {
        f"p{percent}": round(times[math.ceil(percent / 100 * len(times)) - 1], 7)
        for percent in (50, 99)
    }
