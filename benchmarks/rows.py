"""The table's rows: each measures two things turn by turn, and has a target for their ratio."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import measures, peers
from benchmarks.link import NotThereError, Tree, bare, bare_bytes
from benchmarks.measures import Call, Effort, Figure, cpu_times, medians
from benchmarks.processes import Server, crowd, serving

BATCH = 1000
PROCESSES, CLIENTS = 4, 32
NOW, BEFORE = "now", "before"


class Bench:
    """What all rows measure: the trees, how much, and the servers, started when first needed."""

    def __init__(self, now: Tree, before: Tree | None, effort: Effort) -> None:
        self.trees = {NOW: now} if before is None else {NOW: now, BEFORE: before}
        self.effort = effort
        self._open = contextlib.ExitStack()
        self._servers: dict[str, Server] = {}

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def server(self, name: str, start: Callable[[], AbstractContextManager[Server]]) -> Server:
        if name not in self._servers:
            self._servers[name] = self._open.enter_context(start())
        return self._servers[name]

    def link(self, which: str) -> Server:
        return self.server(f"link {which}", self.trees[which].serve)

    def instrument(self, which: str) -> Server:
        return self.server(f"instrument {which}", self.trees[which].serve_instrument)

    def journalled(self, which: str) -> Server:
        return self.server(f"journal {which}", self.trees[which].serve_with_journal)

    def bare(self, kind: str) -> Server:
        return self.server(kind, lambda: serving("-m", "benchmarks.programs", kind))

    def peer(self, name: str) -> Server:
        if missing := peers.PEERS[name].missing:
            raise NotThereError(f"not installed: {', '.join(missing)}")
        return self.server(name, lambda: serving("-m", "benchmarks.peers", name))

    def of_each(self, make: Callable[[str, Tree], Call]) -> dict[str, Call]:
        """A call for each tree; an older one may lack it."""
        calls = {}
        for which, tree in self.trees.items():
            with contextlib.nullcontext() if which == NOW else contextlib.suppress(NotThereError):
                calls[which] = make(which, tree)
        return calls


class Measured(NamedTuple):
    """What a row came to."""

    ratios: Mapping[str, Figure]
    """Of each tree."""
    figures: Mapping[str, Figure]
    """What was measured."""
    unit: str = "us"


def _ratios(figures: Mapping[str, Figure], to: str, scale: float = 1e6) -> Measured:
    ratios = {
        which: figures[which].over(figures[to]) for which in (NOW, BEFORE) if which in figures
    }
    return Measured(ratios, {name: figure.times(scale) for name, figure in figures.items()})


def exchange_to_bare(bench: Bench) -> Measured:
    calls = {"bare": bare(bench.bare("echo").port), **_exchanges(bench)}
    return _ratios(medians(calls, bench.effort), "bare")


def journal_to_none(bench: Bench) -> Measured:
    """The same server's program without one."""
    calls = {
        "none": bench.trees[NOW].send_data(bench.link(NOW).port),
        **bench.of_each(lambda which, tree: tree.send_data(bench.journalled(which).port)),
    }
    return _ratios(medians(calls, bench.effort), "none")


def exchange_to_sipyco(bench: Bench) -> Measured:
    with _sipyco(bench) as call:
        return _ratios(medians({"sipyco": call, **_exchanges(bench)}, bench.effort), "sipyco")


def kept_to_sipyco(bench: Bench) -> Measured:
    with contextlib.ExitStack() as stack:
        calls = bench.of_each(
            lambda which, tree: stack.enter_context(tree.kept(bench.link(which).port))
        )
        calls["sipyco"] = stack.enter_context(_sipyco(bench))
        return _ratios(medians(calls, bench.effort), "sipyco")


def ndsp_to_sipyco(bench: Bench) -> Measured:
    """The same client calls both."""
    with contextlib.ExitStack() as stack:
        calls = {"sipyco": stack.enter_context(_sipyco(bench))}
        calls |= bench.of_each(
            lambda which, tree: stack.enter_context(peers.connect_sipyco(bench.link(which).port))
        )
        return _ratios(medians(calls, bench.effort), "sipyco")


def batch_to_exchange(bench: Bench) -> Measured:
    batches = bench.of_each(lambda which, tree: tree.batch(bench.link(which).port, BATCH))
    calls = {"exchange": _exchanges(bench)[NOW], **batches}
    figures = medians(calls, bench.effort.fewer(100))
    each = {which: figures[which].times(1 / BATCH) for which in batches}
    return _ratios({**each, "exchange": figures["exchange"]}, "exchange")


def array_to_sipyco(bench: Bench) -> Measured:
    values = np.random.default_rng(0).random(10**5)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(peers.sipyco_client(_sipyco_port(bench)))
        calls = {"sipyco": lambda: client.take(values), **_takes(bench, values)}
        return _ratios(medians(calls, bench.effort.fewer(30)), "sipyco")


def array_to_bare(bench: Bench) -> Measured:
    values = np.random.default_rng(0).random(10**6)
    data = memoryview(values).cast("B")
    calls = {"bare": bare_bytes(bench.bare("sink").port, data), **_takes(bench, values)}
    return _ratios(medians(calls, bench.effort.fewer(300)), "bare")


def crowd_to_sipyco(bench: Bench) -> Measured:
    """Threads of several processes; sipyco's clients connect each time, as the link's do."""
    each = CLIENTS // PROCESSES
    with contextlib.ExitStack() as stack:
        port = _sipyco_port(bench)
        crowds = {
            which: stack.enter_context(
                crowd("benchmarks.link", tree.root, bench.link(which).port, each)
            )
            for which, tree in bench.trees.items()
        }
        crowds["sipyco"] = stack.enter_context(
            crowd("benchmarks.peers", "sipyco, connecting", "--crowd", port, each)
        )
        rates: dict[str, list[float]] = {name: [] for name in crowds}
        for _ in range(bench.effort.rounds):
            for name, clients in crowds.items():
                rates[name].append(clients.rate(bench.effort.seconds))
    figures = {name: Figure(tuple(values)) for name, values in rates.items()}
    return _ratios(figures, "sipyco", 1.0)._replace(unit="1/s")


def server_cpu(bench: Bench) -> Measured:
    servers = {"bare": bench.bare("echo"), **{which: bench.link(which) for which in bench.trees}}
    calls = {"bare": bare(servers["bare"].port), **_exchanges(bench)}
    clocks = {name: _cpu_clock(server.pid) for name, server in servers.items()}
    return _ratios(cpu_times(calls, clocks, bench.effort), "bare")


def client_cpu(bench: Bench) -> Measured:
    calls = {"bare": bare(bench.bare("echo").port), **_exchanges(bench)}
    clocks = dict.fromkeys(calls, time.process_time)
    return _ratios(cpu_times(calls, clocks, bench.effort), "bare")


def tail_to_median(bench: Bench) -> Measured:
    taken = measures.turn_by_turn(_exchanges(bench), bench.effort)
    ratios: dict[str, Figure] = {}
    figures: dict[str, Figure] = {}
    for which, rounds in taken.items():
        p50, p99 = (
            Figure(tuple(measures.percentile(times, percent) for times in rounds))
            for percent in (50, 99)
        )
        ratios[which] = p99.over(p50)
        figures |= {f"{which} p50": p50.times(1e6), f"{which} p99": p99.times(1e6)}
    return Measured(ratios, figures)


def listened_to(listeners: int, readers: int) -> Callable[[Bench], Measured]:
    """A server with so many listeners, of whom some read, beside one without.

    Each call changes the state, and all are told of states, progress and exchanges. The mean
    counts, because listeners are told now and then; and each server is called for a while before
    the other, so that it bears what it leaves behind.
    """

    def measure(bench: Bench) -> Measured:
        tree, count = bench.trees[NOW], itertools.count()

        def change(link: Any) -> None:
            link.call("set_frequency", channel=0, frequency=80e6 + next(count) % 1000 * 1e3)

        with contextlib.ExitStack() as stack, _not_there_if_it_fails():
            measures.allow_files(listeners + 200)
            calls = {}
            for name in ("none", NOW):
                server = stack.enter_context(tree.serve())
                link = stack.enter_context(tree.client.Link(port=server.port))
                calls[name] = functools.partial(change, link)
            counts = map(str, (server.port, listeners, readers))
            stack.enter_context(serving("-m", "benchmarks.listeners", *counts))
            taken = measures.turn_by_turn(calls, bench.effort._replace(bunch=50))
        means = {name: Figure(tuple(map(statistics.fmean, t))) for name, t in taken.items()}
        return _ratios(means, "none")

    return measure


def idle_memory(bench: Bench) -> Measured:
    """What the server's process grows by; both ends of all connections are files."""
    count = bench.effort.connections
    with _not_there_if_it_fails():
        measures.allow_files(count + 200)
        figures = {
            which: Figure(tuple(_idle_memory(tree, count) for _ in range(bench.effort.rounds)))
            for which, tree in bench.trees.items()
        }
    return Measured(figures, figures, "KiB")


def _idle_memory(tree: Tree, count: int) -> float:
    """KiB of a fresh server for each of so many connections that are kept and idle."""
    request = json.dumps({"command_id": "link.ping", "link": {"keep": True}}).encode()

    def connect(stack: contextlib.ExitStack, connections: int) -> None:
        for _ in range(connections):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            connection.sendall(request)
            if not connection.recv(4096):
                raise OSError("the server keeps no more connections")

    with tree.serve() as server, contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as first:  # what is there once for all connections
            connect(first, 100)
        before = measures.resident(server.pid)
        connect(stack, count)
        return (measures.resident(server.pid) - before) / count / 1024


def import_time(bench: Bench) -> Measured:
    """Alone, as an experiment has the file; fresh processes, the best of several."""
    folders = {which: tree.root / "artiq_link" for which, tree in bench.trees.items()}
    taken: dict[str, list[float]] = {name: [] for name in ("json, socket", *folders)}
    for _ in range(bench.effort.rounds):
        tries = 5 * bench.effort.rounds
        taken["json, socket"].append(measures.import_time("json, socket", Path(), tries))
        for which, folder in folders.items():
            taken[which].append(measures.import_time("link_client", folder, tries))
    figures = {name: Figure(tuple(values)) for name, values in taken.items()}
    return _ratios(figures, "json, socket")


def _exchanges(bench: Bench) -> dict[str, Call]:
    return bench.of_each(lambda which, tree: tree.send_data(bench.link(which).port))


def _takes(bench: Bench, values: Any) -> dict[str, Call]:
    request = {"command_id": "take", "values": values}
    return bench.of_each(lambda which, tree: tree.send_data(bench.instrument(which).port, request))


def _sipyco_port(bench: Bench) -> int:
    return bench.peer("sipyco").port


def _sipyco(bench: Bench) -> AbstractContextManager[Call]:
    """A call of sipyco's client to its own server, on an open connection."""
    return peers.connect_sipyco(_sipyco_port(bench))


def _cpu_clock(pid: int) -> Callable[[], float]:
    with _not_there_if_it_fails():
        return measures.cpu_clock(pid)


@contextlib.contextmanager
def _not_there_if_it_fails() -> Iterator[None]:
    """This system does not tell, or does not allow it."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise NotThereError(f"it cannot be measured here: {error}") from None


class Row(NamedTuple):
    """One line of the table."""

    what: str
    limit: float
    """What the ratio is to be, at most."""
    measure: Callable[[Bench], Measured]
    is_least: bool = False
    """Whether it is to be so much at least."""

    def is_met(self, ratio: Figure) -> bool:
        return ratio.median >= self.limit if self.is_least else ratio.median <= self.limit


ROWS = (
    Row("`send_data`, connecting each time, to bare TCP connect, echo, close", 1.8,
        exchange_to_bare),
    Row("the same, to a sipyco call on an open connection", 1.5, exchange_to_sipyco),
    Row("the same with a journal in a file, to without", 1.15, journal_to_none),
    Row("call on a kept connection, to sipyco's", 0.7, kept_to_sipyco),
    Row("a real `sipyco.pc_rpc.Client` calling our NDSP, to the same client calling sipyco's"
        " server", 1.2, ndsp_to_sipyco),
    Row("per command in a batch of 1,000, to an exchange", 0.1, batch_to_exchange),
    Row("10^5 float64 to the server, to sipyco's", 0.15, array_to_sipyco),
    Row("10^6 float64 (8 MB) to the server, to a bare socket doing the same", 3.0, array_to_bare),
    Row("exchanges per second of 32 clients in 4 processes, to sipyco's connecting each time",
        2.0, crowd_to_sipyco, is_least=True),
    Row("server's CPU time per `send_data`, to the bare echo server's", 5.0, server_cpu),
    Row("client's CPU time per `send_data`, to a bare socket client's", 1.8, client_cpu),
    Row("call on a kept connection with 100 listeners, to without", 1.3, listened_to(100, 100)),
    Row("the same with 1,000, of whom 900 never read", 1.3, listened_to(1000, 100)),
    Row("p99 to p50 of one client", 2.0, tail_to_median),
    Row("memory per idle connection, in KiB", 4.0, idle_memory),
    Row("import of `link_client`, to `import json, socket`", 1.4, import_time),
)  # fmt: skip
