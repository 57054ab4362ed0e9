"""What a scan of 1,000 points costs the experiment's thread, posted and in waiting calls.

The server, ``python server.py``, runs in a process of its own. A point that is posted should cost
less than 20 us at the median, a waiting one costs one exchange. Run with
``python benchmarks/post.py``.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from artiq_link.artiq_device import DDSLink

ROOT = Path(__file__).parents[1]
POINTS = 1000
SCANS = 5
LIMIT = 20e-6
"""Seconds that a posted point may cost at the median."""


def scan(set_frequency: Callable[[int, float], object]) -> list[float]:
    """Set each point; gives the seconds that each took."""
    times = []
    for frequency in np.linspace(70e6, 90e6, POINTS):
        start = time.perf_counter()
        set_frequency(0, frequency)
        times.append(time.perf_counter() - start)
    return times


def show(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    print(
        f"{name}: median {statistics.median(times) * 1e6:7.1f} us a point, 99 of 100 below "
        f"{ordered[len(ordered) * 99 // 100] * 1e6:7.1f} us, largest {ordered[-1] * 1e6:7.1f} us"
    )


def main() -> None:
    """Print both medians, and what the posted points took until all were done."""
    command = [sys.executable, "server.py", "-p", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            ready = server.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", ready)
            assert found is not None, f"{command} did not start: {ready!r}"
            dds = DDSLink(None, "127.0.0.1", int(found[1]))
            posted, done, waiting = [], [], []
            for _ in range(SCANS):
                start = time.perf_counter()
                posted += scan(dds.post_frequency)
                dds.flush()
                done.append((time.perf_counter() - start) / POINTS)
                waiting += scan(dds.set_frequency)
            dds.close()
        finally:
            server.terminate()
    show("post_frequency", posted)
    show("set_frequency ", waiting)
    print(f"posted and flushed: {statistics.median(done) * 1e6:.1f} us a point")
    verdict = "below" if statistics.median(posted) < LIMIT else "NOT below"
    print(f"the median of a posted point is {verdict} {LIMIT * 1e6:g} us")


if __name__ == "__main__":
    main()
