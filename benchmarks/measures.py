"""Times turn by turn, CPU times, memory and imports; figures of several rounds."""

from __future__ import annotations

import gc
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Call = Callable[[], object]


class Figure(NamedTuple):
    """A figure as it was measured in each round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def over(self, other: Figure) -> Figure:
        """The ratio to another figure of the same rounds, round by round."""
        return Figure(tuple(a / b for a, b in zip(self.rounds, other.rounds, strict=True)))

    def times(self, factor: float) -> Figure:
        return Figure(tuple(factor * value for value in self.rounds))


class Effort(NamedTuple):
    """How much is measured."""

    rounds: int
    turns: int
    """Calls of each thing in a round, where a call takes well below a millisecond."""
    seconds: float
    """For a round of a crowd."""
    connections: int
    """Idle ones, whose memory is measured."""
    bunch: int = 1
    """Calls of one thing before it is the next one's turn."""

    def fewer(self, divisor: int) -> Effort:
        """The same for calls that take `divisor` times as long."""
        return self._replace(turns=max(2, self.turns // divisor))


WHOLE = Effort(rounds=5, turns=1500, seconds=1.5, connections=4000)
QUICK = Effort(rounds=2, turns=150, seconds=0.3, connections=1000)


def percentile(times: list[float], percent: float) -> float:
    """By nearest rank."""
    return sorted(times)[math.ceil(percent / 100 * len(times)) - 1]


def turn_by_turn(calls: Mapping[str, Call], effort: Effort) -> dict[str, list[list[float]]]:
    """Call each thing in turn, again and again; gives the seconds of each call, by round.

    A collection of garbage falls into nobody's time.
    """
    for call in calls.values():
        for _ in range(max(1, effort.turns // 10)):
            call()
    bunch = min(effort.bunch, effort.turns)
    taken: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(effort.rounds):
        for times in taken.values():
            times.append([])
        gc.collect()
        gc.disable()
        for _ in range(effort.turns // bunch):
            for name, call in calls.items():
                for _ in range(bunch):
                    start = time.perf_counter()
                    call()
                    taken[name][-1].append(time.perf_counter() - start)
        gc.enable()
    return taken


def medians(calls: Mapping[str, Call], effort: Effort) -> dict[str, Figure]:
    """The median time of a call of each thing, in s, measured turn by turn."""
    return {
        name: Figure(tuple(map(statistics.median, rounds)))
        for name, rounds in turn_by_turn(calls, effort).items()
    }


def cpu_times(
    calls: Mapping[str, Call], clock: Mapping[str, Callable[[], float]], effort: Effort
) -> dict[str, Figure]:
    """The CPU time of a call of each thing by its `clock`, in s, in bunches turn by turn."""
    bunches = 10
    count = max(1, effort.turns // bunches)
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(effort.rounds):
        spent = dict.fromkeys(calls, 0.0)
        for _ in range(bunches):
            for name, call in calls.items():
                start = clock[name]()
                for _ in range(count):
                    call()
                spent[name] += clock[name]() - start
        for name, seconds in spent.items():
            rounds[name].append(seconds / (bunches * count))
    return {name: Figure(tuple(values)) for name, values in rounds.items()}


def cpu_clock(pid: int) -> Callable[[], float]:
    """A clock of the CPU time of a process, all its threads, in s.

    /proc/PID/task/*/schedstat has it in ns (Linux, Documentation/scheduler/sched-stats.rst);
    raises OSError elsewhere.
    """
    tasks = Path(f"/proc/{pid}/task")

    def now() -> float:
        return 1e-9 * sum(
            int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()
        )

    now()
    return now


def resident(pid: int) -> int:
    """Bytes of a process that are in memory (proc(5), statm); raises OSError elsewhere."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def allow_files(count: int) -> None:
    """Let this process and those that it starts open so many files; raises OSError."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        except ValueError as error:
            raise OSError(f"ulimit -n {count}: {error}") from None


def import_time(module: str, folder: Path, tries: int) -> float:
    """The least time that an import takes in a fresh Python, in s."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(folder)!r}); start = time.perf_counter(); "
        f"import {module}; print(time.perf_counter() - start)"
    )
    return min(
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
        for _ in range(tries)
    )
