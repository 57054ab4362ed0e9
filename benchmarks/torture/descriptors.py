"""No descriptor is left: who is connected is served, the log tells once, nothing spins."""

from __future__ import annotations

import contextlib
import time

from benchmarks.torture.lab import until
from benchmarks.torture.trial import Trial

FILES = 64
"""As of `ulimit -n 64`."""

WATCHED = 1.0
"""Seconds for which the server's CPU time is watched."""


def descriptors(trial: Trial) -> None:
    """Have so many clients connect, ask once and stay, beside one that goes on working."""
    with trial.lab(files=FILES) as lab, lab.link() as link:
        trial.must(link.call("count", who="before") == "counted before", "not served before")
        with contextlib.ExitStack() as stack:
            for number in range(trial.times):
                client = stack.enter_context(lab.link(retries=20))
                trial.must(client.call("link.ping"), "a newcomer is not served")
                link.call("count", who=f"among-{number}")
            spent, started = lab.cpu_time(), time.monotonic()
            time.sleep(WATCHED)
            spent = (lab.cpu_time() - spent) / (time.monotonic() - started)
        trial.must(spent < 0.5, f"{100 * spent:.0f} % of a processor while nothing happened")
        trial.must(
            sum(lab.counted().values()) == trial.times + 1, "who was connected was not served"
        )
        until(lambda: lab.is_served("after"))
        lines = [line for line in lab.text("log").splitlines() if "connections are open" in line]
        trial.must(len(lines) == 1, f"the log tells {len(lines)} times: {lines[:3]}")
        trial.must("Traceback" not in lab.text("log"), "the log has a traceback")
    trial.figures |= {"clients": trial.times, "CPU time": f"{100 * spent:.0f} %"}
