"""The event loop of a server: the fastest one installed, and its end, whatever commands do."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..loggers import get_logger

END_TIME = 2.0
"""Seconds that the end gives to ``async def`` commands to let themselves be cancelled."""

logger = get_logger(__name__)


def run_loop(serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a server in an event loop of its own, which ends whatever its commands do.

    `asyncio.run` would wait without a limit for an ``async def`` command that does not let itself
    be cancelled.
    """
    loop = _new_event_loop()
    try:
        loop.run_until_complete(serve())
    finally:
        loop.run_until_complete(_cancel_the_rest())
        loop.close()


async def _cancel_the_rest() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=END_TIME)
        for task in left:
            logger.error("left behind, because it does not let itself be cancelled: %s", task)
    await asyncio.get_running_loop().shutdown_asyncgens()


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a thread of its own, which no end of the program waits for.

    asyncio's own would: an ``async def`` command whose `asyncio.to_thread` does not return would
    keep the server from ending.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 whoever awaits the future raises it
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="to_thread", daemon=True).start()
        return future


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop that is installed, which can be closed whatever its threads do."""
    loop = _fastest_event_loop()
    loop.set_default_executor(_DaemonThreads())
    return loop


def _fastest_event_loop() -> asyncio.AbstractEventLoop:
    name = "winloop" if sys.platform == "win32" else "uvloop"
    try:
        fast: Any = importlib.import_module(name)
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = fast.new_event_loop()
    return loop
