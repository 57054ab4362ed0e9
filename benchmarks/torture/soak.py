"""Hours of ordinary work in short: all dialects at a steady rate, with restarts."""

from __future__ import annotations

import contextlib
import threading
import time

from artiq_link import LinkError
from benchmarks.torture.dialects import DIALECTS, answer
from benchmarks.torture.lab import Lab
from benchmarks.torture.trial import Trial

RATE = 200.0
"""Exchanges a second, all dialects together."""

RESTARTS = 3
"""How often the server is stopped and started again meanwhile."""

GROWTH = 20.0
"""MiB by which the second half of one start may exceed its first."""


class _Speakers:
    """A client for each dialect, and `link_client`'s, each at its part of the rate."""

    def __init__(self, lab: Lab) -> None:
        self.exchanges = 0
        self.failed = 0
        self.cut = 0
        """Not answered, because the server ended or was not there."""
        self.starts_and_ends = 0
        """Even while the server is up."""
        self._lab = lab
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._speak, args=(number,))
            for number in range(len(DIALECTS) + 1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _speak(self, number: int) -> None:
        pause = len(self._threads) / RATE
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic() - 1.0)
            before = self.starts_and_ends
            is_done = self._ask(number)
            was_up = before == self.starts_and_ends and before % 2 == 0
            with self._lock:
                self.exchanges += 1
                self.failed += was_up and not is_done
                self.cut += not was_up and not is_done

    def _ask(self, number: int) -> bool:
        if number < len(DIALECTS):
            dialect = DIALECTS[number]
            data = dialect.ask("set_clock", {"back": 0})
            halves, port = dialect.half_closes, self._lab.port
            return bool(answer(port, data, 5.0, half_close=halves, is_whole=_is_whole))
        with contextlib.suppress(LinkError):
            self._lab.link(5.0, retries=100).call("set_clock", back=0.0)
            return True
        return False


def _is_whole(reply: bytes) -> bool:
    """Whether a WebSocket's reply is there; who speaks another dialect waits for the end."""
    return b'"success"' in reply


def soak(trial: Trial) -> None:
    """Work for so many seconds, and compare each start's second half with its first."""
    samples: list[tuple[float, int, int]] = []
    with trial.lab() as lab:
        speakers = _Speakers(lab)
        speakers.start()
        with contextlib.ExitStack() as stack:
            stack.callback(speakers.end)
            part = trial.times / (RESTARTS + 1)
            for turn in range(RESTARTS + 1):
                time.sleep(part / 2)
                early = _held(lab)
                time.sleep(part / 2)
                late = _held(lab)
                samples += [early, late]
                trial.must(late[0] < early[0] + GROWTH, f"memory: {early[0]:.0f}, {late[0]:.0f}")
                trial.must(late[1] <= early[1] + 1, f"threads: {early[1]}, then {late[1]}")
                trial.must(late[2] <= early[2] + 20, f"descriptors: {early[2]}, then {late[2]}")
                if turn < RESTARTS:
                    speakers.starts_and_ends += 1
                    trial.must(lab.stop() == 0, "Ctrl-C does not end it with exit code 0")
                    lab.start()
                    speakers.starts_and_ends += 1
        trial.must("Traceback" not in lab.text("log"), "the log has a traceback")
    trial.must(speakers.failed == 0, f"{speakers.failed} not answered while the server was up")
    trial.figures |= {
        "exchanges": speakers.exchanges,
        "cut by a restart": speakers.cut,
        "MiB": f"{min(memory for memory, _, _ in samples):.0f} to {max(samples)[0]:.0f}",
        "threads, descriptors at most": f"{max(s[1] for s in samples)}, "
        f"{max(s[2] for s in samples)}",
    }


def _held(lab: Lab) -> tuple[float, int, int]:
    return lab.memory(), lab.threads(), lab.descriptors()
