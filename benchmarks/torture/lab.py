"""The server that is tortured, as a process: started, killed, suspended, and what it has done."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from artiq_link import Link, LinkError
from benchmarks.processes import ROOT

PATIENCE = 30.0
"""Seconds after which something is called hung; never awaited where all is well."""

LOOK = 0.01
"""Seconds between two looks at what has no event."""


@contextlib.contextmanager
def beside(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A module as a program beside this one, with its input and output, until the end."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Lab:
    """A folder with the counter's file, the journal and the log, and the server that has them.

    In a ``with`` block the server is up, and ended at its end. It keeps its port from the first
    start on. `options` are those of `victim`.
    """

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.port = 0
        self.journal = folder / "journal.sqlite"
        self._options = {"journal": str(self.journal), **options}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server, and return when it listens; raises OSError where it does not."""
        options = {**self._options, "port": self.port}
        with (self.folder / "errors").open("a") as errors:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "benchmarks.torture.victim"),
                    str(self.folder),
                    json.dumps(options),
                ],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise OSError(f"the server did not start: {line}{self.text('errors')}")
        self.port = int(found[1])
        # A pipe that nobody reads would stop the command that prints.
        self._reader = threading.Thread(target=_drain, args=(self._process.stdout,))
        self._reader.start()

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the server at once, wherever it is."""
        if self._process is not None:
            self._process.kill()
            self._ended(self._process)

    def stop(self) -> int:
        """End the server as Ctrl-C does; gives its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._ended(self._process)

    def _ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(PATIENCE)
        self._reader.join()
        return code

    def link(self, timeout: float = PATIENCE, **options: Any) -> Link:
        return Link(port=self.port, timeout=timeout, **options)

    def is_served(self, who: str) -> bool:
        """Whether a command is executed now."""
        with contextlib.suppress(LinkError):
            return bool(self.link().call("count", who=who) == f"counted {who}")
        return False

    def counted(self) -> Counter[str]:
        """How often each name has been written down."""
        return Counter(line.split()[0] for line in self._lines())

    def order(self) -> list[str]:
        """All names in the order in which they were written down."""
        return [line.split()[0] for line in self._lines()]

    def counted_at(self) -> dict[str, float]:
        """When each name was written down, by the clock of `time.monotonic`."""
        return {who: float(at) for who, at in map(str.split, self._lines())}

    def _lines(self) -> list[str]:
        return self.text("count").splitlines()

    def text(self, name: str) -> str:
        """What is in a file of the folder, such as the log; nothing where it is not there."""
        file = self.folder / name
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def settle(self) -> None:
        """Wait until no command runs or waits, and no client but this one is connected."""
        link = self.link()

        def is_busy() -> bool:
            instruments = link.call("link.status")["instruments"].values()
            return self.descriptors("socket") > 3 or any(
                each["state"] != "idle" or each["waiting"] for each in instruments
            )

        until(lambda: not is_busy())

    def descriptors(self, kind: str = "") -> int:
        """How many files the server has open; sockets alone, where that is asked for."""
        found = 0
        for file in self._proc("fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found += os.readlink(file).startswith(kind)
        return found

    def threads(self) -> int:
        return len(list(self._proc("task").iterdir()))

    def memory(self) -> float:
        """The server's resident memory, in MiB."""
        pages = int(self._proc("statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_time(self) -> float:
        """Seconds that the server has computed."""
        fields = self._proc("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> Path:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}")


def _drain(output: IO[str]) -> None:
    with output:
        while output.read(65536):
            pass


def until(happened: Any, seconds: float = PATIENCE) -> None:
    """Wait for what has no event to wait for; raises TimeoutError."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not happen within {seconds:g} s")
        time.sleep(LOOK)
