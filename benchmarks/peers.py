"""Other ways to call a function of another program: each a tiny server, and a client's call.

``python -m benchmarks.peers NAME`` serves it, with ``--crowd PORT CLIENTS`` it calls it from so
many threads. All of them call one function that does what a DDS has to: float arithmetic.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from benchmarks.measures import Call
from benchmarks.processes import be_crowd
from benchmarks.programs import announce

HOST = "127.0.0.1"
CHANNEL, FREQUENCY = 0, 80e6
STEP = 1e9 / 2**32
"""Hz, of a DDS with a clock of 1 GHz and a tuning word of 32 bits."""


class Target:
    """What is served."""

    def set_frequency(self, channel: int, frequency: float) -> float:
        return round(frequency / STEP) * STEP

    def take(self, values: Any) -> int:
        return len(values)


target = Target()


class Peer(NamedTuple):
    """One way to call a function."""

    packages: tuple[str, ...]
    """What has to be importable."""
    how: str
    """How its client connects."""
    serve: Callable[[], object]
    connect: Callable[[int], AbstractContextManager[Call]]

    @property
    def missing(self) -> list[str]:
        """Which of its packages are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


def serve_sipyco() -> None:
    """What `sipyco.pc_rpc.simple_server_loop` does, with a port that is free."""
    from sipyco.pc_rpc import Server

    async def serve() -> None:
        server = Server({"dds": target}, None, True)
        await server.start(HOST, 0)
        announce(server.server.sockets[0].getsockname()[1])
        await server.wait_terminate()

    asyncio.run(serve())


@contextlib.contextmanager
def sipyco_client(port: int) -> Iterator[Any]:
    """A client of NDSP, whoever serves it: `sipyco.pc_rpc.Client`."""
    from sipyco.pc_rpc import Client

    client = Client(HOST, port, "dds")
    try:
        yield client
    finally:
        client.close_rpc()


@contextlib.contextmanager
def connect_sipyco(port: int) -> Iterator[Call]:
    with sipyco_client(port) as client:
        yield lambda: client.set_frequency(CHANNEL, FREQUENCY)


@contextlib.contextmanager
def reconnect_sipyco(port: int) -> Iterator[Call]:
    def call() -> object:
        with sipyco_client(port) as client:
            return client.set_frequency(CHANNEL, FREQUENCY)

    yield call


def serve_pyro() -> None:
    import Pyro5.api

    with Pyro5.api.Daemon(host=HOST, port=0) as daemon:
        daemon.register(Pyro5.api.expose(Target), "dds")
        announce(int(daemon.locationStr.rpartition(":")[2]))
        daemon.requestLoop()


@contextlib.contextmanager
def connect_pyro(port: int) -> Iterator[Call]:
    import Pyro5.api

    with Pyro5.api.Proxy(f"PYRO:dds@{HOST}:{port}") as proxy:
        yield lambda: proxy.set_frequency(CHANNEL, FREQUENCY)


def serve_rpyc() -> None:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Service(rpyc.Service):
        """The target, by the names that rpyc calls."""

        exposed_set_frequency = staticmethod(target.set_frequency)

    server = ThreadedServer(Service, hostname=HOST, port=0)
    announce(server.port)
    server.start()


@contextlib.contextmanager
def connect_rpyc(port: int) -> Iterator[Call]:
    import rpyc

    with contextlib.closing(rpyc.connect(HOST, port)) as connection:
        yield lambda: connection.root.set_frequency(CHANNEL, FREQUENCY)


def serve_zmq() -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.REP) as replies:
        announce(replies.bind_to_random_port(f"tcp://{HOST}"))
        while True:
            replies.send_json(target.set_frequency(**replies.recv_json()))


@contextlib.contextmanager
def connect_zmq(port: int) -> Iterator[Call]:
    import zmq

    with zmq.Context() as context, context.socket(zmq.REQ) as requests:
        requests.connect(f"tcp://{HOST}:{port}")

        def call() -> object:
            requests.send_json({"channel": CHANNEL, "frequency": FREQUENCY})
            return requests.recv_json()

        yield call


def serve_xmlrpc() -> None:
    from xmlrpc.server import SimpleXMLRPCServer

    with SimpleXMLRPCServer((HOST, 0), logRequests=False) as server:
        server.register_function(target.set_frequency)
        announce(server.server_address[1])
        server.serve_forever()


@contextlib.contextmanager
def connect_xmlrpc(port: int) -> Iterator[Call]:
    from xmlrpc.client import ServerProxy

    with ServerProxy(f"http://{HOST}:{port}/") as proxy:
        yield lambda: proxy.set_frequency(CHANNEL, FREQUENCY)


def serve_websockets() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(json.dumps(target.set_frequency(**json.loads(message))))

    async def run() -> None:
        async with serve(answer, HOST, 0) as server:
            announce(next(iter(server.sockets)).getsockname()[1])
            await server.serve_forever()

    asyncio.run(run())


@contextlib.contextmanager
def connect_websockets(port: int) -> Iterator[Call]:
    from websockets.sync.client import connect

    with connect(f"ws://{HOST}:{port}/") as connection:

        def call() -> object:
            connection.send(json.dumps({"channel": CHANNEL, "frequency": FREQUENCY}))
            return json.loads(connection.recv())

        yield call


def serve_fastapi() -> None:
    import socket

    import uvicorn
    from fastapi import FastAPI

    application = FastAPI()
    application.post("/set_frequency")(target.set_frequency)
    with socket.create_server((HOST, 0)) as listener:
        announce(listener.getsockname()[1])
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning"))
        server.run(sockets=[listener])


@contextlib.contextmanager
def connect_fastapi(port: int) -> Iterator[Call]:
    import httpx

    with httpx.Client(base_url=f"http://{HOST}:{port}") as client:
        parameters = {"channel": CHANNEL, "frequency": FREQUENCY}
        yield lambda: client.post("/set_frequency", params=parameters).json()


PEERS = {
    "sipyco": Peer(("sipyco",), "an open connection", serve_sipyco, connect_sipyco),
    "sipyco, connecting": Peer(("sipyco",), "for each call", serve_sipyco, reconnect_sipyco),
    "Pyro5": Peer(("Pyro5",), "an open connection", serve_pyro, connect_pyro),
    "rpyc": Peer(("rpyc",), "an open connection", serve_rpyc, connect_rpyc),
    "zmq": Peer(("zmq",), "an open REQ socket, JSON", serve_zmq, connect_zmq),
    "xmlrpc": Peer(("xmlrpc",), "for each call, HTTP/1.0", serve_xmlrpc, connect_xmlrpc),
    "websockets": Peer(
        ("websockets",), "an open connection, JSON", serve_websockets, connect_websockets
    ),
    "FastAPI": Peer(
        ("fastapi", "httpx", "uvicorn"),
        "an open connection, httpx",
        serve_fastapi,
        connect_fastapi,
    ),
}


def main(name: str, crowd: str = "", port: str = "", clients: str = "") -> None:
    peer = PEERS[name]
    if crowd == "--crowd":
        with peer.connect(int(port)) as call:
            be_crowd(call, int(clients))
    else:
        peer.serve()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
