"""A server, and a client, that the system suspends for longer than the timeout, or the lease.

``python -m benchmarks.torture.suspended PORT call`` is the client, ``hold`` one that has a lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from artiq_link import Link, LinkError
from benchmarks.torture.lab import PATIENCE, Lab, beside, until
from benchmarks.torture.trial import AFTER_TIMEOUT, Trial

TIMEOUT = 0.3
"""Seconds that a client gives each exchange."""

LEASE = 1.0
"""Seconds of a lease."""

CLIENTS = 8


def server(trial: Trial) -> None:
    """Suspend the server so often; who has given up meanwhile is not served later."""
    given_up: list[str] = []
    lasted: list[float] = []

    def ask(who: str) -> None:
        started = time.monotonic()
        try:
            lab.link(TIMEOUT).call("count", who=who)
        except LinkError:
            given_up.append(who)
        lasted.append(time.monotonic() - started)

    with trial.lab() as lab, ThreadPoolExecutor(CLIENTS) as pool:
        for turn in range(trial.times):
            lab.send_signal(signal.SIGSTOP)
            list(pool.map(ask, [f"{turn}.{number}" for number in range(CLIENTS)]))
            lab.send_signal(signal.SIGCONT)
            trial.must(lab.is_served(f"{turn}.after"), f"not served after stop {turn}")
        lab.settle()
        counted = lab.counted()
    trial.figures |= {"given up": len(given_up), "longest": f"{max(lasted):.3f} s"}
    trial.must(len(given_up) == CLIENTS * trial.times, "a suspended server answered")
    trial.must_be_none([who for who in given_up if who in counted], "executed late")
    trial.must_take(max(lasted), TIMEOUT + AFTER_TIMEOUT, f"a call of {TIMEOUT:g} s")


@contextlib.contextmanager
def _running(lab: Lab, what: str) -> Iterator[subprocess.Popen[str]]:
    """The client, once it has been served."""
    with beside("benchmarks.torture.suspended", lab.port, what) as process:
        until(lambda: bool(lab.counted()))
        yield process


def client(trial: Trial) -> None:
    """Suspend a client so often at random moments, for longer than its timeout."""
    with trial.lab() as lab:
        with _running(lab, "call") as process:
            for _ in range(trial.times):
                time.sleep(trial.random.uniform(0.0, 0.05))
                process.send_signal(signal.SIGSTOP)
                time.sleep(TIMEOUT + 0.1)
                process.send_signal(signal.SIGCONT)
            output, _ = process.communicate("end\n", timeout=PATIENCE)
        lab.settle()
        judge_client(trial, lab, [json.loads(line) for line in output.splitlines()])


def judge_client(trial: Trial, lab: Lab, calls: list[dict[str, float]]) -> None:
    """Compare when each call was to be over with when it was executed.

    One that succeeded behind its end was suspended between the look at the clock here and its own:
    nobody had given it up.
    """
    counted, counted_at = lab.counted(), lab.counted_at()
    late = {
        str(call["who"]): counted_at[str(call["who"])] - call["end"]
        for call in calls
        if not call["done"] and counted_at.get(str(call["who"]), 0.0) > call["end"]
    }
    trial.figures |= {
        "calls": len(calls),
        "ended in an error": sum(not call["done"] for call in calls),
    }
    trial.must_be_none([f"{who} by {by:.3f} s" for who, by in late.items()], "executed late")
    trial.must_be_none([who for who, n in counted.items() if n > 1], "executed twice")
    trial.must_be_none(
        [str(call["who"]) for call in calls if call["done"] and str(call["who"]) not in counted],
        "acknowledged and lost",
    )


def holder(trial: Trial) -> None:
    """Suspend a lease's holder so often for longer than the lease, and let another have it."""
    with trial.lab() as lab:
        with _running(lab, "hold") as process:
            for turn in range(trial.times):
                # The holder has the lease again once it counts.
                before = len(lab.order())
                until(lambda before=before: len(lab.order()) > before)
                process.send_signal(signal.SIGSTOP)
                other = lab.link()
                with _held_at_last(other):
                    other.call("count", who=f"begin-{turn}")
                    process.send_signal(signal.SIGCONT)
                    for number in range(20):
                        other.call("count", who=f"other-{turn}.{number}")
                    other.call("count", who=f"end-{turn}")
        order = lab.order()
    judge_holder(trial, order)


def judge_holder(trial: Trial, order: list[str]) -> None:
    """Look for what was executed while another had the lease."""
    has_other = False
    woken = []
    for who in order:
        has_other = who.startswith("begin") or (has_other and not who.startswith("end"))
        if has_other and who.startswith("h"):
            woken.append(who)
    trial.figures |= {"by the holder": sum(who.startswith("h") for who in order)}
    trial.must_be_none(woken, "executed under an old lease")
    trial.must(f"end-{trial.times - 1}" in order, "the other has not come to its end")


@contextlib.contextmanager
def _held_at_last(link: Link) -> Iterator[None]:
    """The lease on the counter, as soon as the one before has run out."""
    held = link.lease("counter", owner="other", seconds=PATIENCE)

    def is_free() -> bool:
        with contextlib.suppress(LinkError):
            held.__enter__()
            return True
        return False

    until(is_free)
    try:
        yield
    finally:
        held.__exit__(None, None, None)


def hold_on(port: int) -> None:
    """Hold the lease and count, and again when it was lost."""
    number = 0
    link = Link(port=port, timeout=TIMEOUT)
    while True:
        with contextlib.suppress(LinkError), link.lease("counter", owner="holder", seconds=LEASE):
            while True:
                number += 1
                link.call("count", who=f"h{number}")


def call_on(port: int) -> None:
    """Call until a line comes; print of each call by when it was to be over, and whether it was
    done."""
    number = 0
    os.set_blocking(sys.stdin.fileno(), False)
    while not sys.stdin.readline():
        number += 1
        who, link = f"c{number}", Link(port=port, timeout=TIMEOUT, retries=5)
        end = time.monotonic() + TIMEOUT
        try:
            link.call("count", who=who)
            done = True
        except LinkError:
            done = False
        print(json.dumps({"who": who, "end": end, "done": done}))


if __name__ == "__main__":
    {"call": call_on, "hold": hold_on}[sys.argv[2]](int(sys.argv[1]))
