"""Programs around a server: one that ends with Ctrl-C, and one in the background of another."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import FrameType
from typing import Any

from ..errors import InstrumentError
from ..exchanges.registry import Interact
from ..instrument.instrument import Instrument
from ..link_client import DEFAULT_PORT
from .addresses import CannotListen
from .descriptors import allow_files
from .loop import run_loop
from .sd_notify import Notices
from .server import LinkServer

SWITCH_INTERVAL = 0.001
"""Seconds for which a thread that computes may keep the interpreter from the event loop."""

SAME_SIGNAL = 0.5
"""Seconds in which a second signal is the first one once more: `timeout` sends SIGTERM to its
program and to the program's group."""


def start_server(
    instruments: Mapping[str, Instrument],
    *,
    interact: Interact | None = None,
    host: str | Sequence[str] = "127.0.0.1",
    port: int = DEFAULT_PORT,
    debug: bool = False,
    **options: Any,
) -> None:
    """Serve instruments until Ctrl-C or SIGTERM; print ``listening on HOST:PORT`` when ready.

    `instruments` maps names to `Instrument`s. With `interact`, every exchange of every dialect
    goes through ``interact(data)``, in the worker thread of the instrument that has the command
    (of the first one otherwise): what it returns is the result, what it raises the failure.
    Without, the instruments' commands answer. `debug` prints each message. `options` are those
    of `LinkServer`. A second Ctrl-C or SIGTERM ends the wait for running commands.

    Ends the program with a sentence where it cannot listen (exit code 2, before any hardware is
    touched) or an instrument cannot be opened (exit code 1), and with exit code 1 where one could
    not be closed, which the log tells.
    """
    server = LinkServer(
        instruments, interact=interact, host=host, port=port, debug=debug, **options
    )
    allow_files(server.max_connections)
    try:
        with stop_on_signals(server):
            run_loop(functools.partial(_serve, server))
    except CannotListen as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except InstrumentError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    if server.left_open:
        raise SystemExit(1)


async def _serve(server: LinkServer) -> None:
    with contextlib.closing(Notices(lambda: server.summary, os.environ)) as notices:
        notices.starting()
        await server.start()
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.freeze()  # what is there now stays: the garbage collector need not look at it again
        for address in server.addresses:
            print(f"listening on {address}", flush=True)
        if server.addresses:
            notices.ready()
        await server.until_stop()
        notices.stopping()
        await server.run()


@contextlib.contextmanager
def stop_on_signals(server: LinkServer) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM, a closed terminal and Windows' Ctrl-Break stop the server.

    A second one ends the wait for running commands, unless it is the closed terminal's: of that,
    the system tells and the shell. Only the main thread can.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    first: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        first = first or time.monotonic()
        server.stop(at_once=time.monotonic() - first > SAME_SIGNAL)

    def hang_up(number: int, frame: FrameType | None) -> None:
        server.stop()

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if sys.platform == "win32":
        handlers[signal.SIGBREAK] = stop
    else:
        handlers[signal.SIGHUP] = hang_up
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def serve_in_background(
    instruments: Mapping[str, Instrument], *, port: int = 0, **options: Any
) -> Iterator[LinkServer]:
    """Serve instruments from a thread for the length of a ``with`` block, on a free port.

    Gives the `LinkServer`, which listens already; at the block's end it is stopped as by Ctrl-C.
    `options` are those of `LinkServer`. Raises `CannotListen`.
    """
    server = LinkServer(instruments, port=port, **options)
    ready: Future[None] = Future()

    async def serve() -> None:
        await server.start()
        ready.set_result(None)
        await server.run()

    def run() -> None:
        try:
            run_loop(serve)
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)  # the caller's thread raises it

    thread = threading.Thread(target=run, name="link server")
    thread.start()
    try:
        ready.result()
        yield server
    finally:
        server.stop()
        thread.join()
