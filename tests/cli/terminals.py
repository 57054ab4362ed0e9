"""Programs in a real terminal of their own, as far as the system has any: Windows has no pty."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import PATIENCE
from tests.programs import ROOT


class Terminal:
    """What a program writes into its terminal, and what is typed there."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def read(self) -> bool:
        """Read what comes next; whether the program had not ended."""
        with contextlib.suppress(OSError):  # what Linux says where nobody has it open any more
            if chunk := os.read(self._descriptor, 65536):
                self.shown += chunk.decode()
                return True
        return False

    def wait_for(self, text: str) -> None:
        """Read until `text` is shown; what was shown up to there is forgotten."""
        while text not in self.shown:
            assert self.read(), f"{text!r} is not in {self.shown!r}"
        self.shown = self.shown.partition(text)[2]


@contextlib.contextmanager
def in_terminal(
    *command: str, columns: int = 80, environment: dict[str, str] | None = None
) -> Iterator[Terminal]:
    """Run a program in a terminal for the length of a ``with`` block; one that hangs is killed."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    try:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "", "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            guard = threading.Timer(PATIENCE, process.kill)
            guard.start()
            try:
                yield Terminal(ours)
            finally:
                process.kill()
                guard.cancel()
                guard.join()
    finally:
        os.close(ours)
