"""The server is killed at random moments, while clients repeat what they have no reply to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Mapping

from artiq_link import ConnectFailed, Link, NoReply
from benchmarks.torture.lab import PATIENCE
from benchmarks.torture.trial import Trial

CLIENTS = 8
RETRIES = 1000
EXECUTED = {"done": {True}, "unknown": {True, False}}
"""Whether a command may have been executed, by its outcome; it was not by any other."""


class Clients:
    """Clients that count one name after the other, and what each was told, until they are to end.

    ``told`` is by name: "done", "unknown" where nobody knows, "not done".
    """

    def __init__(self, port: int, count: int = CLIENTS, timeout: float = PATIENCE) -> None:
        self.told: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._links = [Link(port=port, timeout=timeout, retries=RETRIES) for _ in range(count)]
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        counted = 0
        while not self._ending.is_set():
            counted += 1
            who = f"{number}.{counted}"
            self._ids[who] = f"id-{who}"
            self.told[who] = self._count(self._links[number], who)

    def _count(self, link: Link, who: str) -> str:
        request = {"command_id": "count", "who": who, "link": {"id": self._ids[who]}}
        try:
            reply = link.send(request)
        except ConnectFailed:
            time.sleep(0.01)  # there is no server yet
            return "not done"
        except NoReply:
            return "unknown"
        if reply["status"] == "success":
            return "done"
        return "unknown" if reply["code"] == "unknown_outcome" else "not done"

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def outcomes(self, link: Link) -> dict[str, str]:
        """What the server says became of each name that was told of."""
        with link:
            return {who: link.outcome(self._ids[who])["outcome"] for who in self.told}


def judge(
    trial: Trial, counted: Counter[str], told: Mapping[str, str], outcomes: Mapping[str, str]
) -> None:
    """Compare what was done with what the clients were told, and with what the server says."""
    of: dict[str, list[str]] = {"done": [], "unknown": [], "not done": []}
    for who, what in told.items():
        of[what].append(who)
    trial.figures |= {
        "acknowledged": len(of["done"]),
        "unknown": len(of["unknown"]),
        "counted": sum(counted.values()),
    }
    trial.must(bool(of["done"]), "nothing was acknowledged")
    trial.must_be_none(
        [who for who in of["done"] if outcomes[who] != "done"],
        "acknowledged, and not known as done",
    )
    trial.must_be_none([who for who, n in counted.items() if n > 1], "executed twice")
    trial.must_be_none([who for who in of["done"] if who not in counted], "acknowledged and lost")
    trial.must_be_none([who for who in of["not done"] if who in counted], "denied and executed")
    trial.must_be_none([who for who in counted if who not in told], "executed and never told of")
    trial.must_be_none(
        [
            f"{who} ({outcome})"
            for who, outcome in outcomes.items()
            if (who in counted) not in EXECUTED.get(outcome, {False})
        ],
        "wrong outcomes",
    )


def kill9(trial: Trial) -> None:
    """Kill and start again; the clients try each count for much longer than that takes."""
    with trial.lab() as lab:
        clients = Clients(lab.port)
        with contextlib.ExitStack() as stack:
            stack.callback(clients.end)
            for _ in range(trial.times):
                time.sleep(trial.random.uniform(0.0, 0.3))
                lab.kill()
                lab.start()
        judge(trial, lab.counted(), clients.told, clients.outcomes(lab.link()))
        status = lab.link().call("link.status")["journal"]
        trial.must(status["problem"] is None, f"the journal's problem: {status['problem']}")
