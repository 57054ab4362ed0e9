"""A network that cuts connections at any byte, delays, throttles, and swallows replies."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from artiq_link import Link, LinkError
from benchmarks.torture.dialects import DIALECTS, Dialect
from benchmarks.torture.lab import Lab
from benchmarks.torture.proxy import Faults, Proxy
from benchmarks.torture.trial import AFTER_TIMEOUT, Trial

AT_ONCE = 8
"""Exchanges that are cut at the same time."""

CUT_TIME = 2.0
"""Seconds after which a client that has not been cut gives up."""

SLOW = {
    "delay of 0.1 s": Faults(delay=0.1),
    "packets of one byte": Faults(piece=1),
    "1 byte/s": Faults(piece=1, delay=1.0),
    "swallowed replies": Faults(swallows=True),
}
TIMEOUT = 0.5
"""Seconds that clients of a slow network give each exchange."""


def cuts(trial: Trial) -> None:
    """Cut at every byte of request and reply, by an end and by a reset; `times` is the step."""
    with trial.lab() as lab:
        for dialect in DIALECTS:
            _cut_each(trial, lab, dialect)
        _cut_retries(trial, lab)


def _places(trial: Trial, sent: int, received: int) -> Iterator[Faults]:
    """Every way to cut an exchange of so many bytes, or each ``times``-th of them."""
    found = [
        *(Faults(requests=n, reset=reset) for n in range(1, sent + 1) for reset in (False, True)),
        *(Faults(replies=n, reset=reset) for n in range(1, received) for reset in (False, True)),
    ]
    return itertools.islice(found, trial.random.randrange(trial.times), None, trial.times)


def _cut_each(trial: Trial, lab: Lab, dialect: Dialect) -> None:
    """Cut a request that is sent once: it is executed once, or not at all."""
    key = dialect.name.replace(" ", "")
    whole = dialect.exchange(lab.port, f"{key}-whole", CUT_TIME)
    places = list(_places(trial, len(dialect.request(f"{key}-00000")), len(whole)))
    names = [f"{key}-{number:05}" for number in range(len(places))]
    acknowledged = []

    def ask(number: int) -> None:
        with Proxy(lab.port, lambda _: places[number]) as proxy:
            if dialect.acknowledges(
                dialect.exchange(proxy.port, names[number], CUT_TIME), names[number]
            ):
                acknowledged.append(names[number])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(len(places))))
    lab.settle()
    counted = lab.counted()
    size = len(dialect.request(names[0])) - dialect.ending
    trial.figures[f"{dialect.name}, cuts"] = len(places)
    trial.must_be_none([who for who in names if counted[who] > 1], "executed twice")
    trial.must_be_none([who for who in acknowledged if not counted[who]], "acknowledged and lost")
    trial.must_be_none(
        [
            who
            for who, place in zip(names, places, strict=True)
            if counted[who] and place.requests < size
        ],
        f"{dialect.name}: executed before the whole request came",
    )


def _cut_retries(trial: Trial, lab: Lab) -> None:
    """Cut the first connection of a request with an id: repeated, it is executed once."""
    first = lab.link().send({"command_id": "count", "who": "r", "link": {"id": "id-00000"}})
    places = list(_places(trial, 110, len(str(first)) + 10))
    told: dict[str, str] = {}

    def ask(number: int) -> None:
        who, name = f"r-{number:05}", f"id-r-{number:05}"
        passes = Faults()
        with Proxy(lab.port, lambda n: passes if n else places[number]) as proxy:
            link = Link(port=proxy.port, timeout=10.0, retries=3)
            try:
                link.send({"command_id": "count", "who": who, "link": {"id": name}})
            except LinkError as error:
                told[who] = str(error)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(len(places))))
    lab.settle()
    counted = lab.counted()
    names = {f"r-{number:05}": f"id-r-{number:05}" for number in range(len(places))}
    outcomes = _outcomes(lab, names)
    trial.figures["link_client, cuts"] = len(places)
    trial.must_be_none([f"{who}: {why}" for who, why in told.items()], "not repeated")
    trial.must_be_none([who for who in names if counted[who] != 1], "not executed once")
    trial.must_be_none([who for who in names if outcomes[who] != "done"], "wrong outcomes")


def _outcomes(lab: Lab, ids: Mapping[str, str]) -> dict[str, str]:
    with lab.link() as link:
        return {who: link.outcome(name)["outcome"] for who, name in ids.items()}


def slow(trial: Trial) -> None:
    """Each slow network carries so many exchanges of `link_client`, and of the other dialects."""
    with trial.lab() as lab:
        for what, faults in SLOW.items():
            with Proxy(lab.port, lambda _, faults=faults: faults) as proxy:  # type: ignore[misc]
                _call_slowly(trial, lab, what, proxy.port)


def _call_slowly(trial: Trial, lab: Lab, what: str, port: int) -> None:
    key = what.replace(" ", "-")
    acknowledged: list[str] = []
    lasted: list[float] = []
    ids: dict[str, str] = {}
    lock = threading.Lock()

    def call(number: int) -> None:
        who = f"{key}-{number}"
        ids[who] = f"id-{who}"
        started = time.monotonic()
        try:
            Link(port=port, timeout=TIMEOUT, retries=5).send(
                {"command_id": "count", "who": who, "link": {"id": ids[who]}}
            )
        except LinkError:
            pass
        else:
            acknowledged.append(who)
        with lock:
            lasted.append(time.monotonic() - started)

    def speak(dialect: Dialect) -> None:
        who = f"{key}-{dialect.name.replace(' ', '')}"
        if dialect.acknowledges(dialect.exchange(port, who, TIMEOUT), who):
            acknowledged.append(who)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(call, range(trial.times)))
        list(pool.map(speak, DIALECTS))
    lab.settle()
    counted = lab.counted()
    mine = {who: n for who, n in counted.items() if who.startswith(key)}
    outcomes = _outcomes(lab, ids)
    trial.figures[f"{what}: acknowledged"] = (
        f"{len(acknowledged)} of {trial.times + len(DIALECTS)}"
    )
    trial.figures[f"{what}: longest"] = f"{max(lasted):.3f} s"
    trial.must_take(max(lasted), TIMEOUT + AFTER_TIMEOUT, f"{what}: a call of {TIMEOUT:g} s")
    trial.must_be_none([who for who, n in mine.items() if n > 1], f"executed twice ({what})")
    trial.must_be_none(
        [who for who in acknowledged if who not in mine], f"acknowledged and lost ({what})"
    )
    trial.must_be_none(
        [f"{who} ({told})" for who, told in outcomes.items() if (told == "done") != (who in mine)],
        f"wrong outcomes ({what})",
    )
