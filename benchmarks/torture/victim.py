"""The server that is tortured: ``python -m benchmarks.torture.victim FOLDER OPTIONS``.

`OPTIONS` is a JSON object with those of `start_server`, and

``files``      how many files the program may open
``file_size``  how many bytes a file may have before the disk is "full"
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

import artiq_link

NOW = time.time
KEY = "7f3a90c2d1e84b56"
"""What `Counter.fire` takes alone."""


class Counter(artiq_link.Instrument):
    """Keeps its count in a file, which outlives the program: a line for each."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "count").open("a", encoding="utf-8")

    @artiq_link.command
    def count(self, who: str) -> str:
        """Write a name and the time down for good."""
        self._file.write(f"{who} {time.monotonic()}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return f"counted {who}"

    @artiq_link.command
    def take(self, value: Any) -> None:
        """Take anything, and do nothing with it."""

    @artiq_link.command
    def fire(self, key: Literal["7f3a90c2d1e84b56"]) -> str:
        """Count, for those alone who have the key."""
        return self.count(f"fire-{key}")

    def close(self) -> None:
        self._file.close()


class Rogue(artiq_link.Instrument):
    """Whose commands do what no command should."""

    @artiq_link.command
    def fail(self) -> None:
        raise RuntimeError("the bug's text")

    @artiq_link.command
    def fail_wildly(self) -> None:
        raise BaseException("no Exception at all")

    @artiq_link.command
    def leave(self) -> None:
        raise SystemExit(3)

    @artiq_link.command
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @artiq_link.command
    def hang(self) -> None:
        time.sleep(0.5)

    @artiq_link.command
    def recurse(self) -> None:
        self.recurse()

    @artiq_link.command
    def allocate(self) -> bytes:
        return bytes(1 << 50)

    @artiq_link.command
    def print(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            stream.write("x" * 100_000 + "\r\n\x1b[2J")

    @artiq_link.command
    def give_object(self) -> Any:
        return object()

    @artiq_link.command
    def give_itself(self) -> Any:
        found: list[Any] = []
        found.append(found)
        return found

    @artiq_link.command
    def give_not_a_number(self) -> float:
        return float("nan")

    @artiq_link.command
    def give_surrogate(self) -> str:
        return "\ud800"

    @artiq_link.command
    def give_too_much(self) -> list[int]:
        return [0] * 1_000_000

    @artiq_link.command
    def give_array(self) -> Any:
        return np.arange(1_000_000, dtype=float)

    @artiq_link.command
    def spawn(self) -> None:
        for _ in range(50):
            threading.Thread(target=time.sleep, args=(0.2,)).start()

    @artiq_link.command
    def fail_in_a_thread(self) -> None:
        thread = threading.Thread(target=self.fail)
        thread.start()
        thread.join()

    @artiq_link.command
    async def fail_in_the_loop(self) -> None:
        raise RuntimeError("the bug's text")

    @artiq_link.command
    async def leave_in_the_loop(self) -> None:
        raise SystemExit(3)

    @artiq_link.command
    def close_files(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.close()

    @artiq_link.command
    def set_clock(self, back: float) -> None:
        """Set this program's clock back, by so many seconds."""
        time.time = lambda: NOW() - back


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    logging.basicConfig(filename=folder / "log", format="%(levelname)s %(message)s")
    for name, limit in (("files", "RLIMIT_NOFILE"), ("file_size", "RLIMIT_FSIZE")):
        if name in options:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            most = int(options.pop(name))
            resource.setrlimit(getattr(resource, limit), (most, most))
    artiq_link.start_server({"counter": Counter(folder), "rogue": Rogue()}, **options)


if __name__ == "__main__":
    main()
