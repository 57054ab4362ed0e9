"""Cost against work: a request of ten times the size should cost at most ten times as much."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.link import COMMAND, NotThereError
from benchmarks.measures import Call, Figure, medians
from benchmarks.rows import NOW, Bench

ROWS_OF_A_TABLE = 1000
"""A DDS has room for 1,024."""

PLAYS_OF_A_CHECK = 20
"""A request may hold 131,072 values, and a step is four of them and more."""

TOLERANCE = 1.3
"""By how much ten times the work may cost more than ten times the time: caches have an end."""


class Series(NamedTuple):
    """What growing work cost."""

    what: str
    unit: str
    costs: dict[int, Figure]
    """Seconds by units of work."""
    why_not: str = ""

    @property
    def is_linear(self) -> bool:
        """Whether no step of the work costs more than in proportion."""
        steps = list(self.costs.items())
        return all(
            after.median / before.median <= TOLERANCE * more / less
            for (less, before), (more, after) in itertools.pairwise(steps)
        )


def parameters(bench: Bench, count: int) -> Call:
    request = {"command_id": "read", "text": "x" * count}
    return bench.trees[NOW].send_data(bench.instrument(NOW).port, request)


def table_steps(bench: Bench, count: int) -> Call:
    """Plays of as many steps as a table has room for, checked in as few requests as may be."""
    steps = [{"frequency": 1e6 + n, "dwell": 1e-6} for n in range(ROWS_OF_A_TABLE)]
    plays = []
    for first in range(0, count, ROWS_OF_A_TABLE):
        some = steps[: min(count - first, ROWS_OF_A_TABLE)]
        plays.append({"command_id": "play", "channel": 0, "steps": some})
    checks = [
        _check(bench, plays[first : first + PLAYS_OF_A_CHECK])
        for first in range(0, len(plays), PLAYS_OF_A_CHECK)
    ]

    def call() -> None:
        for check in checks:
            check()

    return call


def checked(bench: Bench, count: int) -> Call:
    return _check(bench, [COMMAND] * count)


def batched(bench: Bench, count: int) -> Call:
    return bench.trees[NOW].batch(bench.link(NOW).port, count)


def _check(bench: Bench, requests: list[dict[str, Any]]) -> Call:
    request = {"command_id": "link.check", "requests": requests}
    return bench.trees[NOW].send_data(bench.link(NOW).port, request)


SERIES: tuple[tuple[str, str, Callable[[Bench, int], Call], tuple[int, ...]], ...] = (
    ("bytes of parameters", "byte", parameters, (10, 100, 10**3, 10**4, 10**5)),
    ("steps of tables in `link.check`", "step", table_steps, (10, 100, 10**3, 10**4)),
    ("requests in a `link.check`", "request", checked, (1, 10, 100, 10**3, 10**4)),
    ("requests in a `link.batch`", "request", batched, (1, 10, 100, 10**3, 10**4)),
)


def measure(bench: Bench) -> list[Series]:
    """All series; the larger the work, the fewer the turns."""
    found = []
    for what, unit, make, counts in SERIES:
        costs, why_not = {}, ""
        try:
            for count in counts:
                effort = bench.effort.fewer(max(10, count // 5))
                costs[count] = medians({"": make(bench, count)}, effort)[""]
        except (NotThereError, OSError) as error:
            why_not = str(error)
        found.append(Series(what, unit, costs, why_not))
    return found
