"""``link.metrics``: what a server does and has done, as numbers for Prometheus and its like."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping

from ..instrument.command import command
from ..version import __version__
from .costs import BOUNDS, Totals
from .feed_commands import refresh
from .known_states import State
from .link_commands import LinkCommands, Parts
from .openmetrics import Family, exposition
from .registry import LINK
from .state_numbers import numbers_of

SUCCESS = "success"
"""The outcome of what did not fail; others are the codes of errors."""


class Metrics(LinkCommands):
    """Metrics; they take some milliseconds to be written, so they have a worker of their own."""

    worker = f"{LINK}.metrics"

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._connections = parts.connections
        self._loop = asyncio.get_running_loop()
        self._started = time.time()

    @command
    def metrics(self) -> str:
        """Give counts, times and the numbers of the instruments' states, as OpenMetrics text."""
        states = asyncio.run_coroutine_threadsafe(self._read_states(), self._loop).result()
        families = (
            self._server(),
            self._exchanges(),
            self._instruments(),
            self._state(states),
            self._journal(),
        )
        return exposition(itertools.chain.from_iterable(families))

    async def _read_states(self) -> Mapping[str, State]:
        """The instruments' states as they are now, for the numbers in them."""
        await refresh(self.feed, self.workers, self.workers)
        return self.feed.states()

    def _server(self) -> Iterator[Family]:
        info = Family("artiq_link", "info", "The server's version, and the name of its start.")
        info.add(1, version=__version__, boot=self.journal.boot)
        started = Family(
            "artiq_link_start_time_seconds", "gauge", "When the server started.", "seconds"
        )
        started.add(self._started)
        connections = Family("artiq_link_connections", "gauge", "Connections that are open.")
        connections.add(self._connections())
        yield from (info, started, connections)

    def _exchanges(self) -> Iterator[Family]:
        ended = Family(
            "artiq_link_exchanges",
            "counter",
            "Exchanges that have ended, by command and outcome: success, or an error's code.",
        )
        queue = Family(
            "artiq_link_queue_seconds",
            "histogram",
            "Time from a request's first byte to its command's start, or to its refusal.",
            "seconds",
        )
        running = Family(
            "artiq_link_command_seconds", "histogram", "Time for which commands ran.", "seconds"
        )
        for (instrument, name), totals in self._totals().items():
            labels = {"instrument": instrument, "command": name}
            for outcome, count in {SUCCESS: totals.succeeded, **totals.failed}.items():
                ended.add(count, **labels, outcome=str(outcome))
            queue.add_times(BOUNDS, totals.queue, totals.queue_time, **labels)
            running.add_times(BOUNDS, totals.command, totals.command_time, **labels)
        yield from (ended, queue, running)

    def _totals(self) -> dict[tuple[str, str], Totals]:
        """What was counted by instrument and command, whether the former was named or not."""
        sums: dict[tuple[str, str], Totals] = {}
        for asked, totals in self.costs.totals().items():
            instrument = self.registry.instrument_of(asked) or ""
            name = asked.removeprefix(f"{instrument}.") if instrument else asked
            sums.setdefault((instrument, name), Totals()).add(totals)
        return sums

    def _instruments(self) -> Iterator[Family]:
        busy = Family("artiq_link_busy", "gauge", "Whether an instrument's command runs.")
        running = Family(
            "artiq_link_running_seconds",
            "gauge",
            "For how long the command that runs has run; 0 where none does.",
            "seconds",
        )
        waiting = Family(
            "artiq_link_waiting", "gauge", "Commands that wait in an instrument's queue."
        )
        lost = Family("artiq_link_lost", "gauge", "Whether an instrument's hardware is lost.")
        held = Family("artiq_link_lease_held", "gauge", "Whether somebody holds an instrument.")
        until = Family(
            "artiq_link_lease_end_seconds",
            "gauge",
            "Until when, in Unix time; missing where nobody holds it.",
            "seconds",
        )
        for name, worker in self.workers.items():
            told = worker.describe()
            busy.add(told["state"] == "busy", instrument=name)
            running.add(told.get("seconds", 0.0), instrument=name)
            waiting.add(told["waiting"], instrument=name)
            lost.add("lost" in told, instrument=name)
            holder = self.leases.holder(name)
            held.add(holder is not None, instrument=name)
            if holder is not None:
                until.add(holder.lease.until, instrument=name)
        yield from (busy, running, waiting, lost, held, until)

    def _state(self, states: Mapping[str, State]) -> Iterator[Family]:
        """The numbers of the instruments' states, and whether these are all."""
        numbers = Family(
            "artiq_link_state",
            "gauge",
            "A number of an instrument's state, by the path of names to it.",
        )
        cut = Family(
            "artiq_link_state_cut", "gauge", "Whether a state has more numbers than are given."
        )
        unreadable = Family(
            "artiq_link_state_problem", "gauge", "Whether an instrument's state cannot be read."
        )
        for name, state in states.items():
            units = self.registry.targets[name].state_units
            found, is_all = numbers_of(state.value)
            for path, last, number in found:
                unit = str(units.get(last, ""))
                numbers.add(number, instrument=name, path=path, unit=unit)
            cut.add(not is_all, instrument=name)
            unreadable.add(state.error is not None, instrument=name)
        yield from (numbers, cut, unreadable)

    def _journal(self) -> Iterator[Family]:
        problem = Family(
            "artiq_link_journal_problem",
            "gauge",
            "Whether the journal is not kept in its file.",
        )
        problem.add(self.journal.describe()["problem"] is not None)
        lost = Family(
            "artiq_link_journal_lost", "counter", "Exchanges that the journal could not keep."
        )
        lost.add(self.journal.describe()["lost"])
        waiting = Family(
            "artiq_link_journal_waiting", "gauge", "Exchanges that wait to be written to its file."
        )
        waiting.add(self.journal.unwritten)
        yield from (problem, lost, waiting)
        if (size := self.journal.size) is not None:
            file = Family("artiq_link_journal_bytes", "gauge", "Size of its file.", "bytes")
            file.add(size)
            yield file
