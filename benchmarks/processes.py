"""Servers and crowds of clients, each in a process of its own that ends with its block."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
END_TIME = 5.0
"""Seconds that a process has to end in before it is killed."""


class Server(NamedTuple):
    """A server in a process of its own."""

    pid: int
    port: int


@contextlib.contextmanager
def _process(command: Sequence[str], tree: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program with the code of `tree` for the length of a ``with`` block."""
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_TIME)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def serving(*command: str, tree: Path = ROOT) -> Iterator[Server]:
    """Run a server, and give its port, which it prints; raises OSError where it does not start."""
    with _process(command, tree) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise OSError(f"{' '.join(command)} did not start: {line!r}")
        yield Server(process.pid, int(found[1]))


class Crowd:
    """Clients in several processes that all call one server as often as they can."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def rate(self, seconds: float) -> float:
        """How many calls a second come back, all clients together."""
        for process in self._processes:
            assert process.stdin is not None
            print(seconds, file=process.stdin, flush=True)
        rates = []
        for process in self._processes:
            assert process.stdout is not None
            rates.append(float(process.stdout.readline()))
        return sum(rates)


@contextlib.contextmanager
def crowd(
    module: str, *arguments: object, processes: int = 4, tree: Path = ROOT
) -> Iterator[Crowd]:
    """Run ``python -m module arguments``, which calls `be_crowd`, in several processes."""
    command = ["-m", module, *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        yield Crowd([stack.enter_context(_process(command, tree)) for _ in range(processes)])


def be_crowd(call: Callable[[], object], clients: int) -> None:
    """For each number of seconds that comes in, call from so many threads and print the rate."""
    for line in sys.stdin:
        end = time.monotonic() + float(line)
        counts = [0] * clients

        def run(number: int, end: float = end, counts: list[int] = counts) -> None:
            while time.monotonic() < end:
                call()
                counts[number] += 1

        start = time.perf_counter()
        threads = [threading.Thread(target=run, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sum(counts) / (time.perf_counter() - start), flush=True)
